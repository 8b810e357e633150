#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures us beside the peers that are installed, in the same minutes on the same targets, and prints ratios.

usage: run.py [ingest] [latency]      (default: both; about two minutes)

ingest    CPU seconds per million samples (user + system, /proc/PID/stat) and resident memory per active series:
          collector + detector together against each peer. The median of several windows.
latency   from the moment a target has sent the first body that shows a breach to the moment the alert is out: on the bus for us,
          in the POST to an Alertmanager for Prometheus. `for` is 0, all intervals are one second.

All run at the same time, so that whatever else the machine does disturbs them alike. Nothing here asserts anything.
Environment: OPS_BUILD_DIR (build/release), BENCH_TARGETS (50), BENCH_SERIES (1000), BENCH_WINDOWS (5), BENCH_WINDOW_S (8), BENCH_BREACHES (10).
"""
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
os.environ["OPS_BUILD"] = os.environ.get("OPS_BUILD_DIR", str(REPO / "build/release"))
sys.path.insert(0, str(REPO / "tests/integration"))
import harness  # noqa: E402
from harness import free_port, wait_until  # noqa: E402

TARGETS, SERIES, WINDOWS, WINDOW_S, BREACHES = (int(os.environ.get(f"BENCH_{k}", d)) for k, d in (
    ("TARGETS", 50), ("SERIES", 1000), ("WINDOWS", 5), ("WINDOW_S", 8), ("BREACHES", 10)))
WARM_UP_S = 12
TICKS = os.sysconf("SC_CLK_TCK")
RULE = "groups:\n- name: bench\n  rules:\n  - alert: Breach\n    expr: bench_breach{job=\"t0\"} == 1\n"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Targets:
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, REPO / "tests/bench/target.py", str(self.port), str(SERIES), "7"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def config(self, folder, extra=""):
        (folder / "rules.yml").write_text(RULE)
        jobs = "".join(
            f"- job_name: t{i}\n  metrics_path: /{i}\n  static_configs:\n  - targets: ['127.0.0.1:{self.port}']\n" for i in range(TARGETS))
        path = folder / "prometheus.yml"
        path.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{extra}scrape_configs:\n{jobs}")
        return path

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Ours:
    name = "hms-ops (collector + detector)"
    agent = "ops-collector"

    def __init__(self, folder, targets):
        folder.mkdir()
        config = targets.config(folder)
        samples, self.alerts, replay, ring = (f"tcp://127.0.0.1:{free_port()}" for _ in range(4))
        self.detector = harness.Service("ops-detector", folder / "detector", {
            "scrape_config_file": str(config), "samples_listen": samples, "alerts_listen": self.alerts, "alerts_replay_listen": replay})
        self.collector = harness.Service("ops-collector", folder / "collector", {
            "scrape_config_file": str(config), "samples_url": samples, "members_url": self.alerts, "replay_listen": ring})
        self.detector.start()
        self.collector.start()
        self.fired, self.resolved, self.listener = [], [], None

    def pids(self):
        return [self.collector.process.pid, self.detector.process.pid]

    def samples(self):
        return self.detector.metric("ops_detector_samples_ingested_total") or 0

    def series(self):
        return self.detector.metric("ops_detector_series") or 0

    def listen(self):
        self.listener = subprocess.Popen(["stdbuf", "-o0", "nngcat", "--sub", "--dial", self.alerts, "--subscribe", "alerts/", "--raw"],
                                         stdout=subprocess.PIPE)

        def read():
            for line in self.listener.stdout:
                now = time.monotonic()
                if line.startswith(b"alerts/firing/"):
                    self.fired.append(now)
                elif line.startswith(b"alerts/resolved/"):
                    self.resolved.append(now)
        threading.Thread(target=read, daemon=True).start()

    def close(self):
        if self.listener:
            self.listener.terminate()
            self.listener.wait(10)
        self.collector.close()
        self.detector.close()


class Prometheus:
    name = "prometheus"
    agent = "Prometheus"
    program = shutil.which("prometheus")

    def __init__(self, folder, targets):
        folder.mkdir()
        self.port = free_port()
        config = targets.config(folder, f"alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: ['127.0.0.1:{targets.port}']\n")
        self.process = subprocess.Popen(self.command(folder, config), stdout=subprocess.DEVNULL, stderr=open(folder / "log", "wb"), cwd=folder)
        wait_until(self.ready, 30, f"{self.name} is ready")

    def command(self, folder, config):
        return [self.program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"]

    def ready(self):
        return harness.http_get(f"http://127.0.0.1:{self.port}/-/ready").code == 200

    def metric(self, *names):
        for line in harness.http_get(f"http://127.0.0.1:{self.port}/metrics").text.splitlines():
            if line.split("{")[0].split(" ")[0] in names:
                return float(line.split()[-1])
        return 0

    def pids(self):
        return [self.process.pid]

    def samples(self):
        total = 0.0
        for line in harness.http_get(f"http://127.0.0.1:{self.port}/metrics").text.splitlines():
            if line.startswith("prometheus_tsdb_head_samples_appended_total{type=\"float\"}") or \
                    line.startswith("prometheus_tsdb_head_samples_appended_total "):
                total += float(line.split()[-1])
        return total

    def series(self):
        return self.metric("prometheus_tsdb_head_series")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def version_of(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0]


def table(rows):
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        print("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
        if n == 0:
            print("  ".join("-" * w for w in widths))


def measure_ingest(stacks):
    time.sleep(WARM_UP_S)
    costs, rates = {s: [] for s in stacks}, {s: [] for s in stacks}
    for _ in range(WINDOWS):
        before = {s: (s.samples(), sum(map(cpu_seconds, s.pids())), time.monotonic()) for s in stacks}
        time.sleep(WINDOW_S)
        for s in stacks:
            samples, cpu, at = before[s]
            n, spent, passed = s.samples() - samples, sum(map(cpu_seconds, s.pids())) - cpu, time.monotonic() - at
            if n > 0:
                costs[s].append(spent / n * 1e6)
                rates[s].append(n / passed)
    first = statistics.median(costs[stacks[0]])
    rows = [("ingest", "samples/s", "CPU s / 1M samples", "(min..max)", "ratio", "RSS MiB", "bytes / series", "ratio")]
    memory = {s: sum(map(rss_bytes, s.pids())) for s in stacks}
    per_series = {s: memory[s] / max(s.series(), 1) for s in stacks}
    for s in stacks:
        cost = statistics.median(costs[s])
        rows.append((s.name, f"{statistics.median(rates[s]):.0f}", f"{cost:.3f}", f"({min(costs[s]):.3f}..{max(costs[s]):.3f})",
                     f"{cost / first:.1f}", f"{memory[s] / 2**20:.0f}", f"{per_series[s]:.0f}", f"{per_series[s] / per_series[stacks[0]]:.1f}"))
    table(rows)
    print(f"{TARGETS} targets x {SERIES} series every second, {WINDOWS} windows of {WINDOW_S} s after {WARM_UP_S} s; "
          f"memory after {WARM_UP_S + WINDOWS * WINDOW_S} s of samples; load average {os.getloadavg()[0]:.1f}\n")


def first_post(targets, since):
    """When the alert was first posted after `since`."""
    for at, body in json.loads(targets.ask("posted")):
        if at >= since and any(alert["labels"].get("alertname") == "Breach" for alert in json.loads(body)):
            return at
    return None


def measure_latency(ours, prometheus, targets):
    ours.listen()
    time.sleep(2)
    found = {ours: [], prometheus: []}
    for _ in range(BREACHES):
        targets.ask("posted")
        count, since = len(ours.fired), time.monotonic()
        targets.ask("breach on")
        wait_until(lambda: len(ours.fired) > count, 15, "our alert", 0.005)
        at = {ours: ours.fired[count]}
        if prometheus:
            at[prometheus] = wait_until(lambda: first_post(targets, since), 15, "the peer's alert", 0.02)
        shown = json.loads(targets.ask("shown"))
        for s in at:
            found[s].append((at[s] - shown[s.agent]) * 1000)
        count = len(ours.resolved)
        targets.ask("breach off")
        wait_until(lambda: len(ours.resolved) > count, 15, "our alert ends", 0.005)
        time.sleep(1.5 + 0.137 * (len(found[ours]) % 7))  # the peer's end, and another phase of its clock
    rows = [("scrape that shows the breach -> alert is out", "median ms", "min", "max", "n", "ratio")]
    for s in [ours] + ([prometheus] if prometheus else []):
        v = found[s]
        rows.append((s.name, f"{statistics.median(v):.1f}", f"{min(v):.1f}", f"{max(v):.1f}", len(v),
                     f"{statistics.median(v) / statistics.median(found[ours]):.0f}"))
    table(rows)
    print(f"beside {TARGETS} targets x {SERIES} series; load average {os.getloadavg()[0]:.1f}\n")


def main():
    wanted = sys.argv[1:] or ["ingest", "latency"]
    unknown = set(wanted) - {"ingest", "latency"}
    if unknown:
        sys.exit(f"bench: no such measurement: {', '.join(unknown)} (ingest, latency)")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ops-bench-"))
    targets = Targets()
    stacks = []
    try:
        stacks.append(Ours(folder / "ours", targets))
        print(f"hms-ops: {version_of(harness.binary('ops-detector'))}")
        if Prometheus.program:
            stacks.append(Prometheus(folder / "prometheus", targets))
            print(f"peer: {version_of(Prometheus.program)}\n")
        else:
            print("peer: prometheus is not installed\n")
        if "ingest" in wanted:
            measure_ingest(stacks)
        if "latency" in wanted:
            if "ingest" not in wanted:
                time.sleep(WARM_UP_S)
            measure_latency(stacks[0], stacks[1] if len(stacks) > 1 else None, targets)
    finally:
        for s in reversed(stacks):
            s.close()
        targets.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
