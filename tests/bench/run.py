#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures us beside the peers that are installed (prometheus, victoria-metrics), on the same data in the same run, and prints ratios.

usage: run.py [ingest] [latency] [queries] [rules] [disk] [open] [growth] [scale] [collector] [jitter] [parse]      (default: all; about three quarters of an hour)

ingest    CPU seconds per million samples scraped, resident memory per active series: collector + detector together against each peer
latency   from the moment a target has sent the first body that shows a breach to the moment the alert is out: on the bus for us, in the
          POST to an Alertmanager for Prometheus
queries   13 dashboard queries as range (1 h at 15 s) and instant queries, CPU ms each; the same samples by remote write to all
rules     5000 alert rules at 15 s over 200 000 series, CPU per evaluation: all at once, first without rules, then with them; three minutes
collector CPU seconds per million samples of the collector alone (scrape and publish), three shapes, plain and gzip, stable series and 5 % new ones
          a minute, beside Prometheus, vmagent and a client that receives the same bodies and discards them
jitter    10 000 targets on one collector: how late scrapes begin
parse     the parser of expositions alone, first body and repeated layout
disk      bytes per sample of a typical service, 20 000 series x 300, in the blocks of each
open      from the start of the detector to its first answer, 200 000 series with two hours of samples
growth    the store alone at 10 000, 100 000 and 1 000 000 series: CPU per sample and per series that a selector finds
scale     the same with the real processes: targets scraped by the collector into the detector, as many samples a second at each size

CPU is user + system time from /proc; medians of several windows. Nothing here asserts anything.
Environment: OPS_BUILD_DIR (build/release); sizes: BENCH_TARGETS, BENCH_SERIES, BENCH_INTERVAL_S, BENCH_WINDOWS, BENCH_WINDOW_S,
BENCH_SCRAPES, BENCH_OPEN_SERIES, BENCH_OPEN_ROWS, BENCH_BREACHES, BENCH_SERVICES, BENCH_STEPS, BENCH_REPEATS, BENCH_RULES, BENCH_INSTANCES (of 1000 series, for disk),
BENCH_SHAPES, BENCH_ENCODINGS, BENCH_CHURN (which cases of collector: 200x1000 2000x100 20x20000; plain gzip; stable churn).
"""
import pathlib
import shutil
import sys
import tempfile

import collecting
import peers
import querying
import ruling
import scraping
import storing

MEASUREMENTS = {"ingest": scraping.ingest, "latency": scraping.latency, "queries": querying.queries, "rules": ruling.rules, "disk": storing.disk,
                "collector": collecting.collector, "jitter": collecting.jitter, "parse": collecting.parse,
                "open": storing.opening, "growth": storing.growth, "scale": scraping.scale}


def main():
    wanted = sys.argv[1:] or list(MEASUREMENTS)
    unknown = set(wanted) - MEASUREMENTS.keys()
    if unknown:
        sys.exit(f"bench: no such measurement: {', '.join(sorted(unknown))} ({', '.join(MEASUREMENTS)})")
    print(f"hms-ops: {peers.Ours.version()}")
    for peer in (peers.Prometheus, peers.VictoriaMetrics):
        print(f"peer: {peers.version_of(peer.program) if peer.program else peer.name + ' is not installed'}")
    print(flush=True)
    for name in wanted:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"ops-bench-{name}-"))
        try:
            MEASUREMENTS[name](folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


main()
