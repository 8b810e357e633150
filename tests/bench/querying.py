# SPDX-License-Identifier: Apache-2.0
"""Dashboard queries over the same data in every program: CPU milliseconds per query, and whether the answers agree."""
import json
import math
import statistics
import time
import urllib.parse
import urllib.request

import dataset
import peers
from measure import cpu_seconds, knob, ratio, say, table

QUERIES = (
    "sum(rate(http_requests_total[5m]))",
    "sum by (handler) (rate(http_requests_total[5m]))",
    'sum by (job, code) (rate(http_requests_total{code=~"5..|4.."}[5m]))',
    'sum(rate(http_requests_total{code="500"}[5m])) / sum(rate(http_requests_total[5m]))',
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
    "sum by (instance) (rate(http_request_duration_seconds_sum[5m])) / sum by (instance) (rate(http_request_duration_seconds_count[5m]))",
    '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
    "topk(5, sum by (instance) (process_resident_memory_bytes))",
    "max by (job) (queue_latency_seconds)",
    "avg_over_time(queue_latency_seconds{worker=~\"1.\"}[10m])",
    "max_over_time(process_resident_memory_bytes{worker=\"7\"}[30m])",
    "count by (version) (build_info)",
)


def ask(url, path, **form):
    request = urllib.request.Request(f"{url}/api/v1/{path}", urllib.parse.urlencode(form).encode(),
                                     {"Content-Type": "application/x-www-form-urlencoded"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())["data"]["result"]


def same(a, b):
    """Two results with equal label sets, and last values that differ by less than a billionth."""
    def last(result):
        return {json.dumps(s["metric"], sort_keys=True): float((s.get("values") or [s["value"]])[-1][1]) for s in result}
    x, y = last(a), last(b)
    return x.keys() == y.keys() and all(math.isclose(x[k], y[k], rel_tol=1e-9, abs_tol=1e-12) for k in x)


def cost(stack, path, form):
    """CPU ms of one query: the median of several, after one that warms up."""
    answer, spent = ask(stack.url, path, **form), []
    for _ in range(knob("REPEATS", 5)):
        before = cpu_seconds(stack.pids())
        ask(stack.url, path, **form)
        spent.append((cpu_seconds(stack.pids()) - before) * 1000)
    return statistics.median(spent), answer


def queries(folder):
    services, steps, step_ms = knob("SERVICES", 20), knob("STEPS", 300), 15000
    stacks = []
    try:
        for kind in [peers.Ours, *peers.installed()]:
            stacks.append(peers.start(kind, folder))
        series = dataset.services(services)
        end = int(time.time() * 1000) // step_ms * step_ms
        say(f"feeding {len(series)} series x {steps} samples by remote write ...")
        dataset.feed([s.url for s in stacks], series, end - (steps - 1) * step_ms, steps, step_ms, batch=2000)
        time.sleep(3)
        at = end / 1000 - 4  # between two samples: closed windows (Prometheus 2) and left-open ones (3) hold the same then
        for title, path, form in (("range, 1 h at 15 s", "query_range", {"start": at - 3600, "end": at, "step": 15}),
                                  ("instant", "query", {"time": at})):
            say(f"{title}: {len(QUERIES)} queries ...")
            totals, rows = {s: 0.0 for s in stacks}, []
            for q in QUERIES:
                found = {s: cost(s, path, {"query": q, **form}) for s in stacks}
                for s in stacks:
                    totals[s] += found[s][0]
                agree = all(same(found[stacks[0]][1], found[s][1]) for s in stacks if s.name == "prometheus")
                rows.append((q if len(q) < 70 else q[:67] + "...", *(f"{found[s][0]:.1f}" for s in stacks), "yes" if agree else "NO"))
            rows.append(("all", *(f"{totals[s]:.0f}" for s in stacks), ""))
            rows.append(("ratio", *(ratio(totals[s], totals[stacks[0]]) for s in stacks), ""))
            table((f"CPU ms, {title}", *(s.name for s in stacks), "same as prometheus"), rows, f"{len(series)} series, {steps} samples each")
    finally:
        for s in reversed(stacks):
            s.close()
