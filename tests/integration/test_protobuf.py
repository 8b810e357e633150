# SPDX-License-Identifier: Apache-2.0
"""Targets that answer in Prometheus' protobuf format, native histograms among what they say."""

import pytest

from harness import wait_until
from test_collector import Stack, job, state
from test_receive import fixed64, message, varint

TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM = range(5)


def number(field, v):
    return varint(field << 3) + varint(v)


def zigzag(field, v):
    return number(field, v << 1 if v >= 0 else -2 * v - 1)


def family(name, kind, *metrics, help_text="Help."):
    body = message(1, name.encode()) + message(2, help_text.encode()) + number(3, kind) + b"".join(message(4, m) for m in metrics)
    return varint(len(body)) + body


def labels(**pairs):
    return b"".join(message(1, message(1, k.encode()), message(2, v.encode())) for k, v in pairs.items())


def span(offset, length):
    return zigzag(1, offset) + number(2, length)


def native(count=6, deltas=(1, 1, 0), **pairs):
    """Schema 0: one in the zero bucket, then two buckets, a hole, one more; classic buckets beside them."""
    return labels(**pairs) + message(
        7, number(1, count), fixed64(2, 12.5), message(3, number(1, 4), fixed64(2, 2.5)), zigzag(5, 0), fixed64(6, 1e-128), number(7, 1),
        message(12, span(0, 2)), message(12, span(1, 1)), *(zigzag(13, d) for d in deltas))


@pytest.fixture
def stack(service, ports, tmp_path):
    return Stack(service, ports, tmp_path)


def test_protobuf(stack, target):
    exemplar = message(2, labels(trace_id="abc"), fixed64(2, 0.5))
    body = b"".join((
        family("hits_total", COUNTER, labels(code="200") + message(3, fixed64(1, 7.0), exemplar), labels(code="5\"0\n0") + message(3, fixed64(1, 1.0))),
        family("temp.celsius", GAUGE, labels(**{"room.name": "ü"}) + message(2, fixed64(1, -1.5))),
        family("old", UNTYPED, message(5, fixed64(1, 3.0)) + number(6, 1000)),
        family("took", SUMMARY, message(4, number(1, 4), fixed64(2, 2.5), message(3, fixed64(1, 0.5), fixed64(2, 0.25)))),
        family("size", HISTOGRAM, message(7, number(1, 5), fixed64(2, 9.0), message(3, number(1, 2), fixed64(2, 1.0))))))
    t = target(body, TYPE)
    stack.write([job("p", t, scrape_protocols=["PrometheusProto"])])
    c = stack.collector()
    wait_until(lambda: stack.value("up") == 1)
    assert t.requests[0][1]["Accept"].startswith(TYPE.replace("; ", ";"))
    assert {dict(k)["code"]: v for k, v in stack.query("hits_total").items()} == {"200": 7, "5\"0\n0": 1}
    assert stack.value('{"temp.celsius","room.name"="ü"}') == -1.5
    assert stack.value('took{quantile="0.5"}') == 0.25 and stack.value("took_sum") == 2.5 and stack.value("took_count") == 4
    assert {dict(k)["le"]: v for k, v in stack.query("size_bucket").items()} == {"1.0": 2, "+Inf": 5}
    assert stack.value("size_count") == 5 and stack.value("size_sum") == 9
    assert stack.value("scrape_samples_scraped") == 11
    wait_until(lambda: c.metric("ops_scrape_bodies_total", way="compared") > 0)
    found = stack.detector.get("/api/v1/query_exemplars?query=hits_total&start=0&end=9999999999").json["data"]
    assert found[0]["exemplars"][0]["labels"] == {"trace_id": "abc"}
    kinds = stack.detector.get("/api/v1/metadata").json["data"]
    assert kinds["size"][0]["type"] == "histogram" and kinds["hits_total"][0]["help"] == "Help."
    t.body = body[:-3]
    wait_until(lambda: state(c, "p")["health"] == "down")
    assert "cut off" in state(c, "p")["lastError"]


def test_native_histograms(stack, target):
    body = family("lat", HISTOGRAM, native(path="/a"), native(path="/b", count=3, deltas=(1, 0, -1))) + family("a", GAUGE, message(2, fixed64(1, 1.0)))
    t = target(body, TYPE)
    drop = [{"source_labels": ["path"], "regex": "/never", "action": "drop"}, {"target_label": "team", "replacement": "x"}]
    stack.write([job("n", t, scrape_native_histograms=True, metric_relabel_configs=drop),
                 job("both", t, scrape_native_histograms=True, always_scrape_classic_histograms=True),
                 job("classic", t, scrape_protocols=["PrometheusProto"])])
    c = stack.collector()
    wait_until(lambda: stack.value('histogram_count(lat{job="n",path="/a",team="x"})') == 6)
    assert stack.value('histogram_sum(lat{job="n",path="/a"})') == 12.5
    assert stack.value('histogram_fraction(0, 8, lat{job="n",path="/a"}) * 6') == pytest.approx(5, abs=1.01)
    assert stack.query('{__name__=~"lat_.*",job="n"}') == {}
    assert stack.value('scrape_samples_scraped{job="n"}') == 3
    wait_until(lambda: stack.value('histogram_count(lat{job="both",path="/b"})') == 3)
    wait_until(lambda: stack.value('lat_bucket{job="both",path="/a",le="2.5"}') == 4)
    wait_until(lambda: stack.value('lat_count{job="classic",path="/a"}') == 6)
    assert stack.query('lat{job="classic"}') == {}
    # one is gone, the other goes on; then the target is away
    t.body = family("lat", HISTOGRAM, native(path="/a", count=7, deltas=(2, 0, 0)))
    wait_until(lambda: stack.value('histogram_count(lat{job="n"})') == 7)
    t.status = 500
    wait_until(lambda: stack.query('lat{job="n"}') == {} and stack.value('up{job="n"}') == 0)
    assert c.metric("ops_collector_publish_failures_total") in (None, 0)
