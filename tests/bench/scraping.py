# SPDX-License-Identifier: Apache-2.0
"""Ingest by scraping: CPU per sample, memory per series, and how long a breach takes to become an alert."""
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

import peers
from measure import REPO, cpu_seconds, free_port, http_get, knob, median_range, ratio, rss_bytes, table, wait_until

WARM_UP_S = 12
RULE = "groups:\n- name: bench\n  rules:\n  - alert: Breach\n    expr: bench_breach{job=\"t0\"} == 1\n"


class Targets:
    """The fake targets: one process, told and asked over its standard streams."""

    def __init__(self, series):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, REPO / "tests/bench/target.py", str(self.port), str(series), "7"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def ingest(folder):
    """200 targets of 1000 series every 5 s, all programs at once."""
    targets, series, interval = knob("TARGETS", 200), knob("SERIES", 1000), knob("INTERVAL_S", 5)
    windows, window_s, scrapes = knob("WINDOWS", 5), knob("WINDOW_S", 20), knob("SCRAPES", 54)
    source, stacks = Targets(series), []
    try:
        for kind in [peers.Ours, *peers.installed()]:
            stacks.append(peers.start(kind, folder, port=source.port, targets=targets, interval=f"{interval}s"))
        begin = time.monotonic()
        time.sleep(3 * interval)
        costs, rates = {s: [] for s in stacks}, {s: [] for s in stacks}
        for _ in range(windows):
            before = {s: (s.samples(), cpu_seconds(s.pids()), time.monotonic()) for s in stacks}
            time.sleep(window_s)
            for s in stacks:
                samples, cpu, at = before[s]
                n, spent, passed = s.samples() - samples, cpu_seconds(s.pids()) - cpu, time.monotonic() - at
                if n > 0:
                    costs[s].append(spent / n * 1e6)
                    rates[s].append(n / passed)
        time.sleep(max(0.0, begin + scrapes * interval - time.monotonic()))
        memory = {s: rss_bytes(s.pids()) / max(targets * series, s.series()) for s in stacks}
        first = stacks[0]
        rows = [(s.name, f"{statistics.median(rates[s]):.0f}", *median_range(costs[s]),
                 ratio(statistics.median(costs[s]), statistics.median(costs[first])), f"{rss_bytes(s.pids()) / 2**20:.0f}",
                 f"{memory[s]:.0f}", ratio(memory[s], memory[first])) for s in stacks]
        table(("ingest", "samples/s", "CPU s / 1M samples", "(min..max)", "ratio", "RSS MiB", "bytes / series", "ratio"), rows,
              f"{targets} targets x {series} series every {interval} s, {windows} windows of {window_s} s; memory after "
              f"{time.monotonic() - begin:.0f} s")
    finally:
        for s in reversed(stacks):
            s.close()
        source.close()


def cpu_of_query(stack, query, times):
    """CPU seconds of the detector for one instant query, while nothing else happens."""
    url = f"{stack.url}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    http_get(url)
    before = cpu_seconds([stack.detector.process.pid])
    for _ in range(times):
        found = json.loads(http_get(url).text)["data"]["result"]
    return (cpu_seconds([stack.detector.process.pid]) - before) / times, found


def scale_one(folder, size):
    """One row: where the interval allows it the same samples a second, so that only the number of series differs."""
    targets, rate, window_s = size // 1000, knob("RATE", 40000), knob("WINDOW_S", 25)
    interval_ms = max(size * 1000 // rate, 1000)
    source, stack = Targets(1000), None
    try:
        stack = peers.start(peers.Ours, folder, port=source.port, targets=targets, interval=f"{interval_ms}ms")
        wait_until(lambda: stack.series() >= size, 60 + interval_ms / 1000, "all series are there")
        time.sleep(max(5.0, interval_ms / 1000))
        before = stack.samples(), [cpu_seconds([p]) for p in stack.pids()]
        time.sleep(max(window_s, interval_ms / 1000))
        n = stack.samples() - before[0]
        spent = [cpu_seconds([p]) - c for p, c in zip(stack.pids(), before[1])]
        rss = rss_bytes(stack.pids())
        stack.collector.process.send_signal(signal.SIGSTOP)  # what it sends is not the query's
        time.sleep(2)
        metric, found = cpu_of_query(stack, "sum(bench_7_total)", 20)
        assert len(found) == 1
        few, found = cpu_of_query(stack, f'bench_7_total{{job="t{targets // 2}"}}', 200)
        assert len(found) == 20
        stack.collector.process.send_signal(signal.SIGCONT)
        return (f"{size:,}", f"{n / max(window_s, interval_ms / 1000):.0f}", *(f"{s / n * 1e6:.3f}" for s in (sum(spent), *spent)),
                f"{rss / 2**20:.0f}", f"{rss / size:.0f}", f"{metric / (targets * 20) * 1e6:.2f}", f"{few * 1e6:.0f}")
    finally:
        if stack:
            stack.close()
        source.close()


def scale(folder):
    """10 000, 100 000 and 1 000 000 series scraped: what a sample and a matched series cost."""
    rows = []
    for size in map(int, os.environ.get("BENCH_SCALE", "10000 100000 1000000").split()):
        (folder / str(size)).mkdir()
        rows.append(scale_one(folder / str(size), size))
    table(("series, scraped", "samples/s", "CPU s / 1M samples", "collector", "detector", "RSS MiB", "bytes / series",
           "sum of a metric (series / 50), us / series", "20 series of one target, us"), rows, "targets of 1000 series")


class Listener:
    """Alerts as an outsider sees them on our bus, with the time."""

    def __init__(self, url):
        self.fired, self.resolved = [], []
        self.process = subprocess.Popen(["stdbuf", "-o0", "nngcat", "--sub", "--dial", url, "--subscribe", "alerts/", "--raw"],
                                        stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith(b"alerts/firing/"):
                self.fired.append(time.monotonic())
            elif line.startswith(b"alerts/resolved/"):
                self.resolved.append(time.monotonic())

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def first_post(source, since):
    """When the alert was first posted after `since`."""
    for at, body in json.loads(source.ask("posted")):
        if at >= since and any(alert["labels"].get("alertname") == "Breach" for alert in json.loads(body)):
            return at
    return None


def one_breach(source, heard, theirs):
    source.ask("posted")
    count, since = len(heard.fired), time.monotonic()
    source.ask("breach on")
    wait_until(lambda: len(heard.fired) > count, 15, "our alert", 0.002)
    at = {"ops-collector": heard.fired[count]}
    if theirs:
        at["Prometheus"] = wait_until(lambda: first_post(source, since), 15, "the peer's alert", 0.02)
    shown = json.loads(source.ask("shown"))
    count = len(heard.resolved)
    source.ask("breach off")
    wait_until(lambda: len(heard.resolved) > count, 15, "our alert ends", 0.005)
    return {agent: (at[agent] - shown[agent]) * 1000 for agent in at}


def latency(folder):
    """From the first scrape that shows the breach to the alert outside; `for` is 0, intervals are 1 s."""
    targets, series, breaches = knob("TARGETS", 50), knob("SERIES", 1000), knob("BREACHES", 30)
    source, stacks, heard = Targets(series), [], None
    try:
        stacks.append(peers.start(peers.Ours, folder, port=source.port, targets=targets, interval="1s", rules=RULE))
        if peers.Prometheus.program:
            stacks.append(peers.start(peers.Prometheus, folder, port=source.port, targets=targets, interval="1s", rules=RULE,
                                      alertmanager=source.port))
        heard = Listener(stacks[0].alerts)
        time.sleep(WARM_UP_S)
        found = {s.agent: [] for s in stacks}
        for n in range(breaches):
            for agent, ms in one_breach(source, heard, len(stacks) > 1).items():
                found[agent].append(ms)
            time.sleep(1.5 + 0.137 * (n % 7))  # the peer's end, and another phase of its clock
        rows = []
        for s in stacks:
            v = sorted(found[s.agent])
            rows.append((s.name, f"{statistics.median(v):.1f}", f"{v[0]:.1f}", f"{v[min(len(v) - 1, int(len(v) * 0.99))]:.1f}", len(v),
                         ratio(statistics.median(v), statistics.median(found["ops-collector"]), 0)))
        table(("scrape that shows the breach -> alert is out", "median ms", "min", "p99", "n", "ratio"), rows,
              f"beside {targets} targets x {series} series")
    finally:
        if heard:
            heard.close()
        for s in reversed(stacks):
            s.close()
        source.close()
