# SPDX-License-Identifier: Apache-2.0
"""ops-collector against fake targets, with a real detector behind it where one is asked."""
import base64
import json
import shutil
import urllib.parse

import pytest

from harness import http_get, wait_until


class Stack:
    """A detector (or none) and the settings with which collectors find it."""

    def __init__(self, service, ports, tmp_path, detector=True):
        self.service, self.ports = service, ports
        self.samples, self.alerts, self.replay = ports(3)
        self.file = tmp_path / "prometheus.yml"
        self.detector = detector and service("ops-detector", {
            "samples_listen": f"tcp://127.0.0.1:{self.samples}",
            "alerts_listen": f"tcp://127.0.0.1:{self.alerts}",
            "alerts_replay_listen": f"tcp://127.0.0.1:{self.replay}"})

    def write(self, jobs, **globals_):
        # JSON is YAML too
        self.file.write_text(json.dumps({
            "global": {"scrape_interval": "300ms", **globals_}, "scrape_configs": jobs}))

    def collector(self, name="c1", env=None, **config):
        return self.service("ops-collector", {
            "scrape_config_file": str(self.file), "instance": name,
            "samples_url": f"tcp://127.0.0.1:{self.samples}",
            "members_url": f"tcp://127.0.0.1:{self.alerts}" if self.detector else "",
            "replay_listen": f"tcp://127.0.0.1:{self.ports()}", "heartbeat_interval": "200ms", **config}, env=env)

    def query(self, expr):
        reply = http_get(f"{self.detector.url}/api/v1/query?" + urllib.parse.urlencode({"query": expr})).json
        assert reply["status"] == "success", reply
        return {tuple(sorted(x["metric"].items())): float(x["value"][1]) for x in reply["data"]["result"]}

    def value(self, expr):
        found = list(self.query(expr).values())
        return found[0] if len(found) == 1 else None


@pytest.fixture
def stack(service, ports, tmp_path):
    return Stack(service, ports, tmp_path)


@pytest.fixture
def alone(service, ports, tmp_path):
    return Stack(service, ports, tmp_path, detector=False)


def job(name, *targets, **more):
    return {"job_name": name, "static_configs": [{"targets": [getattr(t, "address", t) for t in targets]}], **more}


def active(collector, **params):
    reply = collector.get("/api/v1/targets?" + urllib.parse.urlencode(params)).json
    assert reply["status"] == "success"
    return reply["data"]["activeTargets"]


def state(collector, name):
    return next(t for t in active(collector) if t["scrapePool"] == name)


def test_good_and_bad_targets(alone, target):
    good = target("a 1\n")
    om = target("# TYPE b counter\nb_total 5 # {x=\"y\"} 1\n# EOF\n", "application/openmetrics-text; version=1.0.0")
    packed = target("c 3\n" * 1 + "".join(f'd{{i="{i}"}} {i}\n' for i in range(200)))
    packed.compress = True
    malformed = target("a 1\nb{c=\"d} 2\n")
    slow = target("a 1\n")
    slow.delay = 3
    big = target("a 1\n" * 5000)
    broken = target("a 1\n")
    broken.status = 503
    untyped = target("a 1\n", content_type=None)
    excused = target("a 1\n", content_type="text/html")
    many = target("a 1\nb 2\nc 3\n")
    alone.write([
        job("good", good), job("om", om), job("packed", packed), job("malformed", malformed),
        job("slow", slow, scrape_timeout="200ms"), job("big", big, body_size_limit="1KB"), job("broken", broken),
        job("untyped", untyped), job("excused", excused, fallback_scrape_protocol="PrometheusText0.0.4"),
        job("many", many, sample_limit=2), job("refused", "127.0.0.1:1")])
    c = alone.collector()
    for name in ("good", "om", "packed", "excused"):
        wait_until(lambda n=name: (state(c, n)["health"], state(c, n)["lastError"]) == ("up", ""))
    wanted = {
        "malformed": ("line 2, column 5", "malformed"), "slow": ("scrape_timeout", "timeout"),
        "big": ("body_size_limit", "too_big"), "broken": ("503", "status"), "untyped": ("Content-Type", "content_type"),
        "many": ("sample_limit", "limit"), "refused": ("127.0.0.1", "refused")}
    for name, (message, reason) in wanted.items():
        wait_until(lambda n=name, m=message: state(c, n)["health"] == "down" and m in state(c, n)["lastError"])
        assert c.metric("ops_scrape_errors_total", reason=reason) >= 1
    path, headers = good.requests[0]
    assert path == "/metrics"
    assert headers["X-Prometheus-Scrape-Timeout-Seconds"] == "0.3"
    assert headers["Accept"].startswith("application/openmetrics-text;version=1.0.0")
    assert c.metric("prometheus_target_scrapes_exceeded_sample_limit_total") >= 1
    # the same body again is compared, not parsed
    wait_until(lambda: c.metric("ops_scrape_bodies_total", way="compared") > 10)
    good.status = 500
    wait_until(lambda: state(c, "good")["health"] == "down")
    good.status = 200
    wait_until(lambda: state(c, "good")["health"] == "up")


def test_samples_reach_the_detector(stack, target):
    t = target('# HELP hits Hits.\n# TYPE hits counter\nhits{code="200"} 7\nhits{code="500",job="x"} 1\nold 1 1000\n')
    stack.write([job("web", t, metric_relabel_configs=[
        {"source_labels": ["__name__"], "regex": "old", "action": "drop"}])])
    stack.collector()
    instance = ("instance", t.address)
    hits = {(("__name__", "hits"), ("code", "200"), instance, ("job", "web")): 7,
            (("__name__", "hits"), ("code", "500"), ("exported_job", "x"), instance, ("job", "web")): 1}
    wait_until(lambda: stack.value("up") == 1 and stack.query("hits") == hits)
    wait_until(lambda: stack.value("scrape_samples_scraped") == 3 and stack.value("scrape_samples_post_metric_relabeling") == 2)
    assert stack.value("scrape_duration_seconds") > 0
    wait_until(lambda: stack.value("scrape_series_added") == 0)
    t.body = t.body.replace(" 7", " 8.5")
    wait_until(lambda: stack.value('hits{code="200"}') == 8.5)
    metadata = stack.detector.get("/api/v1/metadata?metric=hits").json["data"]
    assert metadata == {"hits": [{"type": "counter", "help": "Hits.", "unit": ""}]}


def test_extra_scrape_metrics(stack, target):
    t = target("a 1\nb 2\n")
    stack.write([job("web", t, sample_limit=50, body_size_limit="1KB", extra_scrape_metrics=True), job("plain", t)])
    c = stack.collector()
    wait_until(lambda: stack.value("scrape_body_size_bytes") == len(t.body))
    assert stack.value("scrape_timeout_seconds") == 0.3 and stack.value("scrape_sample_limit") == 50
    t.body = "a 1\n" * 500
    wait_until(lambda: stack.value("scrape_body_size_bytes") == -1)
    assert stack.value('up{job="web"}') == 0
    # a reload takes them away while the target is down
    stack.write([job("web", t, sample_limit=50, body_size_limit="1KB"), job("plain", t)])
    assert c.post("/-/reload").code == 200
    wait_until(lambda: stack.query("scrape_body_size_bytes") == {})
    assert stack.value('up{job="web"}') == 0


def test_what_vanishes_is_stale(stack, target):
    t, other = target("a 1\nb 2\n"), target("z 1\n")
    stack.write([job("web", t), job("other", other)])
    c = stack.collector()
    wait_until(lambda: stack.value("a") == 1 and stack.value("b") == 2 and stack.value("z") == 1)
    t.body = "b 2\nc 3\n"
    wait_until(lambda: stack.value("c") == 3 and stack.query("a") == {} and stack.value("b") == 2)
    t.status = 500
    wait_until(lambda: stack.value('up{job="web"}') == 0)
    assert stack.query("b or c") == {}
    t.status = 200
    wait_until(lambda: stack.value("c") == 3 and stack.value('up{job="web"}') == 1)
    t.body = "not an exposition {\n"
    wait_until(lambda: stack.value('up{job="web"}') == 0)
    assert stack.query("b or c") == {}
    stack.write([job("other", other)])
    c.sighup()
    wait_until(lambda: stack.query('up{job="web"}') == {} and stack.value("z") == 1)


def test_reload_keeps_what_is_the_same(alone, target, tmp_path):
    t, u = target("a 1\n"), target("b 1\n")
    alone.write([job("t", t)], scrape_interval="200ms")
    c = alone.collector()
    wait_until(lambda: c.metric("ops_scrape_bodies_total", way="compared"))
    alone.write([job("t", t), job("u", u)], scrape_interval="200ms")
    assert c.post("/-/reload").code == 200
    wait_until(lambda: [t["health"] for t in active(c)] == ["up", "up"])
    assert c.metric("ops_scrape_bodies_total", way="parsed") == 2
    alone.file.write_text("scrape_configs: [{job_name: x, scrape_intervall: 1s}]")
    reply = c.post("/-/reload")
    assert reply.code >= 400
    assert "scrape_intervall" in reply.text and "prometheus.yml" in reply.text
    assert len(active(c)) == 2
    # other rules for the series: parsed anew although the body is the same
    alone.write([job("t", t, honor_labels=True), job("u", u)], scrape_interval="200ms")
    assert c.post("/-/reload").code == 200
    wait_until(lambda: c.metric("ops_scrape_bodies_total", way="parsed") == 3)


def test_file_sd(alone, target, tmp_path):
    t, u = target("a 1\n"), target("b 1\n")
    sd = tmp_path / "targets.json"
    alone.write([{"job_name": "files", "file_sd_configs": [{"files": ["*targets.json"]}]}])
    c = alone.collector()
    assert active(c) == []
    sd.write_text(json.dumps([{"targets": [t.address], "labels": {"env": "one"}}]))
    wait_until(lambda: [x["labels"].get("env") for x in active(c)] == ["one"], timeout=60)
    assert active(c)[0]["discoveredLabels"]["__meta_filepath"].endswith("targets.json")
    sd.write_text("broken: [")
    wait_until(lambda: c.metric("prometheus_sd_file_read_errors_total") >= 1)  # it may see a file that is half written
    assert len(active(c)) == 1
    sd.write_text(json.dumps([{"targets": [t.address, u.address]}]))
    wait_until(lambda: len(active(c)) == 2, timeout=60)


def test_requests_carry_what_the_job_says(alone, target, tmp_path):
    basic, bearer, probe = target("a 1\n"), target("a 1\n"), target("a 1\n")
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    alone.write([
        job("basic", basic, basic_auth={"username": "u", "password": "p"}),
        job("bearer", bearer, authorization={"credentials_file": str(secret)}),
        job("probe", probe, metrics_path="/probe", params={"module": ["http", "two"]},
            http_headers={"X-Team": {"values": ["core"]}},
            relabel_configs=[{"target_label": "__param_target", "replacement": "x y"}])])
    alone.collector()
    wait_until(lambda: basic.requests and bearer.requests and probe.requests)
    assert basic.requests[0][1]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    assert bearer.requests[0][1]["Authorization"] == "Bearer s3cret"
    assert probe.requests[0][0] == "/probe?module=http&module=two&target=x%20y"
    assert probe.requests[0][1]["X-Team"] == "core"


def test_doors(alone, target):
    t = target("a 1\n")
    alone.write([job("one", t, "drop:1", bearer_token="hidden", relabel_configs=[
        {"source_labels": ["__address__"], "regex": "drop.*", "action": "drop"}]), job("two", t)])
    c = alone.collector()
    data = c.get("/api/v1/targets").json["data"]
    assert [x["discoveredLabels"]["__address__"] for x in data["droppedTargets"]] == ["drop:1"]
    assert data["droppedTargetCounts"] == {"one": 1, "two": 0}
    assert len(data["activeTargets"]) == 2
    assert len(active(c, scrapePool="two")) == 1
    assert active(c, state="dropped") == []
    assert c.get("/api/v1/targets?state=active").json["data"]["droppedTargets"] == []
    assert c.get("/api/v1/scrape_pools").json["data"] == {"scrapePools": ["one", "two"]}
    config = c.get("/api/v1/status/config").json["data"]["yaml"]
    assert "job_name" in config and "hidden" not in config
    first = active(c)[0]
    assert first["scrapeUrl"] == f"http://{t.address}/metrics"
    assert (first["scrapeInterval"], first["scrapeTimeout"]) == ("300ms", "300ms")
    assert c.get("/health").json["status"] == "healthy"


def owned(c):
    return {t["scrapePool"] for t in active(c) if t["local"]}


def test_two_collectors_share(stack, target):
    targets = {f"j{i}": target(f"a {i}\n") for i in range(12)}
    stack.write([job(name, t) for name, t in targets.items()])
    one, two = stack.collector("one"), stack.collector("two")
    wait_until(lambda: owned(one) and owned(two) and owned(one) | owned(two) == set(targets)
               and not owned(one) & owned(two))
    wait_until(lambda: stack.value("count(a)") == 12 and stack.value("sum(up)") == 12)
    before = owned(two)
    two.sigkill()
    wait_until(lambda: owned(one) == set(targets), timeout=60)
    moved = targets[sorted(before)[0]]
    n = len(moved.requests)
    wait_until(lambda: len(moved.requests) > n)
    two.start()
    wait_until(lambda: owned(two) == before and owned(one) == set(targets) - before)


def test_detector_away(stack, target):
    t = target("a 1\n")
    stack.write([job("web", t)])
    c = stack.collector()
    wait_until(lambda: stack.value("a") == 1)
    stack.detector.sigkill()
    wait_until(lambda: c.get("/health").json["status"] == "degraded")
    t.body = "a 2\nb 5\n"
    n = len(t.requests)
    wait_until(lambda: len(t.requests) > n + 2)
    stack.detector.start()
    wait_until(lambda: stack.value("a") == 2 and stack.value("b") == 5, timeout=60)
    # the ring had what was scraped before and meanwhile
    assert stack.value("min_over_time(a[10m])") == 1


def test_layouts_outlive_the_ring(stack, target):
    """A small ring wraps again and again; what it holds can be understood from it alone."""
    t = target("".join(f'm{{number="{i}"}} {i}\n' for i in range(3000)))
    stack.write([job("web", t)], scrape_interval="100ms")
    c = stack.collector(ring_size="1MiB")
    wait_until(lambda: stack.value("count(m)") == 3000)
    stack.detector.sigkill()
    wait_until(lambda: c.metric("ops_collector_layouts_published_total") >= 4, timeout=120)
    stack.detector.start()
    wait_until(lambda: stack.value("count(m)") == 3000 and stack.value("sum(m)") == 3000 * 2999 / 2, timeout=60)
    assert not stack.detector.metric("ops_detector_batches_total", outcome="layout_unknown")


def test_the_ring_holds_what_is_not_durable_yet(stack, target):
    """What the detector has on its disk leaves the ring; killed, it goes on with the layouts that it knew, and loses nothing."""
    t = target("".join(f'm{{number="{i}"}} {i}\n' for i in range(3000)) + "marker 0\n")
    stack.write([job("web", t)], scrape_interval="500ms")
    c = stack.collector()
    published = lambda: c.metric("ops_collector_samples_published_total")  # noqa: E731
    wait_until(lambda: published() > 12 * 3000 and c.metric("ops_bus_held_bytes") < published() * 8 / 2, 60)
    layouts = c.metric("ops_collector_layouts_published_total")
    stack.detector.sigkill()
    t.body = t.body.rsplit("marker", 1)[0] + "marker 1\n"
    n = len(t.requests)
    wait_until(lambda: len(t.requests) > n + 3)
    t.body = t.body.rsplit("marker", 1)[0] + "marker 2\n"
    stack.detector.start()
    wait_until(lambda: stack.value("marker") == 2 and stack.value("count(m)") == 3000)
    assert stack.value("changes(marker[10m])") == 2
    if stack.value("min_over_time(up[10m])") == 1:  # a machine so slow that a scrape timed out sends other layouts
        assert stack.value("count_over_time(marker[10m])") >= len(t.requests) - 5
        assert c.metric("ops_collector_layouts_published_total") == layouts
    assert not stack.detector.metric("ops_detector_batches_total", outcome="layout_unknown")
    assert not stack.detector.metric("ops_detector_sample_records_lost_total")
    # a target whose series changed while nobody knew: what it had ends
    stack.detector.sigkill()
    t.body = "marker 3\nnew 1\n"
    n = len(t.requests)
    wait_until(lambda: len(t.requests) > n + 2)
    stack.detector.start()
    wait_until(lambda: stack.value("new") == 1 and stack.value("count(m)") is None, 60)


def test_a_detector_that_lost_its_store(stack, target):
    """It knows no layout and the ring has let go of them: they are announced again."""
    t = target("".join(f'm{{number="{i}"}} {i}\n' for i in range(3000)))
    stack.write([job("web", t)], scrape_interval="500ms")
    c = stack.collector()
    published = lambda: c.metric("ops_collector_samples_published_total")  # noqa: E731
    wait_until(lambda: published() > 12 * 3000 and c.metric("ops_bus_held_bytes") < published() * 8 / 2, 60)
    stack.detector.sigkill()
    shutil.rmtree(stack.detector.state_dir / "tsdb")
    stack.detector.start()
    wait_until(lambda: stack.value("count(m)") == 3000, 60)
    assert c.metric("ops_collector_layouts_repeated_total") >= 1


def test_ring_overflows_to_disk(stack, target):
    """The detector is away for longer than the memory lasts: what was scraped meanwhile arrives all the same, in order."""
    t = target("".join(f'm{{number="{i}"}} {i}\n' for i in range(3000)) + "marker 0\n")
    stack.write([job("web", t)], scrape_interval="200ms")
    c = stack.collector(ring_size="1MiB")
    wait_until(lambda: stack.value("marker") == 0, 60)
    assert c.metric("ops_bus_overflow_bytes") in (None, 0)
    stack.detector.sigkill()
    wait_until(lambda: c.get("/health").json["status"] == "degraded", 60)
    for step in (1, 2, 3):
        before = c.metric("ops_bus_overflow_bytes") or 0
        t.body = t.body.rsplit("marker", 1)[0] + f"marker {step}\n"
        wait_until(lambda: (c.metric("ops_bus_overflow_bytes") or 0) > before + 300000, 120)
    stack.detector.start()
    wait_until(lambda: stack.value("max_over_time(marker[10m])") == 3, 120)
    assert stack.value("min_over_time(marker[10m])") <= 1
    assert stack.value("resets(marker[10m])") == 0 and stack.value("changes(marker[10m])") >= 2
    assert not stack.detector.metric("ops_detector_sample_records_lost_total")


def test_too_many_names_for_a_message(alone, target):
    t = target("".join(f'm{{number="{i}",text="{i:0>1500}"}} {i}\n' for i in range(12000)))
    alone.write([job("huge", t, scrape_interval="2s")])
    c = alone.collector()
    wait_until(lambda: state(c, "huge")["health"] == "down", timeout=60)
    assert "too large for a message" in state(c, "huge")["lastError"]
    t.body = "m 1\n"
    wait_until(lambda: state(c, "huge")["health"] == "up", timeout=60)


def test_exemplars(stack, target):
    t = target('# TYPE hits counter\nhits_total 5 # {trace_id="one"} 0.5 1700000000.123\n# EOF\n',
               "application/openmetrics-text; version=1.0.0")
    stack.write([job("web", t)])
    stack.collector()

    def exemplars():
        reply = stack.detector.get("/api/v1/query_exemplars?" + urllib.parse.urlencode(
            {"query": "hits_total", "start": "0", "end": "4000000000"})).json
        return [(x["labels"], x["value"], x["timestamp"]) for s in reply["data"] for x in s["exemplars"]]
    wait_until(lambda: exemplars() == [({"trace_id": "one"}, "0.5", 1700000000.123)])
    t.body = t.body.replace("one", "two").replace("000.123", "001.5")
    wait_until(lambda: [x[0]["trace_id"] for x in exemplars()] == ["one", "two"])
