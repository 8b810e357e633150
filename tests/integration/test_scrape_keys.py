# SPDX-License-Identifier: Apache-2.0
"""Every key of a scrape job, seen where it acts: in the request that the target gets, or in what comes of the answer.

Each entry is a generator: up to its yield it makes targets and jobs, behind it stands what must come of them. All jobs run
in one collector with a detector behind it. What other tests look at more closely: test_scrape_client.py (TLS, redirects,
odd answers), test_discovery.py (oauth2), test_protobuf.py (native histograms)."""
import base64
import http.server
import json
import threading
import time
import traceback

import pytest

import fake_apis
from harness import wait_until
from test_collector import Stack, active, job
from test_protobuf import HISTOGRAM, TYPE as PROTOBUF, family, native
from test_scrape_client import certificates, server_context

KEYS = """scrape_interval scrape_timeout scrape_protocols fallback_scrape_protocol metrics_path scheme params honor_labels
honor_timestamps track_timestamps_staleness enable_compression follow_redirects proxy_url no_proxy proxy_from_environment
proxy_connect_header basic_auth authorization oauth2 tls_config http_headers body_size_limit sample_limit label_limit
label_name_length_limit label_value_length_limit target_limit keep_dropped_targets metric_relabel_configs relabel_configs
static_configs metric_name_validation_scheme metric_name_escaping_scheme scrape_native_histograms
always_scrape_classic_histograms scrape_classic_histograms convert_classic_histograms_to_nhcb
native_histogram_bucket_limit native_histogram_min_bucket_factor extra_scrape_metrics replicas""".split()

CASES = []


def case(*keys):
    def add(generator):
        CASES.append((keys, generator))
        return generator
    return add


class World:
    def __init__(self, stack, target, fake, folder):
        self.stack, self.target, self.fake, self.folder, self.jobs = stack, target, fake, folder, []
        self.environment_proxy = target("through 1\n")
        self.collector = None

    def job(self, name, *targets, **more):
        self.jobs.append(job(name, *targets, **more))

    def one(self, name, body="a 1\n", content_type="text/plain; version=0.0.4", **more):
        t = self.target(body, content_type)
        self.job(name, t, **more)
        return t

    def start(self):
        self.stack.write(self.jobs, scrape_interval="1s")
        self.collector = self.stack.collector(env={"http_proxy": "http://" + self.environment_proxy.address, "no_proxy": "",
                                                   "https_proxy": "", "NO_PROXY": "", "HTTPS_PROXY": ""})
        wait_until(lambda: not self.unknown(), timeout=90, what="a first scrape of every target")

    def unknown(self):
        return {t["scrapePool"] for t in active(self.collector) if t["health"] == "unknown"}

    def states(self, name):
        return [t for t in active(self.collector) if t["scrapePool"] == name]

    def up(self, *names):
        for name in names:
            wait_until(lambda: {t["health"] for t in self.states(name)} == {"up"}, timeout=60)

    def down(self, name, reason):
        wait_until(lambda: all(t["health"] == "down" and reason in t["lastError"] for t in self.states(name)), timeout=60,
                   what=f"{name} is down for {reason}")
        wait_until(lambda: set(self.query("up", job=name).values()) == {0}, timeout=60)

    def query(self, metric, **labels):
        inner = ",".join(f'{k}="{v}"' for k, v in labels.items())
        return self.stack.query(f"{{__name__=\"{metric}\",{inner}}}")

    def wait(self, expr, value, timeout=60):
        wait_until(lambda: self.stack.value(expr) == value, timeout=timeout)

    def series(self, metric, name):
        """The label sets of a job's series, without job and instance."""
        found = wait_until(lambda: self.query(metric, job=name), timeout=60)
        return [{k: v for k, v in s if k not in ("__name__", "job", "instance")} for s in found]


def header(t, name):
    wait_until(lambda: t.requests, timeout=60)
    return t.requests[0][1].get(name)


# ---- what the target is asked ----

@case("scrape_interval")
def _(w):
    fast, slow = w.one("fast"), w.one("slow", scrape_interval="1h")
    yield
    wait_until(lambda: len(fast.requests) > 8, timeout=60)
    assert 1 <= len(slow.requests) <= 2  # one at once, maybe one in its place
    assert {s["scrapeInterval"] for s in w.states("slow")} == {"1h"}


@case("scrape_timeout")
def _(w):
    t, late = w.one("patience", scrape_timeout="250ms"), w.one("late", scrape_timeout="100ms")
    late.delay = 5
    yield
    assert header(t, "X-Prometheus-Scrape-Timeout-Seconds") == "0.25"
    w.down("late", "scrape_timeout")


@case("scrape_protocols")
def _(w):
    t, all_of_them = w.one("protocols", scrape_protocols=["PrometheusText0.0.4", "OpenMetricsText1.0.0"]), w.one("default")
    yield
    assert header(t, "Accept") == ("text/plain;version=0.0.4;q=0.9,"
                                   "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.8,*/*;q=0.1")
    assert header(all_of_them, "Accept").count("openmetrics") == 2


@case("fallback_scrape_protocol")
def _(w):
    w.one("untold", content_type=None)
    w.one("told", "# TYPE a counter\na_total 1\n# EOF\n", content_type="application/json", fallback_scrape_protocol="OpenMetricsText1.0.0")
    w.one("told wrong", "a 1\n", content_type=None, fallback_scrape_protocol="OpenMetricsText1.0.0")
    yield
    w.up("told")
    w.down("untold", "Content-Type")
    w.down("told wrong", "EOF")


@case("metrics_path", "params")
def _(w):
    t = w.one("path", metrics_path="/a/b", params={"module": ["x", "y&z"], "empty": []})
    yield
    header(t, "Host")
    assert t.requests[0][0] == "/a/b?module=x&module=y%26z"


@case("scheme", "tls_config")
def _(w):
    secure, stranger = w.target("a 1\n"), w.target("a 1\n")
    for t, name in ((secure, "one"), (stranger, "two")):
        t.socket = server_context(w.folder, name).wrap_socket(t.socket, server_side=True)
    tls = {"ca_file": str(w.folder / "one.pem")}
    w.job("tls", secure, scheme="https", tls_config=tls)
    w.job("tls stranger", stranger, scheme="https", tls_config=tls)
    w.job("tls name", secure, scheme="https", tls_config={**tls, "server_name": "else.where"})
    w.job("tls trusting", stranger, scheme="https", tls_config={"insecure_skip_verify": True})
    yield
    w.up("tls", "tls trusting")
    w.down("tls stranger", "certificate")
    w.down("tls name", "certificate")


@case("enable_compression")
def _(w):
    packed, plain = w.one("packed"), w.one("plain", enable_compression=False)
    packed.compress = True
    yield
    w.up("packed")
    assert "gzip" in header(packed, "Accept-Encoding") and "gzip" not in (header(plain, "Accept-Encoding") or "")


@case("follow_redirects")
def _(w):
    there = w.target("moved 1\n")
    for name, more in (("follows", {}), ("stays", {"follow_redirects": False})):
        t = w.one(name, **more)
        t.status, t.headers = 302, {"Location": f"http://{there.address}/there"}
    yield
    w.wait('moved{job="follows"}', 1)
    w.down("stays", "302")


@case("proxy_url", "no_proxy", "proxy_from_environment")
def _(w):
    proxy, direct, exempt = w.target("through 1\n"), w.target("direct 1\n"), w.target("direct 1\n")
    url = "http://" + proxy.address
    w.job("proxied", "nowhere.invalid:8080", proxy_url=url)
    w.job("exempt", exempt, proxy_url=url, no_proxy="10.0.0.0/8,127.0.0.0/8")
    w.job("environment", "elsewhere.invalid:8080", proxy_from_environment=True)
    w.job("no environment", direct)
    yield
    for name in ("proxied", "environment"):
        w.wait(f'through{{job="{name}"}}', 1)
    for name in ("exempt", "no environment"):
        w.wait(f'direct{{job="{name}"}}', 1)
    assert {r[0] for r in proxy.requests} == {"http://nowhere.invalid:8080/metrics"}
    assert {r[0] for r in w.environment_proxy.requests} == {"http://elsewhere.invalid:8080/metrics"}


class _Tunnel(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.send_error(403)

    def log_message(self, *args):
        pass


@case("proxy_connect_header")
def _(w):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tunnel)
    server.seen, server.daemon_threads = [], True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    w.job("tunnel", "nowhere.invalid:443", scheme="https", proxy_url=f"http://127.0.0.1:{server.server_address[1]}",
          proxy_connect_header={"X-Pass": ["let me"]})
    yield
    w.down("tunnel", "403")
    path, headers = server.seen[0]
    assert path == "nowhere.invalid:443" and headers["X-Pass"] == "let me"
    server.shutdown()
    server.server_close()


@case("basic_auth", "authorization", "http_headers")
def _(w):
    secret = w.folder / "secret"
    secret.write_text("s3cret\n")
    basic = w.one("basic", basic_auth={"username": "u", "password_file": str(secret)})
    bearer = w.one("bearer", authorization={"credentials_file": str(secret)})
    token = w.one("token", authorization={"type": "Token", "credentials": "t"})
    headers = w.one("headers", http_headers={"X-Team": {"values": ["core"]}, "X-Key": {"secrets": ["k"]}, "X-File": {"files": [str(secret)]}})
    yield
    assert header(basic, "Authorization") == "Basic " + base64.b64encode(b"u:s3cret").decode()
    assert header(bearer, "Authorization") == "Bearer s3cret"
    assert header(token, "Authorization") == "Token t"
    assert [header(headers, n) for n in ("X-Team", "X-Key", "X-File")] == ["core", "k", "s3cret"]


@case("oauth2")
def _(w):
    tokens = w.fake(fake_apis.Tokens)
    t = w.one("oauth2", oauth2={"client_id": "client", "client_secret": "secret", "token_url": tokens.url + "/token"})
    yield
    assert header(t, "Authorization") == "Bearer token-1"


@case("metric_name_escaping_scheme", "metric_name_validation_scheme")
def _(w):
    dots = w.one("dots", metric_name_escaping_scheme="dots")
    legacy = w.one("legacy", '{"a.b"} 1\n', "text/plain; version=1.0.0", metric_name_validation_scheme="legacy")
    w.one("utf8", '{"a.b"} 1\n', "text/plain; version=1.0.0")
    yield
    assert "escaping=dots" in header(dots, "Accept")
    assert "escaping=underscores" in header(legacy, "Accept")
    w.up("utf8")
    w.down("legacy", "legacy")
    w.wait('{"a.b",job="utf8"}', 1)


# ---- labels ----

@case("honor_labels", "static_configs")
def _(w):
    body = 'own{team="mine",job="inner"} 1\n'
    for name, honor in (("ours", False), ("theirs", True)):
        t = w.target(body)
        w.jobs.append({"job_name": name, "honor_labels": honor,
                       "static_configs": [{"targets": [t.address], "labels": {"team": "ops", "site": "lab"}}]})
    yield
    assert w.series("own", "ours") == [{"team": "ops", "site": "lab", "exported_team": "mine", "exported_job": "inner"}]
    wait_until(lambda: [dict(s)["team"] for s in w.query("own", job="inner")] == ["mine"], timeout=60)


@case("relabel_configs", "metric_relabel_configs")
def _(w):
    w.one("relabelled", "keep 1\nlose 1\n", relabel_configs=[{"source_labels": ["__address__"], "regex": "127.(.*):.*",
                                                              "target_label": "net", "replacement": "n$1"}],
          metric_relabel_configs=[{"source_labels": ["__name__"], "regex": "lose", "action": "drop"},
                                  {"source_labels": ["__name__"], "target_label": "was"}])
    yield
    assert w.series("keep", "relabelled") == [{"net": "n0.0.1", "was": "keep"}]
    assert w.query("lose", job="relabelled") == {}
    w.wait('scrape_samples_post_metric_relabeling{job="relabelled"}', 1)


@case("keep_dropped_targets", "target_limit")
def _(w):
    w.job("droppers", *(f"gone{i}:1" for i in range(5)), keep_dropped_targets=2,
          relabel_configs=[{"source_labels": ["__address__"], "regex": "gone.*", "action": "drop"}])
    w.job("crowd", w.target("a 1\n"), w.target("a 1\n"), target_limit=1)
    yield
    data = w.collector.get("/api/v1/targets?state=any").json["data"]
    assert len([d for d in data["droppedTargets"] if d["scrapePool"] == "droppers"]) == 2
    assert data["droppedTargetCounts"]["droppers"] == 5
    w.down("crowd", "target_limit")


# ---- times ----

@case("honor_timestamps", "track_timestamps_staleness")
def _(w):
    at = int(time.time() * 1000) - 60000
    w.one("times", f"timed 1 {at}\n")
    w.one("no times", f"timed 1 {at}\n", honor_timestamps=False)
    kept = w.one("kept time", f"held 1 {at}\n")
    tracked = w.one("tracked time", f"held 1 {at}\n", track_timestamps_staleness=True)
    yield
    w.wait('timestamp(timed{job="times"})', at / 1000)
    wait_until(lambda: (w.stack.value('timestamp(timed{job="no times"})') or 0) > at / 1000 + 30, timeout=60)
    for name in ("kept time", "tracked time"):
        w.wait(f'held{{job="{name}"}}', 1)
    kept.body = tracked.body = "other 1\n"
    for name in ("kept time", "tracked time"):
        w.wait(f'other{{job="{name}"}}', 1)
    wait_until(lambda: w.query("held", job="tracked time") == {}, timeout=60)
    assert w.stack.value('held{job="kept time"}') == 1


# ---- limits ----

LIMITS = [("body_size_limit", "2KB", "big 1\n" * 1000), ("sample_limit", 2, "a 1\nb 1\nc 1\n"),
          ("label_limit", 3, 'a{x="1"} 1\n'), ("label_name_length_limit", 8, 'a{a_long_name="1"} 1\n'),
          ("label_value_length_limit", 30, 'a{x="' + "y" * 40 + '"} 1\n')]


@case(*(key for key, _, _ in LIMITS))
def _(w):
    targets = {key: w.one(key, body, **{key: limit}) for key, limit, body in LIMITS}
    yield
    for key in targets:
        w.down(key, key)
    for t in targets.values():
        t.body = "m 1\n"
    for key in targets:
        w.wait(f'm{{job="{key}"}}', 1)


@case("extra_scrape_metrics")
def _(w):
    w.one("extra", extra_scrape_metrics=True, sample_limit=7)
    yield
    w.wait('scrape_sample_limit{job="extra"}', 7)


@case("replicas")
def _(w):
    w.one("twice", replicas=2)
    yield
    assert w.states("twice")[0]["replicas"] == 2


# ---- histograms ----

CLASSIC = """# HELP took How long.
# TYPE took histogram
took_bucket{path="/",le="0.5"} 1
took_bucket{path="/",le="2"} 3
took_bucket{path="/",le="+Inf"} 4
took_sum{path="/"} 6
took_count{path="/"} 4
plain 1
"""


@case("scrape_native_histograms", "always_scrape_classic_histograms", "scrape_classic_histograms")
def _(w):
    body = family("lat", HISTOGRAM, native(path="/a"))
    w.one("native", body, PROTOBUF, scrape_native_histograms=True)
    w.one("not native", body, PROTOBUF, scrape_protocols=["PrometheusProto"])
    w.one("both", body, PROTOBUF, scrape_native_histograms=True, always_scrape_classic_histograms=True)
    w.one("both, old", body, PROTOBUF, scrape_native_histograms=True, scrape_classic_histograms=True)
    yield
    for name in ("native", "both", "both, old"):
        w.wait(f'histogram_count(lat{{job="{name}"}})', 6)
    for name in ("both", "both, old", "not native"):
        w.wait(f'lat_count{{job="{name}"}}', 6)
    assert w.query("lat", job="not native") == {} and w.query("lat_count", job="native") == {}


@case("convert_classic_histograms_to_nhcb")
def _(w):
    t = w.one("converted", CLASSIC, convert_classic_histograms_to_nhcb=True, metric_relabel_configs=[
        {"source_labels": ["__name__", "le"], "regex": "took;", "target_label": "seen", "replacement": "once"}])
    both = w.one("converted too", CLASSIC, convert_classic_histograms_to_nhcb=True, always_scrape_classic_histograms=True)
    om = w.one("converted om", '# TYPE took histogram\ntook_bucket{le="1"} 2 # {trace_id="abc"} 0.5\ntook_bucket{le="+Inf"} 2\n'
                               "took_count 2\ntook_sum 1\n# EOF\n", "application/openmetrics-text; version=1.0.0",
               convert_classic_histograms_to_nhcb=True)
    yield
    w.wait('histogram_count(took{job="converted",path="/",seen="once"})', 4)
    w.wait('histogram_sum(took{job="converted"})', 6)
    w.wait('histogram_fraction(-Inf, 0.5, took{job="converted"}) * 4', 1)
    assert w.stack.query('{__name__=~"took_.*",job="converted"}') == {}
    w.wait('scrape_samples_scraped{job="converted"}', 2)
    w.wait('scrape_samples_post_metric_relabeling{job="converted"}', 2)
    w.wait('histogram_count(took{job="converted too"})', 4)
    w.wait('took_bucket{job="converted too",le="2.0"}', 3)
    w.wait('scrape_samples_scraped{job="converted too"}', 7)
    w.wait('histogram_count(took{job="converted om"})', 2)

    def exemplars():
        reply = w.stack.detector.get("/api/v1/query_exemplars?query=took&start=0&end=9999999999").json["data"]
        return [(s["seriesLabels"]["job"], e["labels"]) for s in reply for e in s["exemplars"]]
    wait_until(lambda: exemplars() == [("converted om", {"trace_id": "abc"})], timeout=60)
    t.body = CLASSIC.replace(" 4\n", " 9\n")
    w.wait('histogram_count(took{job="converted"})', 9)
    # what is no histogram any more ends; the rest goes on
    t.body = CLASSIC.replace("_count{path=\"/\"} 4", "_count{path=\"/\"} 5")
    wait_until(lambda: w.query("took", job="converted") == {}, timeout=60)
    w.up("converted")
    assert w.collector.metric("ops_scrape_histograms_not_converted_total") >= 1
    both.status = 500
    wait_until(lambda: w.query("took", job="converted too") == {} and w.query("took_sum", job="converted too") == {}, timeout=60)
    assert om.requests


@case("native_histogram_bucket_limit", "native_histogram_min_bucket_factor")
def _(w):
    body = family("lat", HISTOGRAM, native(path="/a"))
    w.one("three", body, PROTOBUF, scrape_native_histograms=True, native_histogram_bucket_limit=3)
    w.one("two", body, PROTOBUF, scrape_native_histograms=True, native_histogram_bucket_limit=2)
    w.one("one", body, PROTOBUF, scrape_native_histograms=True, native_histogram_bucket_limit=1)
    w.one("coarse", body, PROTOBUF, scrape_native_histograms=True, native_histogram_min_bucket_factor=16)
    w.one("custom", CLASSIC, convert_classic_histograms_to_nhcb=True, native_histogram_bucket_limit=2)
    yield
    def buckets(name):
        reply = w.stack.detector.get(f'/api/v1/query?query=lat%7Bjob%3D%22{name}%22%7D').json["data"]["result"]
        return len(reply[0]["histogram"][1]["buckets"]) if reply else 0
    wait_until(lambda: buckets("three") == 4, timeout=60)  # the zero bucket is one more
    wait_until(lambda: 2 <= buckets("two") <= 3, timeout=60)
    wait_until(lambda: 2 <= buckets("coarse") < 4, timeout=60)
    for name in ("one", "custom"):
        w.down(name, "native_histogram_bucket_limit")
    assert w.collector.metric("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total") >= 2


@pytest.fixture
def fake():
    started = []

    def make(kind, *args, **kw):
        started.append(kind(*args, **kw))
        return started[-1]
    yield make
    for s in started:
        s.close()


def test_every_key(service, ports, tmp_path, target, fake, certificates):
    assert {k for keys, _ in CASES for k in keys} == set(KEYS)
    w = World(Stack(service, ports, tmp_path), target, fake, tmp_path)
    running = [(keys, generator(w)) for keys, generator in CASES]
    for _, g in running:
        next(g)
    w.start()
    failures = []
    for keys, g in running:
        try:
            for _ in g:
                pass
        except Exception:
            failures.append(f"{' '.join(keys)}: {traceback.format_exc()}")
    assert not failures, "\n".join(failures)
