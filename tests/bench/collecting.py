# SPDX-License-Identifier: Apache-2.0
"""The collector alone beside other scrapers, and beside a client that only receives the same bodies."""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import peers
from measure import BUILD, REPO, cpu_seconds, free_port, http_get, knob, ratio, rss_bytes, table

SHAPES = {"200x1000": (200, 1000, 5), "2000x100": (2000, 100, 5), "20x20000": (20, 20000, 10)}  # targets, series, interval in seconds
START_DELAY = "ops_scrape_start_delay_seconds"


def built(name):
    """A program of this folder, which a usual build leaves out."""
    subprocess.run(["ninja", "-C", BUILD, f"tests/bench/{name}"], check=True, stdout=subprocess.DEVNULL)
    return BUILD / "tests/bench" / name


class Bodies:
    """The fake targets: a process of its own."""

    def __init__(self, series, encoding="plain", churn=0):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, REPO / "tests/bench/bodies.py", str(self.port), str(series), encoding, str(churn)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Sink:
    """Takes what vmagent sends, as a store would, and forgets it."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, REPO / "tests/bench/sink.py", str(self.port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Collector(peers.Ours):
    """The detector takes what is published, but its CPU and memory are not counted here."""
    name = "hms-ops collector"

    def pids(self):
        return [self.collector.process.pid]

    def samples(self):
        return self.collector.metric("ops_collector_samples_published_total") or 0

    def delays(self):
        """Scrapes by how late they began: {upper bound: cumulative count}."""
        found = {}
        for line in self.collector.get("/metrics").text.splitlines():
            if line.startswith(START_DELAY + "_bucket"):
                found[float(line.split('le="')[1].split('"')[0])] = float(line.split()[-1])
        return found


class Vmagent(peers.Process):
    name = "vmagent"
    program = shutil.which("vmagent")

    def __init__(self, folder, config):
        self.sink = Sink()
        super().__init__(folder, config)

    def flags(self, folder, config):
        return [f"-promscrape.config={config}", f"-httpListenAddr=127.0.0.1:{self.port}", f"-remoteWrite.tmpDataPath={folder}/queue",
                f"-remoteWrite.url=http://127.0.0.1:{self.sink.port}/api/v1/write", "-promscrape.config.strictParse=false",
                "-promscrape.maxScrapeSize=64MB"]

    def ready(self):
        return http_get(f"{self.url}/health").code == 200

    def samples(self):
        return peers.metric_sum(f"{self.url}/metrics", "vm_promscrape_scraped_samples_sum")

    def close(self):
        super().close()
        self.sink.close()


class Null:
    """Receives and discards."""
    name = "null client"

    def __init__(self, port, targets, series, interval_s, encoding):
        self.series = series
        self.process = subprocess.Popen([built("bench_null"), str(port), str(targets), str(interval_s * 1000),
                                         "gzip" if encoding == "gzip" else "identity"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def pids(self):
        return [self.process.pid]

    def samples(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline().split()[0]) * self.series

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def measure_case(folder, shape, encoding, churn):
    """CPU seconds per million samples of each program, all at once."""
    targets, series, interval = SHAPES[shape]
    window_s, windows = knob("WINDOW_S", 30), knob("WINDOWS", 1)
    source, stacks = Bodies(series, encoding, churn), []
    rows = {}
    try:
        stacks.append(Null(source.port, targets, series, interval, encoding))
        for kind in [Collector, *(k for k in (peers.Prometheus, Vmagent) if k.program)]:
            stacks.append(peers.start(kind, folder, port=source.port, targets=targets, interval=f"{interval}s", one_job=True))
        time.sleep(max(2 * interval + 3, knob("WARM_UP_S", 13)))
        costs = {s: [] for s in stacks}
        for _ in range(windows):
            before = {s: (s.samples(), cpu_seconds(s.pids())) for s in stacks}
            time.sleep(window_s)
            for s in stacks:
                n, spent = s.samples() - before[s][0], cpu_seconds(s.pids()) - before[s][1]
                costs[s].append(spent / n * 1e6 if n else float("nan"))
        for s in stacks:
            rows[s.name] = (statistics.median(costs[s]), rss_bytes(s.pids()) / (targets * series))
    finally:
        for s in reversed(stacks):
            s.close()
        source.close()
    return rows


def collector(folder):
    """Every shape, plain and packed, with series that stay and with 5 % new ones a minute."""
    def chosen(variable, names):
        return [n for n in names if n in os.environ.get(variable, " ".join(names)).split()]

    rows = []
    for shape in chosen("BENCH_SHAPES", SHAPES):
        for encoding in chosen("BENCH_ENCODINGS", ("plain", "gzip")):
            for churn in (5 if name == "churn" else 0 for name in chosen("BENCH_CHURN", ("stable", "churn"))):
                case = pathlib.Path(folder) / f"{shape}-{encoding}-{churn}"
                case.mkdir()
                found = measure_case(case, shape, encoding, churn)
                ours = found[Collector.name]
                what = f"{shape} {encoding} {'churn' if churn else 'stable'}"
                cells = []
                for name in (Null.name, peers.Prometheus.name, Vmagent.name):
                    cost = found.get(name)
                    cells += [f"{cost[0]:.4f}", ratio(ours[0], cost[0], 2) if name == Null.name else ratio(cost[0], ours[0])] if cost else ["-", "-"]
                rows.append((what, f"{ours[0]:.4f}", *cells, f"{ours[1]:.0f}"))
                print(f"# {rows[-1]}", flush=True)
                shutil.rmtree(case, ignore_errors=True)
    table(("CPU s / 1M samples", "ours", "null", "ours / null", "prometheus", "x", "vmagent", "x", "our bytes / series"), rows,
          f"one window of {knob('WINDOW_S', 30)} s each")


def quantile(delays, q):
    """Upper bound of the bucket in which the quantile lies."""
    total = delays[max(delays)]
    return next(bound for bound in sorted(delays) if delays[bound] >= q * total) if total else float("nan")


def jitter(folder):
    """10 000 targets of 100 series every 15 s: how late scrapes begin."""
    targets, series, interval = knob("TARGETS", 10000), knob("SERIES", 100), knob("INTERVAL_S", 15)
    source, ours = Bodies(series), None
    try:
        ours = peers.start(Collector, folder, port=source.port, targets=targets, interval=f"{interval}s", one_job=True)
        time.sleep(2 * interval)
        before, cpu, n = ours.delays(), cpu_seconds(ours.pids()), ours.samples()
        time.sleep(knob("WINDOW_S", 30))
        after = ours.delays()
        delays = {bound: after[bound] - before.get(bound, 0) for bound in after}
        spent, n = cpu_seconds(ours.pids()) - cpu, ours.samples() - n
        up = ours.collector.metric("ops_collector_targets")
        table(("scrape start is late by", "p50 <=", "p99 <=", "p99.9 <=", "scrapes", "CPU s / 1M samples", "RSS MiB"),
              [(f"{up:.0f} targets x {series} series every {interval} s", *(f"{quantile(delays, q) * 1000:g} ms" for q in (0.5, 0.99, 0.999)),
                f"{delays[max(delays)]:.0f}", f"{spent / n * 1e6:.4f}" if n else "-", f"{rss_bytes(ours.pids()) / 2**20:.0f}")])
    finally:
        if ours:
            ours.close()
        source.close()


def parse(folder):
    """The text parser alone."""
    del folder
    subprocess.run([built("bench_exposition")], check=True)
