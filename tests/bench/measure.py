# SPDX-License-Identifier: Apache-2.0
"""What every measurement needs: CPU and memory of processes from /proc, tables with ratios, where the programs are."""
import os
import pathlib
import statistics
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OPS_BUILD_DIR", REPO / "build/release"))
os.environ["OPS_BUILD"] = str(BUILD)
sys.path.insert(0, str(REPO / "tests/integration"))
import harness  # noqa: E402,F401
from harness import free_port, http, http_get, wait_until  # noqa: E402,F401

TICKS = os.sysconf("SC_CLK_TCK")


def knob(name, default):
    """A size from the environment: BENCH_<NAME>."""
    return int(os.environ.get(f"BENCH_{name}", default))


def cpu_seconds(pids):
    """User and system time of the processes together. /proc/PID/schedstat has nanoseconds; stat has ticks of 10 ms."""
    total = 0.0
    for pid in pids:
        spent = 0
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                spent += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended
        total += spent / 1e9
    return total


def rss_bytes(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def disk_bytes(folder):
    return sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file())


def version_of(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    return next((line for line in (done.stdout + done.stderr).splitlines() if line), "?")


def say(text):
    """Progress: measurements take minutes."""
    print(text, flush=True)


def table(head, rows, note=""):
    rows = [head, *rows]
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(head))]
    for n, row in enumerate(rows):
        print("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
        if n == 0:
            print("  ".join("-" * w for w in widths))
    print(f"{note}{'; ' if note else ''}load average {os.getloadavg()[0]:.1f}\n", flush=True)


def ratio(value, first, digits=1):
    return f"{value / first:.{digits}f}" if first else "-"


def median_range(values, digits=3):
    return f"{statistics.median(values):.{digits}f}", f"({min(values):.{digits}f}..{max(values):.{digits}f})"
