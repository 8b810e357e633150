# SPDX-License-Identifier: Apache-2.0
"""remote_write to real receivers and to one that looks closely: nothing lost, nothing twice, whoever is down."""
import itertools
import json
import subprocess

import pytest

import fake_apis
import harness
from harness import wait_until
from receivers import Prometheus, Receiver, VictoriaMetrics, exemplars_of, matrix
from test_detector import World, job

PEERS = [pytest.param(p, marks=pytest.mark.skipif(not p.program, reason=f"{p.__name__} is not installed"))
         for p in (Prometheus, VictoriaMetrics)]
FAST = {"batch_send_deadline": "100ms", "max_backoff": "200ms"}


class Counting(harness.Target):
    """Every scrape finds the next number: what is missing or twice at the receiver is seen from the values alone."""
    series = 5

    def __init__(self):
        self._numbers = itertools.count(1)
        super().__init__()

    @property
    def body(self):
        n = next(self._numbers)
        return ("# HELP scrape_number Which scrape this is.\n# TYPE scrape_number counter\n"
                + "".join(f'scrape_number{{s="{i}"}} {n}\n' for i in range(self.series)) + f"unwanted {n}\n")

    @body.setter
    def body(self, value):
        pass


@pytest.fixture
def world(service, ports, tmp_path):
    return World(service, ports, tmp_path)


@pytest.fixture
def counting():
    t = Counting()
    yield t
    t.shutdown()
    t.server_close()


@pytest.fixture
def peer(request, tmp_path):
    p = request.param(tmp_path / request.param.__name__)
    yield p
    p.close()


@pytest.fixture
def receiver():
    made = []

    def make(*answers):
        made.append(Receiver(*answers))
        return made[-1]
    yield make
    for r in made:
        r.close()


def write(world, targets, *destinations):
    world.file.write_text(json.dumps({
        "global": {"scrape_interval": "200ms", "evaluation_interval": "1s", "external_labels": {"replica": "a"}},
        "rule_files": ["rules/*.yml"], "scrape_configs": [job("j", *targets)], "remote_write": list(destinations)}))


def destination(url, **more):
    return {"url": url, "name": "far", "queue_config": FAST,
            "write_relabel_configs": [{"source_labels": ["__name__"], "regex": "unwanted", "action": "drop"}], **more}


def pending(d):
    return d.metric("ops_remote_storage_samples_pending", remote_name="far")


def caught_up(d):
    return pending(d) == 0


def check_numbers(rows, failed_scrapes):
    """Nothing twice, nothing out of order, and nothing missing but what no scrape brought home; the newest number."""
    assert len(rows) == Counting.series
    for row in rows:
        assert row == sorted(set(row)) and row == rows[0]
    missing = set(range(1, int(rows[0][-1]) + 1)) - set(rows[0])
    assert len(missing) <= failed_scrapes, (missing, failed_scrapes)
    return rows[0][-1]


def complete(peer):
    """All five series of scrape_number, complete."""
    rows = [[v for _, v in samples] for samples in peer.stored("scrape_number").values()]
    return check_numbers(rows, sum(v == 0 for samples in peer.stored("up").values() for _, v in samples))


def complete_at(receiver):
    """The same at our own receiver, which keeps what it gets in the order of arrival."""
    rows = {}
    for _, series, _ in receiver.requests:
        for labels, samples, _ in series:
            if labels["__name__"] == "scrape_number":
                rows.setdefault(labels["s"], []).extend(v for _, v in samples if v == v)
    return check_numbers(list(rows.values()), sum(v == 0 for _, v in receiver.samples("up")))


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_receiver_down_for_a_while(world, counting, peer):
    write(world, [counting], destination(peer.url + peer.path))
    world.rules("groups:\n- name: g\n  rules:\n  - {record: doubled, expr: 2 * scrape_number}\n")
    d = world.detector()
    c = world.collector()
    wait_until(lambda: complete(peer) > 5)
    peer.stop()
    wait_until(lambda: pending(d) > 50)
    assert d.metric("ops_remote_storage_samples_retried_total") > 0
    peer.start()
    before = len(counting.requests)
    wait_until(lambda: complete(peer) > before)
    c.sigterm()
    wait_until(lambda: caught_up(d))

    # What the receiver has is what our own store has, sample for sample, but for the external label.
    ours = {tuple(sorted([*labels, ("replica", "a")])): samples
            for labels, samples in matrix(d.url, '{__name__=~"scrape_number|doubled|up"}[1h]').items()}
    last = max(samples[-1][0] for samples in ours.values())  # the rule goes on, here and there

    def theirs():
        found = peer.stored("scrape_number|doubled|up")
        return {labels: [x for x in samples if x[0] <= last] for labels, samples in found.items()}
    wait_until(lambda: theirs() == ours, what="the same samples")
    assert len(ours) == 2 * Counting.series + 1
    assert not peer.stored("unwanted")
    assert d.metric("ops_remote_storage_samples_dropped_total", reason="dropped_series") > 0
    assert not d.metric("ops_remote_storage_samples_failed_total")


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_killed_while_the_receiver_is_down(world, counting, peer):
    """A backlog in the queue, kill -9, another one: all of it arrives, and what collectors send again is not queued again."""
    write(world, [counting], destination(peer.url + peer.path))
    d = world.detector()
    world.collector()
    wait_until(lambda: complete(peer) > 3)
    peer.stop()
    for _ in range(2):
        seen = len(counting.requests)
        wait_until(lambda: len(counting.requests) > seen + 10)
        d.sigkill()
        d.start()
        wait_until(lambda: pending(d) > 20)
    seen = len(counting.requests)
    peer.start()
    wait_until(lambda: complete(peer) > seen)
    assert not d.metric("ops_remote_storage_samples_failed_total")


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_killed_again_and_again_while_sending(world, counting, peer):
    """Prometheus refuses a request that has one sample again which it took before the kill: nothing new may be lost with it."""
    small = {**FAST, "max_samples_per_send": 7, "batch_send_deadline": "20ms"}
    write(world, [counting], destination(peer.url + peer.path, queue_config=small))
    d = world.detector()
    world.collector()
    for i in range(6):
        seen = len(counting.requests)
        wait_until(lambda: len(counting.requests) > seen + 1 + i)
        d.sigkill()
        d.start()
    seen = len(counting.requests)
    wait_until(lambda: complete(peer) > seen + 5)


def test_restart_sends_nothing_twice(world, counting, receiver):
    r = receiver()
    write(world, [counting], destination(r.url))
    d = world.detector()
    world.collector()
    for _ in range(3):
        seen = len(r.samples("scrape_number"))
        wait_until(lambda: len(r.samples("scrape_number")) > seen + 20)
        d.restart()
    seen = len(r.samples("scrape_number"))
    wait_until(lambda: len(r.samples("scrape_number")) > seen + 20)
    assert complete_at(r) > 16


def test_version_2(world, counting, receiver):
    r = receiver((503, {"Retry-After": "0"}), (500, {}))
    write(world, [counting], destination(r.url, protobuf_message="io.prometheus.write.v2.Request", headers={"X-Tenant": "t1"},
                                         basic_auth={"username": "u", "password": "p"}))
    d = world.detector()
    world.collector()
    wait_until(lambda: len(r.samples("scrape_number")) > 30)
    headers, series, _ = r.requests[0]
    assert headers["X-Prometheus-Remote-Write-Version"] == "2.0.0" and headers["X-Tenant"] == "t1"
    assert headers["Authorization"] == "Basic dTpw" and headers["Content-Encoding"] == "snappy"
    labels, _, metadata = next(s for s in series if s[0]["__name__"] == "scrape_number")
    assert labels["replica"] == "a" and labels["job"] == "j"
    assert metadata == {1: 1, 3: "Which scrape this is."}
    assert r.refused == 2 and d.metric("ops_remote_storage_samples_retried_total") > 0
    assert complete_at(r) > 5


def test_refused_for_good(world, counting, receiver):
    """4xx is dropped and counted, 429 as configured; a 2.0 receiver that does not say what it wrote has not written."""
    r = receiver((400, {}), (429, {}))
    write(world, [counting], destination(r.url))
    d = world.detector()
    world.collector()
    wait_until(lambda: len(r.samples("scrape_number")) > 10)
    failed = d.metric("ops_remote_storage_samples_failed_total", remote_name="far")
    assert failed > 0 and d.metric("ops_remote_storage_samples_retried_total") is None
    assert min(v for _, v in r.samples("scrape_number") if v == v) > 1  # the first scrape was in what was refused
    log = d.logs("samples are not accepted by a remote write receiver and are dropped")
    assert [x["status"] for x in log] == [400, 429]

    # The same destination, another way: takes effect with a reload, and 429 is tried again now.
    r.answers = [(429, {"Retry-After": "0"})] * 3
    write(world, [counting], destination(r.url, queue_config={**FAST, "retry_on_http_429": True}))
    d.sighup()
    wait_until(lambda: not r.answers)
    seen = len(r.samples("scrape_number"))
    wait_until(lambda: len(r.samples("scrape_number")) > seen + 10)
    assert d.metric("ops_remote_storage_samples_retried_total") > 0


def test_metadata_of_version_1(world, counting, receiver):
    r = receiver()
    write(world, [counting], destination(r.url, metadata_config={"send_interval": "200ms"}))
    world.detector()
    world.collector()
    wait_until(lambda: any(m.get("scrape_number") == "Which scrape this is." for _, _, m in r.requests))


class Tracing(harness.Target):
    """Each scrape finds a counter with a new exemplar, and one whose series is not wanted at the receiver."""

    def __init__(self):
        self._numbers = itertools.count(1)
        super().__init__(content_type="application/openmetrics-text; version=1.0.0")

    @property
    def body(self):
        n = next(self._numbers)
        exemplar = f'# {{trace_id="t{n}"}} {n}.5 {1700000000 + n}.25'
        return f"# TYPE hits counter\nhits_total {n} {exemplar}\n# TYPE unwanted counter\nunwanted_total {n} {exemplar}\n# EOF\n"

    @body.setter
    def body(self, value):
        pass


@pytest.fixture
def tracing():
    t = Tracing()
    yield t
    t.shutdown()
    t.server_close()


NO_UNWANTED = {"write_relabel_configs": [{"source_labels": ["__name__"], "regex": "unwanted_total", "action": "drop"},
                                         {"target_label": "written", "replacement": "yes"}]}


def check_traces(found):
    """In order, none twice, each as the target had it."""
    numbers = [int(labels["trace_id"][1:]) for labels, _, _ in found]
    assert numbers == sorted(set(numbers))
    assert found == [({"trace_id": f"t{n}"}, n + 0.5, (1700000000 + n) * 1000 + 250) for n in numbers]


@pytest.mark.parametrize("message", ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"])
def test_exemplars(world, tracing, receiver, message):
    """They go where they are wanted, with the labels of the series as the receiver sees them, and wait while it is down."""
    r, other = receiver((503, {"Retry-After": "0"})), receiver()
    write(world, [tracing], destination(r.url, protobuf_message=message, send_exemplars=True, **NO_UNWANTED),
          {"url": other.url, "name": "other", "queue_config": FAST})
    d = world.detector()
    world.collector()
    wait_until(lambda: len(r.exemplars) > 5)
    d.restart()
    seen = len(r.exemplars)
    wait_until(lambda: len(r.exemplars) > seen + 5)
    for labels, _ in list(r.exemplars):
        assert labels["__name__"] == "hits_total" and labels["replica"] == "a" and labels["written"] == "yes"
    check_traces([e for _, e in list(r.exemplars)])
    for counter, reason in [("total", {}), ("in_total", {}), ("dropped_total", {"reason": "dropped_series"})]:
        wait_until(lambda: (d.metric(f"ops_remote_storage_exemplars_{counter}", remote_name="far", **reason) or 0) > 0)
    assert not d.metric("ops_remote_storage_exemplars_failed_total")
    wait_until(lambda: other.samples("hits_total"))
    assert not other.exemplars
    assert d.metric("ops_remote_storage_exemplars_in_total", remote_name="other") is None


@pytest.mark.skipif(not Prometheus.program, reason="Prometheus is not installed")
@pytest.mark.parametrize("peer", [Prometheus], indirect=True)
def test_exemplars_at_prometheus(world, tracing, peer):
    write(world, [tracing], destination(peer.url + peer.path, send_exemplars=True, **NO_UNWANTED))
    d = world.detector()
    c = world.collector()
    wait_until(lambda: sum(map(len, exemplars_of(peer.url, "hits_total").values())) > 5)
    c.sigterm()
    wait_until(lambda: caught_up(d) and d.metric("ops_remote_storage_exemplars_pending", remote_name="far") == 0)

    def both():
        """(labels of the series, exemplars), here and there."""
        return [next(iter(exemplars_of(url, "hits_total").items())) for url in (d.url, peer.url)]
    wait_until(lambda: both()[0][1][-5:] == both()[1][1][-5:], what="the same exemplars")
    ours, theirs = both()
    assert dict(theirs[0]) == {**dict(ours[0]), "replica": "a", "written": "yes"}
    check_traces(theirs[1])
    assert not exemplars_of(peer.url, "unwanted_total")
    assert not d.metric("ops_remote_storage_exemplars_failed_total")


@pytest.fixture
def tokens():
    server = fake_apis.Tokens()
    yield server
    server.close()


def test_oauth2_and_headers(world, counting, receiver, tokens, tmp_path):
    """Without a token nothing goes out and nothing is lost; the secret's file is read again for each attempt."""
    secret, r = tmp_path / "secret", receiver()
    secret.write_text("wrong\n")
    write(world, [counting], destination(
        r.url, headers={"X-Own": "1"}, http_headers={"X-Team": {"values": ["blue"], "files": [str(secret)]}},
        oauth2={"client_id": "client", "client_secret_file": str(secret), "token_url": tokens.url + "/token"}))
    d = world.detector()
    world.collector()
    wait_until(lambda: pending(d) > 20 and tokens.requests)
    assert not r.requests and not tokens.given
    assert d.metric("ops_oauth2_token_requests_total", outcome="failed") > 0
    assert d.metric("ops_remote_storage_samples_retried_total") > 0
    secret.write_text("secret\n")
    wait_until(lambda: complete_at(r) > 5)
    assert {h["Authorization"] for h, _, _ in r.requests} == {"Bearer token-1"} and tokens.given == 1
    assert {(h["X-Own"], h["X-Team"]) for h, _, _ in r.requests} == {("1", "blue")}


def test_staleness_markers_and_what_is_imported_go_out(world, target, receiver):
    r = receiver()
    t = target("gone 1\nstays 1\n")
    write(world, [t], destination(r.url))
    d = world.detector()
    world.collector()
    wait_until(lambda: r.samples("gone"))
    t.body = "stays 1\n"
    wait_until(lambda: any(v != v for _, v in r.samples("gone")))
    assert sum(v != v for _, v in r.samples("gone")) == 1
    assert all(v == 1 for _, v in r.samples("stays"))
    assert not d.metric("ops_remote_storage_samples_failed_total")


def test_configuration_is_checked(world, tmp_path):
    for bad, message in [({"url": "ftp://x"}, "url must begin with http"), ({}, "url"),
                         ({"url": "http://x", "protobuf_message": "y"}, "unknown protobuf_message"),
                         ({"url": "http://x", "headers": {"Content-Type": "y"}}, "reserved header"),
                         ({"url": "http://x", "queue_config": {"min_shards": 9, "max_shards": 2}}, "min_shards is above"),
                         ({"url": "http://x", "bearer_token": "a", "basic_auth": {"username": "b"}}, "exclude each other"),
                         ({"url": "http://x", "oauth2": {"client_id": "a"}}, "oauth2 needs token_url"),
                         ({"url": "http://x", "no_proxy": "y"}, "no_proxy needs proxy_url"),
                         ({"url": "http://x", "http_headers": {"Host": {"values": ["y"]}}}, "cannot be set here")]:
        write(world, [], bad)
        d = world.service("ops-detector", world.config(), start=False)
        done = subprocess.run([str(harness.binary("ops-detector")), "--config", str(d.config_file), "--check"],
                              capture_output=True, text=True)
        assert done.returncode == 3 and message in done.stderr, (bad, done.stderr)
        assert "prometheus.yml:" in done.stderr
