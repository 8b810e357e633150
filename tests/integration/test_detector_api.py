# SPDX-License-Identifier: Apache-2.0
"""The detector's HTTP API with the clients that people have: Grafana's requests, promtool, vmalert, a stock Prometheus.

A peer that is not installed skips its test, visibly.
"""
import gzip
import json
import re
import shutil
import socket
import struct
import subprocess
import time
import urllib.parse

import pytest

import harness
from harness import http, http_get, opsctl, wait_until
from receivers import unsnappy

MINUTE = 60
# sorts 1800 values for each of 260,000 seconds and 3 series: minutes of work, little memory
HEAVY = "sum(quantile_over_time(0.5, (quantile_over_time(0.5, up[30m:1s]))[3d:1s]))"
SERIES = 3


def peer(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def run_peer(tmp_path):
    """run_peer(argv, url) -> the process, once url answers 200; ended with the test."""
    running = []

    def make(argv, url):
        log = tmp_path / f"peer-{len(running)}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       cwd=tmp_path, preexec_fn=harness.die_with_parent(9))
        running.append(process)

        def answers():
            if process.poll() is not None:
                raise RuntimeError(log.read_text()[-3000:])
            return http_get(url).code == 200
        wait_until(answers, what=f"{argv[0]} answers")
        process.log = log
        return process

    yield make
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def exposition(now_ms, minutes=30, step=15):
    """Counters and a gauge with a sample every step seconds up to now."""
    lines = ["# HELP http_requests_total Requests \"all\".", "# TYPE http_requests_total counter",
             "# TYPE queue_length gauge"]
    n = minutes * 60 // step
    for i in range(n + 1):
        t = now_ms - (n - i) * step * 1000
        for s in range(SERIES):
            lines.append(f'http_requests_total{{job="web",instance="i{s}",code="200"}} {i * (s + 1)} {t}')
        lines.append(f'queue_length{{job="web",instance="i0"}} {i % 7} {t}')
        for s in range(SERIES):
            lines.append(f'up{{job="web",instance="i{s}"}} 1 {t}')
    return "\n".join(lines) + "\n"


def load(d, now_ms=None, **more):
    now_ms = now_ms or int(time.time()) * 1000
    reply = d.post("/api/v1/import/prometheus", gzip.compress(exposition(now_ms, **more).encode()),
                   headers={"Content-Encoding": "gzip"})
    assert reply.code == 204, reply
    return now_ms // 1000


@pytest.fixture
def detector(service, ports, tmp_path):
    def make(rules=None, name="rules.yml", external=None, **config):
        prometheus = {"global": {"evaluation_interval": "1s", "external_labels": external or {}}, "rule_files": []}
        if rules:
            (tmp_path / name).write_text(rules)
            prometheus["rule_files"] = [name]
        (tmp_path / "prometheus.yml").write_text(json.dumps(prometheus))
        samples, alerts, replay = ports(3)
        return service("ops-detector", {
            "scrape_config_file": str(tmp_path / "prometheus.yml"), "samples_listen": f"tcp://127.0.0.1:{samples}",
            "alerts_listen": f"tcp://127.0.0.1:{alerts}", "alerts_replay_listen": f"tcp://127.0.0.1:{replay}",
            **config})
    return make


def api(d, path, code=200, form=None, headers=None, **params):
    query = urllib.parse.urlencode(params, doseq=True)
    if form is None:
        reply = d.get(f"/api/v1/{path}?{query}", headers=headers)
    else:
        reply = d.post(f"/api/v1/{path}", urllib.parse.urlencode(form, doseq=True), headers={
            "Content-Type": "application/x-www-form-urlencoded", **(headers or {})})
    assert reply.code == code, reply
    body = gzip.decompress(reply.body) if reply.headers.get("Content-Encoding") == "gzip" else reply.body
    answer = json.loads(body)
    assert answer["status"] == ("success" if code == 200 else "error")
    return answer["data"] if code == 200 else answer


def value(d, expr, **params):
    result = api(d, "query", query=expr, **params)["result"]
    return [float(x["value"][1]) for x in result]


# ---- what comes in by HTTP ----

def test_import_of_text(detector):
    d = detector()
    end = load(d)
    assert value(d, "http_requests_total", time=end) == [120, 240, 360]
    assert value(d, "sum(rate(http_requests_total[5m]))", time=end) == [pytest.approx(0.4)]
    assert api(d, "metadata", metric="http_requests_total") == {
        "http_requests_total": [{"type": "counter", "help": "Requests \"all\".", "unit": ""}]}
    # without a time: now; extra labels; the last line may lack its end
    assert d.post("/api/v1/import/prometheus?extra_label=site=lab", 'plain{a="b"} 7').code == 204
    assert api(d, "query", query="plain")["result"][0]["metric"] == {"__name__": "plain", "a": "b", "site": "lab"}
    assert d.post(f"/api/v1/import/prometheus?timestamp={end * 1000}", "timed 1\n").code == 204
    assert api(d, "query", query="timestamp(timed)")["result"][0]["value"][1] == str(end)
    bad = d.post("/api/v1/import/prometheus", "good 1\nbad{ 2\n")
    assert bad.code == 400 and bad.json["error"].startswith("2:") and value(d, "good") == [1]
    assert d.post("/api/v1/import/prometheus", b"not gzip", headers={"Content-Encoding": "gzip"}).code == 400
    assert d.post("/api/v1/import/prometheus", "x 1\n", headers={"Content-Encoding": "br"}).code == 400
    late = d.post("/api/v1/import/prometheus", f'up{{job="web",instance="i0"}} 0 {(end - 7200) * 1000}\n')
    assert late.code == 400 and "refused" in late.json["error"]
    assert d.metric("ops_detector_received_samples_total", door="import", outcome="refused") == 1


def test_import_of_more_than_a_body_may_have(detector):
    d = detector(http={"body_limit": "64KiB"})
    now = int(time.time()) * 1000
    lines = "".join(f'long{{n="{i % 10}"}} {i // 10} {now - 2000 + i // 10}\n' for i in range(20000))
    assert len(lines) > 400000
    assert d.post("/api/v1/import/prometheus", lines).code == 204
    assert value(d, "sum(count_over_time(long[5m]))", time=now / 1000 + 1) == [20000]
    assert d.post("/api/v1/write", lines).code == 413


def test_writing_needs_the_role(detector):
    d = detector(anonymous_role="viewer")
    assert d.post("/api/v1/import/prometheus", "a 1\n").code == 403
    assert d.post("/api/v1/write", b"").code == 403
    assert d.get("/api/v1/query?query=1").code == 200


# ---- Grafana ----

def test_grafanas_sequence(detector):
    """What a Grafana data source asks, in its order, with its headers: the test button, the builder, a panel."""
    d = detector("groups:\n- name: g\n  rules:\n  - {alert: Busy, expr: queue_length > 100}\n")
    end = load(d)
    start = end - 30 * MINUTE
    headers = {"User-Agent": "Grafana/11.2.0", "Accept-Encoding": "gzip", "X-Grafana-Org-Id": "1",
               "X-Datasource-Uid": "P1809F7CD0C75ACF3", "X-Dashboard-Uid": "abc", "X-Panel-Id": "2"}
    assert api(d, "status/buildinfo", headers=headers)["version"].startswith("3.")
    assert api(d, "query", form={"query": "1+1", "time": end}, headers=headers) == {
        "resultType": "scalar", "result": [end, "2"]}
    window = {"start": start, "end": end}
    assert api(d, "labels", form=window, headers=headers) == ["__name__", "code", "instance", "job"]
    assert api(d, "label/__name__/values", headers=headers, **window) == ["http_requests_total", "queue_length", "up"]
    assert api(d, "label/instance/values", headers=headers, **{"match[]": "queue_length", **window}) == ["i0"]
    assert api(d, "metadata", headers=headers)["queue_length"][0]["type"] == "gauge"
    assert api(d, "series", form={"match[]": 'queue_length{job="web"}', **window}, headers=headers) == [
        {"__name__": "queue_length", "instance": "i0", "job": "web"}]
    assert [g["name"] for g in api(d, "rules", headers=headers)["groups"]] == ["g"]
    panel = {"query": "rate(http_requests_total[1m])", "step": "15", **window}
    reply = d.post("/api/v1/query_range", urllib.parse.urlencode(panel), headers={
        "Content-Type": "application/x-www-form-urlencoded", **headers})
    assert reply.code == 200 and reply.headers["Content-Encoding"] == "gzip"
    assert reply.headers["Content-Type"] == "application/json"
    data = json.loads(gzip.decompress(reply.body))["data"]
    assert data["resultType"] == "matrix" and len(data["result"]) == SERIES
    first = data["result"][0]
    assert first["metric"] == {"code": "200", "instance": "i0", "job": "web"}
    assert len(first["values"]) == 120 and float(first["values"][-1][1]) == pytest.approx(1 / 15)
    assert api(d, "query_exemplars", form={"query": panel["query"], **window}, headers=headers) == []
    wrong = api(d, "query_range", 400, form={**panel, "query": "rate("}, headers=headers)
    assert wrong["errorType"] == "bad_data" and wrong["error"].startswith('invalid parameter "query": 1:6: parse error')


def test_answers_in_pieces(detector):
    """An answer that does not fit into one piece, whole and packed; and a client that goes away in the middle."""
    d = detector()
    lines = "".join(f'many{{n="{i:05}",padding="{"x" * 100}"}} {i}\n' for i in range(12000))
    assert d.post("/api/v1/import/prometheus", lines).code == 204
    found = api(d, "series", **{"match[]": "many"})
    assert [s["n"] for s in found] == [f"{i:05}" for i in range(12000)]
    assert api(d, "series", headers={"Accept-Encoding": "gzip"}, **{"match[]": "many"}) == found
    assert len(api(d, "query", query="many")["result"]) == 12000
    limited = d.get("/api/v1/series?match[]=many&limit=2").json
    assert len(limited["data"]) == 2 and limited["warnings"] == ["results truncated due to limit"]
    text = d.get("/federate?match[]=many").text
    assert text.count("\n") == 12001 and text.startswith("# TYPE many untyped\nmany{n=\"00000\",padding=")

    def go_away():
        """Mostly in the middle: the kernel may have taken the whole answer already."""
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", d.port))
            s.sendall(b"GET /api/v1/series?match[]=many HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"chunked" in s.recv(2000)
        return d.metric("ops_detector_queries_total", outcome="gone")
    wait_until(go_away, interval=0.5)
    wait_until(lambda: d.metric("ops_detector_queries") == 0)


def test_a_heavy_query_is_cancelled_by_the_client(detector):
    d = detector(query_timeout="10m")
    end = load(d)
    heavy = urllib.parse.urlencode({"query": HEAVY, "time": end})
    with socket.create_connection(("127.0.0.1", d.port)) as s:
        s.sendall(f"GET /api/v1/query?{heavy} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: d.metric("ops_detector_queries") == 1)
        assert value(d, "vector(1)") == [1]  # the others go on
        assert d.post("/api/v1/import/prometheus", "meanwhile 1\n").code == 204
    wait_until(lambda: d.metric("ops_detector_queries_total", outcome="gone") == 1)
    assert d.metric("ops_detector_queries") == 0
    slow = api(d, "query", 503, query=HEAVY, timeout="50ms", time=end)
    assert slow["errorType"] == "timeout" and "timed out" in slow["error"]


def test_targets_from_samples(detector):
    d = detector()
    load(d)
    now = int(time.time() * 1000)
    assert d.post("/api/v1/import/prometheus", f'up{{job="db",instance="h:1"}} 0 {now}\n').code == 204
    targets = api(d, "targets")
    assert [(t["scrapePool"], t["health"]) for t in targets["activeTargets"]] == [
        ("db", "down"), ("web", "up"), ("web", "up"), ("web", "up")]
    web = targets["activeTargets"][1]
    assert set(web) == {"discoveredLabels", "labels", "scrapePool", "scrapeUrl", "globalUrl", "lastError", "lastScrape",
                        "lastScrapeDuration", "health", "scrapeInterval", "scrapeTimeout"}
    assert web["labels"] == {"instance": "i0", "job": "web"} and web["scrapeInterval"] == "15s"
    assert api(d, "targets", state="dropped")["activeTargets"] == []
    assert len(api(d, "targets", scrapePool="db")["activeTargets"]) == 1
    assert api(d, "scrape_pools") == {"scrapePools": ["db", "web"]}
    meta = api(d, "targets/metadata", match_target='{instance="i0"}', metric="queue_length")
    assert meta == [{"target": {"instance": "i0", "job": "web"}, "type": "gauge", "help": "", "unit": ""}]
    assert len(api(d, "targets/metadata", match_target='{instance="i0"}')) == 2
    assert api(d, "alertmanagers") == {"activeAlertmanagers": [], "droppedAlertmanagers": []}


def test_status_pages(detector):
    d = detector(enable_features=["promql-duration-expr"])
    flags = api(d, "status/flags")
    assert flags["enable-feature"] == "promql-duration-expr" and flags["query.timeout"] == "10s"
    assert "query_timeout: 10s" in api(d, "status/config")["yaml"]
    assert api(d, "status/walreplay") == {"min": 0, "max": 0, "current": 0}
    assert api(d, "notifications") == []
    assert api(d, "features")["api"]["remote_write_receiver"] is True
    assert set(api(d, "status/tsdb")) >= {"headStats", "seriesCountByMetricName"}
    assert api(d, "status/tsdb/blocks") == {"blocks": []}
    for path in ("query", "nothing/of/the/kind"):
        options = http("OPTIONS", f"{d.url}/api/v1/{path}", headers={"Origin": "http://elsewhere"})
        assert options.code == 204 and options.headers["Access-Control-Allow-Origin"] == "*" and options.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in d.get("/api/v1/labels").headers
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://elsewhere"}
    assert d.post("/api/v1/query", "query=1", headers=form).code == 200
    assert d.post("/api/v1/import/prometheus", "a 1\n", headers={"Origin": "http://elsewhere"}).code == 403
    stats = api(d, "query", query="vector(1)", stats="all")["stats"]
    assert set(stats) == {"timings", "samples"} and "execTotalTime" in stats["timings"]


def test_administration(detector):
    d = detector()
    load(d)
    form = urllib.parse.urlencode({"match[]": "queue_length"})
    assert d.post("/api/v1/admin/tsdb/delete_series?" + form).json == {
        "status": "error", "errorType": "unavailable", "error": "admin APIs disabled"}
    assert d.post("/-/quit").code == 403
    d = detector(enable_admin_api=True, enable_lifecycle=True)
    end = load(d)
    assert d.post("/api/v1/admin/tsdb/delete_series").json["error"] == "no match[] parameter provided"
    assert value(d, "queue_length", time=end) != []
    assert d.post("/api/v1/admin/tsdb/delete_series?" + form).code == 204
    assert value(d, "queue_length", time=end) == [] and len(value(d, "up", time=end)) == SERIES
    window = urllib.parse.urlencode({"match[]": 'up{instance="i0"}', "end": end - 15 * MINUTE})
    assert d.post("/api/v1/admin/tsdb/delete_series?" + window).code == 204
    assert value(d, 'count_over_time(up{instance="i0"}[1h])', time=end) == [60]
    refused = http("POST", d.url + "/api/v1/admin/tsdb/snapshot", headers={"Origin": "http://elsewhere"})
    assert refused.code == 403
    assert http("GET", d.url + "/api/v1/admin/tsdb/snapshot").code == 405
    name = http("PUT", d.url + "/api/v1/admin/tsdb/snapshot").json["data"]["name"]
    assert list(d.state_dir.glob(f"**/snapshots/{name}"))
    assert d.post("/api/v1/admin/tsdb/clean_tombstones").code == 204
    records = b"".join(f.read_bytes() for f in d.state_dir.glob("audit/**/*") if f.is_file())
    for action in (b"tsdb.delete_series", b"tsdb.snapshot", b"tsdb.clean_tombstones"):
        assert action in records
    assert d.post("/-/quit").code == 200
    assert d.wait_exit() == 0
    assert b"service.quit" in b"".join(f.read_bytes() for f in d.state_dir.glob("audit/**/*") if f.is_file())


def test_rules_by_pages_and_filters(detector):
    groups = "".join(f"- name: g{i}\n  rules:\n  - {{alert: A{i}, expr: up > {i}, labels: {{team: t{i % 2}}}}}\n"
                     f"  - {{record: r{i}, expr: up}}\n" for i in range(5))
    d = detector("groups:\n" + groups)
    seen, token = [], None
    while True:
        page = api(d, "rules", group_limit=2, **({"group_next_token": token} if token else {}))
        assert len(page["groups"]) <= 2
        seen += [g["name"] for g in page["groups"]]
        token = page.get("groupNextToken")
        if token is None:
            break
    assert seen == [f"g{i}" for i in range(5)]
    assert api(d, "rules", 400, group_limit=2, group_next_token="x")["error"] == (
        "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?")
    assert api(d, "rules", 400, group_next_token="x")["errorType"] == "bad_data"
    assert api(d, "rules", 400, group_limit=0)["error"].endswith("group_limit needs to be greater than 0")
    for limit, why in (("x", "invalid syntax"), ("99999999999", "value out of range")):
        assert api(d, "rules", 400, group_limit=limit)["error"] == (
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: "
            f"strconv.ParseInt: parsing \"{limit}\": {why}")
    assert api(d, "rules", 400, **{"match[]": "{"})["error"] == (
        "1:2: parse error: unexpected end of input inside braces")
    no_exemplars = d.get("/api/v1/query_exemplars?query=1")
    assert no_exemplars.code == 204 and no_exemplars.body == b""
    only = api(d, "rules", type="alert", **{"match[]": '{team="t1"}'})["groups"]
    assert [r["name"] for g in only for r in g["rules"]] == ["A1", "A3"]
    plain = api(d, "rules", exclude_alerts="true", **{"rule_group[]": "g0"})["groups"][0]["rules"]
    assert plain[0]["alerts"] is None and "labels" not in plain[1]
    assert api(d, "rules", 400, exclude_alerts="maybe")["error"].startswith('invalid parameter "exclude_alerts"')
    assert api(d, "rules", 400, type="x")["error"] == 'invalid parameter "type": not supported value "x"'


# ---- promtool ----

def promtool(*args):
    return subprocess.run([peer("promtool"), *map(str, args)], capture_output=True, text=True, timeout=60)


def test_promtool_queries(detector):
    d = detector()
    end = load(d)
    instant = promtool("query", "instant", "-o", "json", f"--time={end}", d.url, "http_requests_total")
    assert instant.returncode == 0, instant.stderr
    assert sorted(x["value"][1] for x in json.loads(instant.stdout)) == ["120", "240", "360"]
    ranged = promtool("query", "range", "-o", "json", f"--start={end - 60}", f"--end={end}", "--step=15s", d.url,
                      "queue_length")
    assert ranged.returncode == 0 and len(json.loads(ranged.stdout)[0]["values"]) == 5, ranged
    series = promtool("query", "series", "-o", "json", "--match=queue_length", d.url)
    assert json.loads(series.stdout) == [{"__name__": "queue_length", "instance": "i0", "job": "web"}], series
    labels = promtool("query", "labels", "-o", "json", d.url, "instance")
    assert json.loads(labels.stdout) == ["i0", "i1", "i2"], labels
    wrong = promtool("query", "instant", d.url, "sum(")
    assert wrong.returncode != 0 and "parse error" in wrong.stderr


def test_promtool_reads_our_rule_files(tmp_path):
    """What is in Prometheus' form in the files that we ship, promtool takes; `labels` of a group it does not know yet."""
    import yaml
    checked = 0
    for path in sorted((harness.REPO / "deploy/etc/alerts").glob("*.y*ml")):
        text = yaml.safe_load(path.read_text().replace("${RULE_WINDOW}", "5m").replace("${RULE_FOR}", "3m"))
        if not isinstance(text, dict) or "groups" not in text:
            continue
        for group in text["groups"]:
            group.pop("labels", None)
        copy = tmp_path / path.name
        copy.write_text(yaml.safe_dump(text))
        done = promtool("check", "rules", copy)
        assert done.returncode == 0, done.stdout + done.stderr
        checked += 1
    assert checked > 0


# ---- a stock Prometheus ----

def prometheus(run_peer, tmp_path, ports, config, *flags):
    port = ports()
    file = tmp_path / "peer.yml"
    file.write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    run_peer([peer("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'peer-data'}",
              f"--web.listen-address=127.0.0.1:{port}", *flags], url + "/-/ready")
    return url


def peer_query(url, expr, **params):
    reply = http_get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": expr, **params}))
    assert reply.code == 200, reply
    return [(x["metric"], float(x["value"][1])) for x in reply.json["data"]["result"]]


def test_prometheus_reads_from_us(detector, run_peer, tmp_path, ports):
    d = detector()
    end = load(d)
    url = prometheus(run_peer, tmp_path, ports, {"remote_read": [{"url": d.url + "/api/v1/read", "read_recent": True}]})
    got = peer_query(url, "sum by (instance) (http_requests_total)", time=end)
    assert sorted((m["instance"], v) for m, v in got) == [("i0", 120), ("i1", 240), ("i2", 360)]
    ours = value(d, "sum(rate(http_requests_total[10m]))", time=end)
    assert [v for _, v in peer_query(url, "sum(rate(http_requests_total[10m]))", time=end)] == [pytest.approx(ours[0])]
    whole = peer_query(url, "count_over_time(queue_length[1h])", time=end)
    assert [v for _, v in whole] == [121]
    assert d.metric("ops_http_requests_total", handler="/api/v1/read", code="200") >= 3


def test_prometheus_federates_from_us(detector, run_peer, tmp_path, ports):
    d = detector(external={"site": "lab"})
    load(d)
    plain = d.get("/federate?match[]=queue_length")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.text.startswith('# TYPE queue_length untyped\nqueue_length{instance="i0",job="web",site="lab"} ')
    modern = d.get("/federate?match[]=queue_length", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text") and modern.text.endswith("# EOF\n")
    assert d.get("/federate?match[]=x{").text == "1:3: parse error: unexpected end of input inside braces\n"
    url = prometheus(run_peer, tmp_path, ports, {"scrape_configs": [{
        "job_name": "federate", "honor_labels": True, "metrics_path": "/federate", "scrape_interval": "1s",
        "params": {"match[]": ['{job="web"}']}, "static_configs": [{"targets": [f"127.0.0.1:{d.port}"]}]}]})
    wait_until(lambda: len(peer_query(url, "http_requests_total")) == SERIES)
    metric, _ = peer_query(url, "queue_length")[0]
    assert metric == {"__name__": "queue_length", "instance": "i0", "job": "web", "site": "lab"}


def zigzag(*numbers):
    return b"".join(varint(n * 2 if n >= 0 else -n * 2 - 1) for n in numbers)


def native(name, time_ms):
    """A message of remote write 1.0: one histogram of 1, 3 and 2 in the first buckets above 1, sum 10."""
    label = part(1, part(1, b"__name__") + part(2, name))
    buckets = part(11, b"\x08" + zigzag(1) + b"\x10\x03") + part(12, zigzag(1, 2, -1))
    head = b"\x08\x06" + b"\x19" + struct.pack("<d", 10) + b"\x20\x00" + b"\x29" + struct.pack("<d", 0.001) + b"\x30\x00"
    return part(1, label + part(4, head + buckets + b"\x78" + varint(time_ms)))


def test_native_histograms_are_federated(detector, service, ports, tmp_path):
    """Our own collector asks for protobuf, and gives the histogram back under its own labels."""
    d = detector(external={"site": "lab"})
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    assert d.post("/api/v1/write", snappy(native(b"lat", int(time.time()) * 1000)), headers=headers).code == 204
    assert d.post("/api/v1/import/prometheus", "gauge 3\n").code == 204
    proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    for accept, kind in ((proto, "vnd.google.protobuf"), (proto + ";q=0.5,text/plain;q=0.7", "text/plain"),
                         (proto + ";q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1", "vnd.google.protobuf")):
        assert kind in d.get("/federate?match[]=lat", headers={"Accept": accept}).headers["Content-Type"]
    config = tmp_path / "federate.yml"
    config.write_text(json.dumps({
        "global": {"scrape_interval": "1s"}, "scrape_configs": [{
            "job_name": "again", "metrics_path": "/federate", "scrape_protocols": ["PrometheusProto"], "scrape_native_histograms": True,
            "params": {"match[]": ["lat", "gauge"]}, "static_configs": [{"targets": [f"127.0.0.1:{d.port}"]}]}]}))
    text = d.config_file.read_text()
    service("ops-collector", {
        "scrape_config_file": str(config), "samples_url": re.search(r"samples_listen: (\S+)", text)[1],
        "members_url": re.search(r"alerts_listen: (\S+)", text)[1], "replay_listen": f"tcp://127.0.0.1:{ports()}"})
    wait_until(lambda: value(d, 'histogram_count(lat{job="again",site="lab"})') == [6])
    assert value(d, 'histogram_sum(lat{job="again"})') == [10] and value(d, 'gauge{job="again"}') == [3]
    assert value(d, 'histogram_quantile(1, lat{job="again"})') == value(d, 'histogram_quantile(1, lat{job=""})')


def test_remote_read_of_floats_and_histograms(detector):
    """Chunks for floats alone; where a native histogram is among them, whenever it comes, all of it as samples."""
    d = detector()
    now = int(time.time()) * 1000
    d.post("/api/v1/import/prometheus", "".join(f'many{{n="{i:05}",text="{i:040}"}} {i} {now}\n' for i in range(4000)))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    assert d.post("/api/v1/write", snappy(native(b"zz", now)), headers=headers).code == 204

    def read(expression):
        matcher = part(3, b"\x08\x02" + part(2, b"__name__") + part(3, expression))
        query = part(1, b"\x08\x00\x10" + varint(now) + matcher)
        return d.post("/api/v1/read", snappy(query + b"\x10\x01\x10\x00"), headers=headers)
    floats, both = read(b"many"), read(b"many|zz")
    assert floats.code == both.code == 200
    assert floats.headers["Content-Type"].startswith("application/x-streamed-protobuf") and floats.body.count(b"text") == 4000
    assert both.headers["Content-Type"] == "application/x-protobuf"
    assert unsnappy(both.body).count(b"text") == 4000 and unsnappy(both.body).count(b"zz") == 1


def test_prometheus_writes_to_us(detector, run_peer, tmp_path, ports, target):
    d = detector()
    t = target("hits_total 5\n")
    prometheus(run_peer, tmp_path, ports, {
        "global": {"scrape_interval": "1s", "external_labels": {"replica": "a"}},
        "scrape_configs": [{"job_name": "web", "static_configs": [{"targets": [t.address]}]}],
        "remote_write": [{"url": d.url + "/api/v1/write", "metadata_config": {"send_interval": "1s"}}]})
    wait_until(lambda: value(d, 'hits_total{replica="a",job="web"}') == [5])
    t.body = "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 6\n"
    wait_until(lambda: value(d, 'hits_total{replica="a",job="web"}') == [6])
    wait_until(lambda: api(d, "metadata", metric="hits_total").get("hits_total") == [
        {"type": "counter", "help": "Hits.", "unit": ""}])
    assert [x["health"] for x in api(d, "targets")["activeTargets"]] == ["up"]
    assert d.metric("ops_detector_received_samples_total", door="write", outcome="refused") in (None, 0)


def test_write_refuses_what_it_does_not_know(detector):
    d = detector()

    def write(body, **headers):
        headers = {"Content_Type": "application/x-protobuf", **headers}
        return d.post("/api/v1/write", body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert write(b"x").code == 400
    assert write(b"", Content_Encoding="gzip").code == 415
    assert write(b"", Content_Type="application/x-protobuf;proto=some.Other").code == 415
    assert write(b"\x00").code == 204  # an empty message, in snappy
    assert d.post("/api/v1/read", b"x").code == 400


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def part(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def snappy(data):
    """As literals only."""
    out = varint(len(data))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return out


def written(name, n, time_ms, value):
    labels = b"".join(part(1, part(1, k) + part(2, v)) for k, v in ((b"__name__", name), (b"n", b"%06d" % n)))
    return part(1, labels + part(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time_ms)))


def started(name, samples):
    """A message of remote write 2.0: (time, value, start) of one series."""
    body = b"".join(part(2, b"\x09" + struct.pack("<d", v) + b"\x10" + varint(t) + (b"\x18" + varint(start) if start else b""))
                    for t, v, start in samples)
    return part(4, b"") + part(4, b"__name__") + part(4, name) + part(5, part(1, bytes([1, 2])) + body)


def test_start_timestamps(detector):
    d = detector(enable_features=["use-start-timestamps,st-storage"])
    end = int(time.time()) * 1000
    headers = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding": "snappy"}

    def write(name, samples):
        assert d.post("/api/v1/write", snappy(started(name, samples)), headers=headers).code == 204
    write(b"born_total", [(end - 30000, 7, end - 60000)])
    write(b"again_total", [(end - 60000, 5, end - 90000), (end - 30000, 6, end - 45000), (end, 8, end - 45000)])
    write(b"silent_total", [(end - 30000, 7, 0)])
    at = end / 1000
    assert value(d, "increase(born_total[5m])", time=at) == [7] and value(d, "increase(silent_total[5m])", time=at) == []
    assert value(d, "resets(again_total[5m])", time=at) == [1] and value(d, "start_timestamp(again_total)", time=at) == [at - 45]
    assert value(d, "start_timestamp(silent_total)", time=at) == [0] and value(d, "start_timestamp(-again_total)", time=at) == []
    assert api(d, "labels") == ["__name__"] and len(api(d, "series", **{"match[]": '{__name__!=""}'})) == 3
    d.restart()
    assert value(d, "increase(born_total[5m])", time=at) == [7]
    d.config_file.write_text(d.config_file.read_text().replace("use-start-timestamps,", ""))
    d.sighup()
    wait_until(lambda: value(d, "increase(born_total[5m])", time=at) == [])


def test_write_of_large_bodies(detector):
    """They are unpacked beside the loop and stored in pieces; in the order of the client; whole or, when malformed, not at all."""
    d, count = detector(), 8000
    now = int(time.time() * 1000)

    def write(message):
        return d.post("/api/v1/write", snappy(message), headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})
    for i in range(3):
        assert write(b"".join(written(b"large", n, now + i, i) for n in range(count))).code == 204
    assert d.metric("ops_detector_receiving_pieces_total") > 6 and d.metric("ops_detector_receiving_bytes") == 0
    assert value(d, "count(large == 2)") == [count]
    assert value(d, "sum(count_over_time(large[1m]))") == [3 * count]
    good = b"".join(written(b"torn", n, now, 1) for n in range(count))
    assert write(good[:-3]).code == 400 and value(d, "count(torn)") == []
    late = write(b"".join(written(b"large", n, now - 86400000, 1) for n in range(count)))
    assert late.code == 400 and f"{count} of {count} samples refused" in late.text
    with socket.create_connection(("127.0.0.1", d.port)) as s:  # gone before the answer: nothing is left behind
        s.sendall(f"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {len(snappy(good))}\r\n\r\n".encode() + snappy(good))
    wait_until(lambda: d.metric("ops_detector_receiving_bytes") == 0)
    assert write(written(b"after", 1, now, 1)).code == 204


# ---- vmalert ----

def test_vmalert_with_us_as_its_datasource(detector, run_peer, tmp_path, ports):
    vmalert = peer("vmalert")
    d = detector()
    load(d)
    rules = tmp_path / "vm.yml"
    rules.write_text("groups:\n- name: g\n  interval: 1s\n  rules:\n"
                     "  - {record: 'job:requests:sum', expr: sum by (job) (http_requests_total)}\n"
                     "  - {alert: Many, expr: http_requests_total > 300, labels: {severity: page}}\n")
    port = ports()
    run_peer([vmalert, f"-rule={rules}", f"-datasource.url={d.url}", f"-remoteWrite.url={d.url}", f"-notifier.url={d.url}",
              f"-httpListenAddr=127.0.0.1:{port}", "-remoteWrite.flushInterval=200ms"], f"http://127.0.0.1:{port}/health")

    def firing():
        alerts = http_get(f"http://127.0.0.1:{port}/api/v1/alerts").json["data"]["alerts"]
        return [(a["name"], a["state"], a["labels"]["instance"]) for a in alerts]
    wait_until(lambda: firing() == [("Many", "firing", "i2")])
    wait_until(lambda: value(d, "job:requests:sum") == [720])
    wait_until(lambda: len(value(d, 'ALERTS{alertname="Many",alertstate="firing"}')) == 1)


# ---- opsctl ----

def test_opsctl_queries(detector):
    d = detector()
    end = load(d)
    env = {"OPS_DETECTOR_URL": d.url}
    shown = opsctl("query", "instant", "http_requests_total", "--time", end, env=env, check=0).stdout
    assert 'http_requests_total{code="200", instance="i2", job="web"}' in shown and "360" in shown
    found = json.loads(opsctl("query", "instant", "queue_length", "--json", env=env, check=0).stdout)
    assert found["data"]["result"][0]["metric"]["instance"] == "i0"
    chart = opsctl("query", "range", "rate(http_requests_total[1m])", "--start", end - 1800, "--end", end, "--width", 60,
                   env={**env, "LC_ALL": "C.UTF-8"}, check=0).stdout
    assert max(len(line) for line in chart.splitlines()) <= 60 and 'instance="i1"' in chart
    assert any("\u2800" <= c <= "\u28ff" for c in chart)
    assert opsctl("query", "series", "queue_length", env=env, check=0).stdout.strip() == (
        'queue_length{instance="i0", job="web"}')
    assert opsctl("query", "labels", env=env, check=0).stdout.split() == ["__name__", "code", "instance", "job"]
    assert opsctl("query", "labels", "instance", env=env, check=0).stdout.split() == ["i0", "i1", "i2"]
    wrong = opsctl("query", "instant", "sum(", env=env, check=1)
    assert "parse error" in wrong.stderr
