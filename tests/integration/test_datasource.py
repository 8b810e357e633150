# SPDX-License-Identifier: Apache-2.0
"""Rules evaluated by somebody else's engine, and shared among several detectors."""
import subprocess

import pytest

import fake_apis
import harness
from harness import wait_until
from receivers import Prometheus, VictoriaMetrics
from test_detector import World
from test_remote_write import destination, write

RULES = """
groups:
- name: g
  interval: 200ms
  rules:
  - {record: doubled, expr: 2 * load, labels: {by: us}}
  - alert: High
    expr: load > 10
    for: 300ms
    labels: {severity: page}
    annotations: {summary: "{{ $labels.host }} has {{ $value }}"}
    resolve_when: load < 5
  - {alert: Broken, expr: 'load * on(host) group_left other'}
"""
PEERS = [pytest.param(p, marks=pytest.mark.skipif(not p.program, reason=f"{p.__name__} is not installed"))
         for p in (VictoriaMetrics, Prometheus)]


@pytest.fixture
def world(service, ports, tmp_path):
    return World(service, ports, tmp_path)


@pytest.fixture
def peer(request, tmp_path):
    p = request.param(tmp_path / request.param.__name__)
    yield p
    p.close()


class Engine(fake_apis.Server):
    """Answers every query with one series of the value 20."""

    def __init__(self):
        super().__init__(_EngineHandler)


class _EngineHandler(fake_apis.Handler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.requests.append((self.path, body, dict(self.headers)))
        return self.reply(200, {"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"host": "a"}, "value": [1, "20"]}]}})


def rules_of(d):
    return {r["name"]: r for g in d.get("/api/v1/rules").json["data"]["groups"] for r in g["rules"]}


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_rules_of_a_datasource(world, target, peer, tmp_path, service, ports):
    # Somebody fills the peer: a collector and a detector of their own.
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    t = target('load{host="a"} 3\nload{host="b"} 20\n')
    feeder = World(service, ports, other_dir)
    write(feeder, [t], destination(peer.url + peer.path))
    feeder.detector()
    feeder.collector()
    wait_until(lambda: len(peer.stored("load")) == 2)

    write(world, [], destination(peer.url + peer.path))
    world.rules(RULES)
    d = world.service("ops-detector", world.config(), args=["--datasource", peer.url])
    world.d = d

    def alert():
        return [a for a in d.get("/api/v1/alerts").json["data"]["alerts"] if a["labels"]["alertname"] == "High"]

    wait_until(lambda: [a["state"] for a in alert()] == ["firing"])
    (a,) = alert()
    assert a["labels"]["host"] == "b" and a["labels"]["severity"] == "page" and float(a["value"]) == 20
    assert a["annotations"]["summary"] == "b has 20"

    # The recorded series goes back to the engine.
    wait_until(lambda: len(peer.stored("doubled")) == 2)
    assert {dict(k)["by"] for k in peer.stored("doubled")} == {"us"}
    assert {v for samples in peer.stored("doubled").values() for _, v in samples} == {6, 40}
    wait_until(lambda: peer.stored("ALERTS"))

    # What the engine refuses is shown with its words; the other rules go on.
    t.body = 'load{host="a"} 3\nload{host="b"} 7\nother{host="b",x="1"} 1\nother{host="b",x="2"} 1\n'
    wait_until(lambda: rules_of(d)["Broken"]["health"] == "err" and "datasource says" in rules_of(d)["Broken"]["lastError"])
    assert [a["state"] for a in alert()] == ["firing"]  # resolve_when: not below 5 yet
    t.body = 'load{host="a"} 3\nload{host="b"} 4\n'
    wait_until(lambda: not alert())

    # Without the engine alerts stay as they are, and the rules say why.
    t.body = 'load{host="a"} 30\n'
    wait_until(lambda: [a["state"] for a in alert()] == ["firing"])
    peer.stop()
    wait_until(lambda: rules_of(d)["High"]["health"] == "err")
    assert [a["state"] for a in alert()] == ["firing"]
    peer.start()
    wait_until(lambda: rules_of(d)["High"]["health"] == "ok")
    assert [a["state"] for a in alert()] == ["firing"]
    assert d.metric("ops_detector_datasource_queries_total", outcome="failed") > 0


def test_a_datasource_that_wants_a_token(world, tmp_path):
    """The first query waits for the token; each carries it."""
    tokens, engine = fake_apis.Tokens(), Engine()
    write(world, [])
    world.rules("groups:\n- {name: g, interval: 200ms, rules: [{alert: Up, expr: load > 1}]}\n")
    d = world.service("ops-detector", {**world.config(), "datasource": {"url": engine.url, "oauth2": {
        "client_id": "client", "client_secret": "secret", "token_url": tokens.url}}})
    wait_until(lambda: [a["state"] for a in d.get("/api/v1/alerts").json["data"]["alerts"]] == ["firing"])
    assert {h.get("Authorization") for _, _, h in engine.requests} == {"Bearer token-1"} and tokens.given == 1
    d.sigterm()
    tokens.close()
    engine.close()


def test_sharded_by_name(world):
    """Three detectors: every group runs in exactly one of them; one more moves only what it takes."""
    names = [f"group-{i}" for i in range(40)]
    world.rules("groups:\n" + "".join(f"- name: {n}\n  rules:\n  - {{record: 'r:{i}', expr: vector({i})}}\n" for i, n in enumerate(names)))
    write(world, [])

    def groups(shard):
        d = world.service("ops-detector", {**world.config(), "samples_listen": f"tcp://127.0.0.1:{world.ports()}",
                                           "alerts_listen": f"tcp://127.0.0.1:{world.ports()}",
                                           "alerts_replay_listen": f"tcp://127.0.0.1:{world.ports()}"}, args=["--rule-shard", shard])
        return {g["name"] for g in d.get("/api/v1/rules").json["data"]["groups"]}

    three = [groups(f"{i}/3") for i in (1, 2, 3)]
    assert sorted(n for g in three for n in g) == sorted(names) and all(three)
    for i in (1, 2, 3):
        assert groups(f"{i}/4") <= three[i - 1]


def check(world, **more):
    d = world.service("ops-detector", world.config(**more), start=False)
    return subprocess.run([str(harness.binary("ops-detector")), "--config", str(d.config_file), "--check"], capture_output=True, text=True)


def test_settings_are_checked(world):
    write(world, [])
    for more, message in [({"datasource": "victoria:8428"}, "must begin with http"),
                          ({"datasource": {"url": "http://x", "basic_auht": {}}}, "basic_auth"),
                          ({"datasource": {"url": "http://x", "concurrency": 0}}, "concurrency"),
                          ({"rule_shard": "4/3"}, "is no share of the rules"), ({"rule_shard": "x"}, "1/3, 2/3 and 3/3")]:
        done = check(world, **more)
        assert done.returncode == 3 and message in done.stderr, (more, done.stderr)
    assert check(world, datasource={"url": "http://x", "basic_auth": {"username": "u", "password": "p"}}, rule_shard="3/3").returncode == 0
