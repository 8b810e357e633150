# SPDX-License-Identifier: Apache-2.0
"""Alert rules over scraped series: CPU per evaluation, what scraping costs taken off by windows before there were rules."""
import statistics
import time

import peers
from measure import cpu_seconds, knob, median_range, ratio, say, table
from scraping import Targets


def rule_file(count, targets):
    lines = ["groups:"]
    for i in range(count):
        if i % 50 == 0:
            lines.append(f"- name: g{i // 50}\n  interval: 15s\n  rules:")
        lines.append(f"  - alert: A{i}\n    expr: rate(bench_{i % 50}_total{{job=\"t{i // 50 % targets}\"}}[5m]) > 1e9\n    for: 1m\n"
                     f"    labels: {{severity: warning}}\n    annotations: {{summary: \"{{{{ $labels.job }}}} has {{{{ $value }}}}\"}}")
    return "\n".join(lines) + "\n"


SETTLE_S = 40
NO_RULES = "groups: []\n"


def cpu_per_s(stacks, windows, window_s):
    """CPU seconds per second of each stack, window by window."""
    spent = {s: [] for s in stacks}
    for _ in range(windows):
        before = {s: (cpu_seconds(s.pids()), time.monotonic()) for s in stacks}
        time.sleep(window_s)
        for s in stacks:
            cpu, at = before[s]
            spent[s].append((cpu_seconds(s.pids()) - cpu) / (time.monotonic() - at))
    return spent


def evaluations_per_s(stack, count, before, passed):
    if isinstance(stack, peers.VictoriaMetrics):
        return count / 15  # it counts groups, not rules
    return (stack.evaluations() - before) / passed


def rules(folder):
    """All programs at once: first without rules, then with them."""
    targets, series, count = knob("TARGETS", 200), knob("SERIES", 1000), knob("RULES", 5000)
    windows, window_s = knob("WINDOWS", 3), knob("WINDOW_S", 15)
    source, stacks = Targets(series), []
    try:
        for kind in [peers.Ours, *peers.installed()]:
            stacks.append(peers.start(kind, folder, port=source.port, targets=targets, interval="15s", rules=NO_RULES))
        say(f"scraping {targets} targets x {series} series, {SETTLE_S} s until it is even ...")
        time.sleep(SETTLE_S)
        say(f"without rules: {windows} windows of {window_s} s ...")
        idle = cpu_per_s(stacks, windows, window_s)
        for s in stacks:
            peers.replace_rules(s, folder, rule_file(count, targets))
        say(f"{count} rules loaded, {SETTLE_S} s until all are evaluated ...")
        time.sleep(SETTLE_S)
        say(f"with rules: {windows} windows of {window_s} s ...")
        before, at = {s: s.evaluations() for s in stacks}, time.monotonic()
        busy = cpu_per_s(stacks, windows, window_s)
        rows, first = [], None
        for s in stacks:
            rate = evaluations_per_s(s, count, before[s], time.monotonic() - at)
            extra = [(u - statistics.median(idle[s])) / rate * 1e6 for u in busy[s]]
            first = first or statistics.median(extra)
            rows.append((s.name, f"{rate:.0f}", *median_range(extra, 1), ratio(statistics.median(extra), first)))
        table(("alert rules", "evaluations/s", "CPU us / evaluation", "(min..max)", "ratio"), rows,
              f"{count} rules at 15 s over {targets * series} series, {windows} windows of {window_s} s")
    finally:
        for s in reversed(stacks):
            s.close()
        source.close()
