# SPDX-License-Identifier: Apache-2.0
"""What comes in at the collector without being asked for: pushes and StatsD, with a real detector behind it."""
import gzip
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import pytest

from harness import binary, free_port, http, wait_until
from test_collector import Stack


@pytest.fixture
def stack(service, ports, tmp_path):
    s = Stack(service, ports, tmp_path)
    s.write([])
    return s


def push(collector, path, body="", method="PUT", **headers):
    return http(method, f"{collector.url}/metrics/{path}", body=body.encode(), headers=headers)


def receiver(stack, name="c1", **receive):
    return stack.collector(name, anonymous_role="operator", receive=receive)


def test_push_put_post_delete(stack):
    c = receiver(stack, push={"interval": "1s"})
    assert push(c, "job/backup/db/orders", "# TYPE size gauge\nsize{db=\"other\"} 5\nrows 7\n").code == 200
    wait_until(lambda: stack.query("size") == {(("__name__", "size"), ("db", "orders"), ("job", "backup")): 5.0})
    assert push(c, "job/backup/db/orders", "rows 8\n", "POST").code == 200
    wait_until(lambda: stack.value("rows") == 8 and stack.value("size") == 5)
    assert stack.value("push_time_seconds") > time.time() - 60
    assert stack.value("push_failure_time_seconds") == 0
    # a bad push changes nothing but the time of the last failure
    refused = push(c, "job/backup/db/orders", "rows{ 9\n")
    assert (refused.code, bool(refused.text)) == (400, True)
    wait_until(lambda: stack.value("push_failure_time_seconds") > 0)
    assert stack.value("rows") == 8
    assert push(c, "job/backup/db/orders", "rows 1 1000\n").code == 400
    assert push(c, "db/orders", "rows 1\n").code == 400
    # a replaced family that is gone is stale at once
    assert push(c, "job/backup/db/orders", "rows 9\n").code == 200
    wait_until(lambda: stack.value("rows") == 9 and stack.query("size") == {})
    assert push(c, "job/backup/db/orders", method="DELETE").code == 202
    wait_until(lambda: stack.query("rows") == {} and stack.query("push_time_seconds") == {})
    assert c.get("/api/v1/push/groups").json["data"] == []
    assert c.metric("ops_push_requests_total", outcome="taken") == 3
    assert c.metric("ops_push_requests_total", outcome="malformed") == 3


def test_push_survives_kill_and_ends_in_time(stack):
    c = receiver(stack, push={"interval": "1s", "max_groups": 2, "max_samples": 3})
    assert push(c, "job/a", "kept 1\n").code == 200
    assert push(c, "job/b?ttl=4s", "short 1\n").code == 200
    assert push(c, "job/c", "more 1\n").code == 429
    assert push(c, "job/a", "".join(f"x{i} 1\n" for i in range(4))).code == 429
    wait_until(lambda: stack.value("kept") == 1 and stack.value("short") == 1)
    c.sigkill()
    c.start()
    wait_until(lambda: stack.query('timestamp(kept) > time() - 3'))
    assert {g["labels"]["job"] for g in c.get("/api/v1/push/groups").json["data"]} <= {"a", "b"}
    wait_until(lambda: stack.query("short") == {} and stack.value("kept") == 1)
    wait_until(lambda: c.metric("ops_push_groups") == 1)
    files = list(pathlib.Path(c.folder).rglob("push/*.prom"))
    assert len(files) == 1 and files[0].stat().st_mode & 0o777 == 0o600


def test_push_needs_a_role(stack):
    c = stack.collector("c1", anonymous_role="viewer")
    assert push(c, "job/a", "x 1\n").code in (401, 403)


def test_statsd(stack, tmp_path):
    (tmp_path / "mapping.yml").write_text(
        "mappings:\n- match: app.*.requests\n  name: app_requests_total\n  labels: {app: $1}\n")
    udp, tcp = free_port(), free_port()
    c = receiver(stack, statsd={"listen_udp": f"127.0.0.1:{udp}", "listen_tcp": f"127.0.0.1:{tcp}", "interval": "300ms",
                                "mapping_file": str(tmp_path / "mapping.yml"), "max_series": 40})
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(10):
        sender.sendto(b"app.shop.requests:1|c|#code:200\nqueue:5|g\n", ("127.0.0.1", udp))
    sender.sendto(b"took:200|ms\nbroken\n", ("127.0.0.1", udp))
    with socket.create_connection(("127.0.0.1", tcp)) as line:
        line.sendall(b"queue:+2|g\nqueue:")
        line.sendall(b"+1|g\nlast:1|c")  # the end of the stream ends a line
    wait_until(lambda: c.metric("ops_statsd_lines_total") == 24)
    wait_until(lambda: stack.query("app_requests_total") == {
        (("__name__", "app_requests_total"), ("app", "shop"), ("code", "200"), ("instance", "c1"), ("job", "statsd")): 10.0})
    wait_until(lambda: stack.value("queue") == 8 and stack.value("last") == 1)
    assert stack.value("took_sum") == pytest.approx(0.2)
    assert stack.value('took_bucket{le="0.25"}') == 1
    assert c.metric("ops_statsd_lines_refused_total", reason="line") == 1
    sender.sendto("".join(f"more{i}:1|c\n" for i in range(60)).encode(), ("127.0.0.1", udp))
    wait_until(lambda: c.metric("ops_statsd_lines_refused_total", reason="limit") > 0)
    with socket.create_connection(("127.0.0.1", tcp)) as endless:
        try:
            for _ in range(100):
                endless.sendall(b"x" * 1000)
        except OSError:
            pass  # cut off, as it should be
    wait_until(lambda: c.metric("ops_statsd_lines_refused_total", reason="too_long") == 1)


def test_bad_settings(tmp_path):
    (tmp_path / "mapping.yml").write_text("mappings:\n- match: a\n  nam: b\n")
    config = tmp_path / "bad.yml"
    config.write_text(f"receive:\n  statsd:\n    mapping_file: {tmp_path}/mapping.yml\n")
    done = subprocess.run([binary("ops-collector"), "--config", str(config), "--check"], capture_output=True, text=True)
    assert done.returncode == 3 and "mapping.yml:3:3" in done.stdout + done.stderr


def now_ns(offset_s=0.0):
    return int((time.time() + offset_s) * 1e9)


def otlp(collector, metrics, resource=None, packed=False, **headers):
    """Sends OTLP/JSON."""
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in (resource or {}).items()]
    body = json.dumps({"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}]}).encode()
    headers = {"Content-Type": "application/json", **headers}
    if packed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    return http("POST", f"{collector.url}/v1/metrics", body=body, headers=headers)


def point(**fields):
    return {"timeUnixNano": str(now_ns()), **fields}


def attributes(**values):
    return [{"key": k, "value": {"stringValue": v}} for k, v in values.items()]


SERVICE = {"service.name": "shop", "service.namespace": "acme", "service.instance.id": "i1", "host.name": "h1"}


def heard(collector):
    wait_until(lambda: otlp(collector, []).code == 200, what="the collector hears the detector")


def test_otlp_json(stack):
    c = receiver(stack)
    heard(c)
    reply = otlp(c, [
        {"name": "http.server.requests", "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [
            point(asInt="7", attributes=attributes(**{"http.route": "/x"}))]}},
        {"name": "queue.length", "description": "Waiting.", "gauge": {"dataPoints": [point(asDouble=2.5)]}},
        {"name": "took", "unit": "ms", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            point(count="6", sum=40.5, explicitBounds=[1, 2.5], bucketCounts=["1", "2", "3"])]}},
        {"name": "old", "summary": {"dataPoints": [point(count=3, sum=6, quantileValues=[{"quantile": 0.5, "value": 2}])]}},
        {"name": "exp", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            point(count=7, sum=20, scale=0, zeroCount=1, positive={"offset": 0, "bucketCounts": [1, 2]},
                  negative={"offset": 1, "bucketCounts": [3]})]}},
    ], SERVICE, packed=True)
    assert (reply.code, reply.json) == (200, {})
    common = (("instance", "i1"), ("job", "acme/shop"))
    wait_until(lambda: stack.query("http_server_requests_total") == {
        (("__name__", "http_server_requests_total"), ("http_route", "/x"), *common): 7.0})
    assert stack.value("queue_length") == 2.5
    assert stack.query("took_milliseconds_bucket") == {
        (("__name__", "took_milliseconds_bucket"), *common[:1], common[1], ("le", le)): v for le, v in (("1.0", 1.0), ("2.5", 3.0), ("+Inf", 6.0))}
    assert (stack.value("took_milliseconds_sum"), stack.value("took_milliseconds_count")) == (40.5, 6)
    assert (stack.value('old{quantile="0.5"}'), stack.value("old_count")) == (2, 3)
    buckets = {dict(k)["le"]: v for k, v in stack.query("exp_bucket").items()}
    assert buckets == {"-2.0": 3, "0.0": 4, "2.0": 5, "4.0": 7, "+Inf": 7}
    assert stack.value('target_info{host_name="h1"}') == 1
    found = http("GET", f"{stack.detector.url}/api/v1/metadata?metric=queue_length").json["data"]
    assert found == {"queue_length": [{"type": "gauge", "help": "Waiting.", "unit": ""}]}


def test_otlp_deltas_are_added_up(stack):
    c = receiver(stack, otlp={"max_delta_series": 20})
    heard(c)

    def send(at, *metrics):
        for m in metrics:
            for data in m.values():
                for p in data["dataPoints"] if isinstance(data, dict) else ():
                    p["timeUnixNano"] = str(at)
        return otlp(c, list(metrics), SERVICE)

    def metrics(n):
        return [{"name": "hits", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{"asInt": n}]}},
                {"name": "lat", "histogram": {"aggregationTemporality": 1, "dataPoints": [
                    {"count": n, "sum": n, "explicitBounds": [1], "bucketCounts": [n - 1, 1]}]}},
                {"name": "exp", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
                    {"count": 1, "sum": 1, "scale": 5 if n == 2 else 1, "positive": {"offset": 0, "bucketCounts": [1]}}]}}]
    first = now_ns(-5)
    assert send(first, *metrics(2)).json == {}
    assert send(first + 10**9, *metrics(3)).json == {}
    wait_until(lambda: stack.value("hits_total") == 5)
    assert {dict(k)["le"]: v for k, v in stack.query("lat_bucket").items()} == {"1.0": 3, "+Inf": 5}
    assert stack.value("exp_count") == 2
    # the same time again is no new delta: partial success
    reply = send(first + 10**9, *metrics(4))
    assert reply.code == 200 and reply.json["partialSuccess"]["rejectedDataPoints"] == "3"
    assert "not newer" in reply.json["partialSuccess"]["errorMessage"]
    many = {"name": "many", "sum": {"aggregationTemporality": 1, "dataPoints": [
        {"asInt": 1, "attributes": attributes(i=str(i))} for i in range(40)]}}
    reply = send(first + 2 * 10**9, many)
    assert int(reply.json["partialSuccess"]["rejectedDataPoints"]) > 20 and stack.value("hits_total") == 5


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def message(number, *parts):
    body = b"".join(parts)
    return varint(number << 3 | 2) + varint(len(body)) + body


def fixed64(number, v):
    return varint(number << 3 | 1) + (struct.pack("<d", v) if isinstance(v, float) else struct.pack("<Q", v))


def test_otlp_protobuf(stack):
    c = receiver(stack)
    heard(c)
    text = lambda k, v: message(1, k.encode()) + message(2, message(1, v.encode()))  # noqa: E731
    number = message(1, fixed64(3, now_ns()), fixed64(4, 1.5), message(7, text("a.b", "x")))
    bucket = message(1, fixed64(3, now_ns()), fixed64(4, 3), fixed64(5, 4.5), message(6, struct.pack("<2Q", 1, 2)), message(7, struct.pack("<d", 1.0)))
    request = message(1, message(1, message(1, text("service.name", "svc"))), message(
        2, message(2, message(1, b"temp"), message(3, b"Cel"), message(5, number)),
        message(2, message(1, b"lat"), message(9, bucket, b"\x10\x02"))))
    headers = {"Content-Type": "application/x-protobuf"}
    reply = http("POST", f"{c.url}/api/v1/otlp/v1/metrics", body=request, headers=headers)
    assert (reply.code, reply.text) == (200, "")
    wait_until(lambda: stack.query("temp_celsius") == {(("__name__", "temp_celsius"), ("a_b", "x"), ("job", "svc")): 1.5})
    assert {dict(k)["le"]: v for k, v in stack.query("lat_bucket").items()} == {"1.0": 1, "+Inf": 3}
    for bad, want in ((request[:-3], 400), (b"\xff" * 9, 400)):
        assert http("POST", f"{c.url}/v1/metrics", body=bad, headers=headers).code == want
    assert http("POST", f"{c.url}/v1/metrics", body=b"{", headers={"Content-Type": "application/json"}).json["code"] == 3
    assert http("POST", f"{c.url}/v1/metrics", body=b"x", headers={"Content-Type": "text/plain"}).code == 415
    assert otlp(c, [], **{"Content-Encoding": "br"}).code == 415


def post_text(collector, body, query="", **headers):
    data = body if isinstance(body, bytes) else body.encode()
    return http("POST", f"{collector.url}/api/v1/import/prometheus{query}", body=data, headers={"Content-Type": "text/plain", **headers})


def test_import_of_text_with_times(stack):
    c = receiver(stack, max_series=4)
    heard(c)
    now = int(time.time() * 1000)
    assert post_text(c, f"# HELP hits Hits.\n# TYPE hits counter\nhits{{a=\"1\"}} 3 {now - 60000}\nhits{{a=\"1\"}} 5 {now - 30000}\n",
                     "?extra_label=site%3Dx").code == 204
    wait_until(lambda: stack.query("count_over_time(hits[5m])") == {(("a", "1"), ("site", "x")): 2})
    metadata = http("GET", f"{stack.detector.url}/api/v1/metadata?metric=hits").json["data"]
    assert metadata == {"hits": [{"type": "counter", "help": "Hits.", "unit": ""}]}
    packed = gzip.compress(b"# TYPE load gauge\nload 1.5\n# EOF\n")
    assert post_text(c, packed, f"?timestamp={now - 1000}", **{
        "Content-Encoding": "gzip", "Content-Type": "application/openmetrics-text"}).code == 204
    wait_until(lambda: stack.value("load") == 1.5)
    # a document with a mistake leaves nothing behind
    refused = post_text(c, "whole 1\nbroken{ 2\n")
    assert refused.code == 400 and "line 2" in refused.text
    assert post_text(c, "a 1\n", "?extra_label=nothing").code == 400
    assert post_text(c, packed[:-9], **{"Content-Encoding": "gzip"}).code == 400
    more = post_text(c, "".join(f'more{{i="{i}"}} 1\n' for i in range(9)))
    assert more.code == 400 and "7 of 9 samples refused" in more.text
    wait_until(lambda: len(stack.query("more")) == 2)
    assert stack.query("whole") == {}
    stack.detector.sigterm()
    wait_until(lambda: post_text(c, "a 1\n").code == 503)


def test_limits_answer_429(stack):
    c = receiver(stack, samples_per_second=10, max_series=3)
    heard(c)
    gauge = {"name": "g", "gauge": {"dataPoints": [point(asDouble=1, attributes=attributes(i=str(i))) for i in range(30)]}}
    reply = otlp(c, [gauge])
    assert reply.code == 200 and reply.json["partialSuccess"]["rejectedDataPoints"] == "27"
    reply = otlp(c, [gauge])
    assert reply.code == 429 and reply.headers["Retry-After"] and reply.json["code"] == 8
    assert c.metric("ops_received_refused_total", door="otlp", reason="series_limit") == 27
    assert post_text(c, "a 1\n").code == 429


def prometheus_agent(target, url, tmp_path):
    config = tmp_path / "agent.yml"
    config.write_text(
        f"global: {{scrape_interval: 500ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{target.address}']}}]\n"
        f"remote_write:\n- url: {url}\n  queue_config: {{max_backoff: 500ms, batch_send_deadline: 200ms}}\n"
        "  metadata_config: {send_interval: 500ms}\n")
    return ["prometheus", "--enable-feature=agent", f"--config.file={config}", f"--storage.agent.path={tmp_path}/agent",
            f"--web.listen-address=127.0.0.1:{free_port()}"]


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_prometheus_writes_through_us_and_loses_nothing(stack, target, tmp_path):
    """A stock agent; the detector goes away for a while and every sample is there in the end."""
    c = receiver(stack)
    t = target("# HELP pushed Pushed on.\n# TYPE pushed gauge\npushed 1\n")
    command = prometheus_agent(t, f"{c.url}/api/v1/write", tmp_path)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: stack.value('pushed{job="j"}') == 1)
        path = f"{stack.detector.url}/api/v1/metadata?metric=pushed"
        wait_until(lambda: http("GET", path).json["data"] == {"pushed": [{"type": "gauge", "help": "Pushed on.", "unit": ""}]})
        stack.detector.sigkill()
        wait_until(lambda: (c.metric("ops_received_requests_total", door="remote_write", code="503") or 0) > 0)
        scraped = len(t.requests)
        stack.detector.start()
        wait_until(lambda: len(t.requests) > scraped + 4)
        process.send_signal(15)
        process.wait(30)
        wait_until(lambda: stack.value("count_over_time(pushed[10m])") >= len(t.requests) - 2)
        gaps = http("GET", f"{stack.detector.url}/api/v1/query?query=pushed[10m]").json["data"]["result"]
        times = [float(at) for s in gaps for at, _ in s["values"]]
        assert times and max(b - a for a, b in zip(times, times[1:])) < 2, times
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
