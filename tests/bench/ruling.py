# SPDX-License-Identifier: Apache-2.0
"""Alert rules over scraped series: CPU per evaluation, what scraping costs taken off by a run without rules."""
import statistics
import time

import peers
from measure import cpu_seconds, knob, median_range, ratio, table
from scraping import Targets


def rule_file(count, targets):
    lines = ["groups:"]
    for i in range(count):
        if i % 50 == 0:
            lines.append(f"- name: g{i // 50}\n  interval: 15s\n  rules:")
        lines.append(f"  - alert: A{i}\n    expr: rate(bench_{i % 50}_total{{job=\"t{i // 50 % targets}\"}}[5m]) > 1e9\n    for: 1m\n"
                     f"    labels: {{severity: warning}}\n    annotations: {{summary: \"{{{{ $labels.job }}}} has {{{{ $value }}}}\"}}")
    return "\n".join(lines) + "\n"


def cpu_per_s(stack, windows, window_s):
    spent = []
    for _ in range(windows):
        before, at = cpu_seconds(stack.pids()), time.monotonic()
        time.sleep(window_s)
        spent.append((cpu_seconds(stack.pids()) - before) / (time.monotonic() - at))
    return spent


def rules(folder):
    """One program at a time: first without rules, then with them."""
    targets, series, count = knob("TARGETS", 200), knob("SERIES", 1000), knob("RULES", 5000)
    windows, window_s = knob("WINDOWS", 4), knob("WINDOW_S", 15)
    rows, first = [], None
    for kind in [peers.Ours, *peers.installed()]:
        source = Targets(series)
        try:
            used = {}
            for name, text in (("none", None), ("all", rule_file(count, targets))):
                where = folder / f"{kind.__name__}-{name}"
                where.mkdir()
                stack = peers.start(kind, where, port=source.port, targets=targets, interval="15s", rules=text)
                try:
                    time.sleep(40)
                    before, at = stack.evaluations() if text else 0, time.monotonic()
                    used[name] = cpu_per_s(stack, windows, window_s)
                    rate = ((stack.evaluations() if text else 0) - before) / (time.monotonic() - at)
                finally:
                    stack.close()
            if kind is peers.VictoriaMetrics:
                rate = count / 15  # it counts groups, not rules
            extra = [(u - statistics.median(used["none"])) / rate * 1e6 for u in used["all"]]
            first = first or statistics.median(extra)
            rows.append((kind.name, f"{rate:.0f}", *median_range(extra, 1), ratio(statistics.median(extra), first)))
        finally:
            source.close()
    table(("alert rules", "evaluations/s", "CPU us / evaluation", "(min..max)", "ratio"), rows,
          f"{count} rules at 15 s over {targets * series} series")
