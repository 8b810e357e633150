# SPDX-License-Identifier: Apache-2.0
"""ops-detector with real collectors and fake targets: samples in, rules, alerts out, and what no crash may change."""
import datetime
import json
import re
import struct
import subprocess
import threading
import urllib.parse

import pytest

import harness
from harness import http_get, opsctl, wait_until

HOUR = "1h"  # an evaluation interval that no test lives to see: what happens is done by arrival


def job(name, *targets, **more):
    return {"job_name": name, "static_configs": [{"targets": [getattr(t, "address", t) for t in targets]}], **more}


class World:
    """Files, addresses, one detector and any number of collectors."""

    def __init__(self, service, ports, tmp_path):
        self.service, self.ports, self.tmp = service, ports, tmp_path
        self.samples, self.alerts, self.replay = ports(3)
        self.file = tmp_path / "prometheus.yml"
        self.rule_dir = tmp_path / "rules"
        self.rule_dir.mkdir()
        self.d = None

    def write(self, *jobs, **globals_):
        self.file.write_text(json.dumps({  # JSON is YAML too
            "global": {"scrape_interval": "200ms", "evaluation_interval": HOUR, **globals_},
            "rule_files": ["rules/*.yml"], "scrape_configs": list(jobs)}))

    def rules(self, text, name="rules.yml"):
        (self.rule_dir / name).write_text(text)

    def config(self, **more):
        return {"scrape_config_file": str(self.file), "samples_listen": f"tcp://127.0.0.1:{self.samples}",
                "alerts_listen": f"tcp://127.0.0.1:{self.alerts}",
                "alerts_replay_listen": f"tcp://127.0.0.1:{self.replay}", **more}

    def detector(self, start=True, **more):
        self.d = self.service("ops-detector", self.config(**more), start=start)
        return self.d

    def collector(self, name="c1", **more):
        config = {"scrape_config_file": str(self.file), "instance": name,
                  "samples_url": f"tcp://127.0.0.1:{self.samples}", "members_url": f"tcp://127.0.0.1:{self.alerts}",
                  "replay_listen": f"tcp://127.0.0.1:{self.ports()}", "heartbeat_interval": "200ms"}
        return self.service("ops-collector", {**config, **more})

    def api(self, path, **params):
        return self.d.get(f"/api/v1/{path}?" + urllib.parse.urlencode(params, doseq=True))

    def data(self, path, **params):
        reply = self.api(path, **params)
        assert reply.code == 200 and reply.json["status"] == "success", reply
        return reply.json["data"]

    def values(self, expr):
        return sorted(float(x["value"][1]) for x in self.data("query", query=expr)["result"])

    def alert_states(self):
        return sorted((a["labels"]["alertname"], a["state"]) for a in self.data("alerts")["alerts"])

    def transitions(self, alertname=None):
        """(status, event) of everything that was ever published, from the log that replay reads."""
        found = []
        for segment in sorted((self.d.state_dir / "alerts").glob("segment.*")):
            raw = segment.read_bytes()[32:]
            while len(raw) >= 8:
                length = struct.unpack_from("<I", raw)[0]
                if length == 0 or len(raw) < 8 + length:
                    break
                event = json.loads(raw[8:8 + length].split(b"\n", 1)[1])
                if alertname in (None, event["data"]["labels"]["alertname"]):
                    found.append((event["data"]["status"], event))
                raw = raw[8 + length:]
        return found

    def statuses(self, alertname=None):
        """Each transition once: the same one told again has the same id."""
        seen = {}
        for status, event in self.transitions(alertname):
            assert seen.setdefault(event["id"], status) == status
        return list(seen.values())


@pytest.fixture
def world(service, ports, tmp_path):
    return World(service, ports, tmp_path)


class Listener:
    """nngcat, as the documentation shows it."""

    def __init__(self, port, prefix):
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", "nngcat", "--sub", "--dial", f"tcp://127.0.0.1:{port}", "--subscribe", prefix,
             "--subscribe", "ops/heartbeat", "--raw"], stdout=subprocess.PIPE)
        self.heartbeats, self.events = 0, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        topic = b""
        for line in self.process.stdout:
            if line.startswith(b"{") and topic == b"ops/heartbeat\n":
                self.heartbeats += 1
            elif line.startswith(b"{"):
                self.events.append((topic.decode().strip(), json.loads(line)))
            topic = line

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def listener():
    made = []

    def make(port, prefix):
        made.append(Listener(port, prefix))
        wait_until(lambda: made[-1].heartbeats > 0, what="nngcat listens")
        return made[-1]

    yield make
    for x in made:
        x.close()


FORMS = {
    "groups.yml": 'groups:\n- name: one\n  interval: 30s\n  labels: {team: core}\n  rules:\n'
                  '  - record: job:hits:sum\n    expr: sum by (job) (hits)\n'
                  '  - alert: Grouped\n    expr: job:hits:sum > 5\n    labels: {severity: warning}\n',
    "single.yml": 'alert: Single\nexpr: hits > 5\nfor: 1h\nlabels: {severity: page}\n',
    "short.yml": 'dashboard: "Claims-API"\nmetric: "rate(hits[5m]) / rate(hits[5m])"\nthreshold: 0.05\n'
                 'for: 3m\nalert: "P1_Claims_Errors"\nplaybook: "rollback_and_freeze.sh"\n',
    "list.yml": '- alert: First\n  expr: hits > 5\n- {alert: Second, expr: hits > 6, for: 1h}\n',
}


def test_the_rule_file_forms(world, target):
    t = target("hits 9\n")
    world.write(job("web", t), external_labels={"site": "lab"})
    for name, text in FORMS.items():
        world.rules(text, name)
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [
        ("First", "firing"), ("Grouped", "firing"), ("Second", "pending"), ("Single", "pending")],
        what="the alerts of all forms")
    groups = {g["name"]: g for g in world.data("rules")["groups"]}
    assert set(groups) == {"one", "single.yml", "short.yml", "list.yml"}
    assert groups["one"]["interval"] == 30 and groups["single.yml"]["interval"] == 3600
    recording, grouped = groups["one"]["rules"]
    assert (recording["type"], recording["name"], recording["health"]) == ("recording", "job:hits:sum", "ok")
    assert recording["labels"] == {"team": "core"} and "alerts" not in recording
    assert grouped["labels"] == {"severity": "warning", "team": "core"} and grouped["state"] == "firing"
    assert grouped["alerts"][0]["labels"] == {
        "alertname": "Grouped", "job": "web", "severity": "warning", "team": "core"}
    short = groups["short.yml"]["rules"][0]
    assert short["query"] == "(rate(hits[5m]) / rate(hits[5m])) > 0.05" and short["duration"] == 180
    assert short["labels"]["severity"] == "critical" and short["annotations"]["dashboard"] == "Claims-API"
    assert [r["name"] for r in groups["list.yml"]["rules"]] == ["First", "Second"]
    assert world.values('job:hits:sum{team="core"}') == [9]
    assert world.values('ALERTS{alertstate="firing",alertname="First"}') == [1]
    only = world.data("rules", type="alert", **{"rule_name[]": ["Single", "Second"]})["groups"]
    assert [r["name"] for g in only for r in g["rules"]] == ["Second", "Single"]
    assert world.api("rules", type="nothing").code == 400


def test_an_alert_from_breach_to_recovery(world, target, listener):
    t = target('hits{path="/a"} 1\nhits{path="/b"} 1\n')
    world.write(job("web", t), external_labels={"site": "lab"})  # for the bus alone
    world.rules("alert: TooMany\nexpr: hits > 5\nfor: 1s\nlabels: {severity: page}\nplaybook: stop.sh\n"
                "annotations:\n  summary: '{{ $labels.path }} has {{ $value | humanize }} of "
                "{{ with query \"sum(hits)\" }}{{ . | first | value }}{{ end }}'\n")
    world.detector(external_url="http://tower.example")
    heard = listener(world.alerts, "alerts/")
    world.collector()
    wait_until(lambda: world.values("hits") == [1, 1])
    by_interval = wait_until(lambda: world.d.metric("ops_detector_rule_evaluations_total", trigger="interval"))
    assert world.alert_states() == []
    t.body = 'hits{path="/a"} 1\nhits{path="/b"} 1500\n'
    wait_until(lambda: world.alert_states() == [("TooMany", "firing")])
    alert = world.data("alerts")["alerts"][0]
    own = {"alertname": "TooMany", "severity": "page", "path": "/b", "job": "web", "instance": t.address}
    assert alert["labels"] == own
    assert alert["annotations"] == {"summary": "/b has 1.5k of 1501"} and alert["value"] == "1.5e+03"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", alert["activeAt"])
    assert world.data("rules")["groups"][0]["rules"][0]["alerts"] == [alert]
    t.body = 'hits{path="/a"} 1\nhits{path="/b"} 2\n'
    wait_until(lambda: world.alert_states() == [])
    wait_until(lambda: len(heard.events) == 3)
    assert [topic for topic, _ in heard.events] == [
        f"alerts/{status}/page/TooMany" for status in ("pending", "firing", "resolved")]
    pending, firing, resolved = (event for _, event in heard.events)
    for event in (pending, firing, resolved):
        assert event["specversion"] == "1.0" and event["type"] == "ops.alert" and event["source"] == "ops-detector"
        assert event["subject"] == event["data"]["fingerprint"] == pending["subject"]
        assert event["data"]["labels"] == {**own, "site": "lab"}
        assert event["data"]["active_at"] == pending["data"]["active_at"]
        assert event["data"]["playbook"] == "stop.sh" and event["data"]["expr"] == "hits > 5"
        url = urllib.parse.urlsplit(event["data"]["generator_url"])
        assert url.geturl().startswith("http://tower.example/api/v1/query?query=hits%20%3E%205&time=")
        answer = world.d.get(f"{url.path}?{url.query}").json["data"]["result"]  # the link shows what made it change
        assert [x["value"][1] for x in answer] == ([] if event is resolved else ["1500"])
    assert "starts_at" not in pending["data"] and "ends_at" not in firing["data"]
    assert resolved["data"]["starts_at"] == firing["data"]["starts_at"] < resolved["data"]["ends_at"]
    assert firing["data"]["annotations"]["summary"] == "/b has 1.5k of 1501"
    # what subscribers replay is what was said
    assert [event for _, event in world.transitions()] == [pending, firing, resolved]
    assert world.d.metric("ops_detector_rule_evaluations_total", trigger="interval") == by_interval


def assert_fired_by_first_scrape(world):
    """A slow machine may have scraped again since: the alert is older than that."""
    samples = world.data("query", query="hits[10m]")["result"][0]["values"]
    active_at = datetime.datetime.fromisoformat(world.transitions()[0][1]["data"]["active_at"]).timestamp()
    assert all(active_at < at for at, _ in samples[1:])


def test_one_scrape_is_enough(world, target):
    """The very scrape that shows the breach raises the alert: no second one, no interval comes to help."""
    t = target("hits 9\n")
    t.gate.clear()
    world.write(job("web", t), scrape_interval="4s")
    world.rules("alert: TooMany\nexpr: hits > 5\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.d.metric("ops_detector_rule_evaluations_total", trigger="interval") == 1)
    wait_until(lambda: len(t.requests) == 1)
    assert world.transitions() == []
    t.gate.set()
    wait_until(lambda: world.statuses() == ["firing"])
    assert_fired_by_first_scrape(world)
    assert world.d.metric("ops_detector_rule_evaluations_total", trigger="interval") == 1


def test_chains_of_rules_settle_at_once(world, target):
    """A recorded series is data that arrives: the alert on it does not wait, wherever its group stands."""
    t = target("hits 9\n")
    t.gate.clear()
    world.write(job("web", t), scrape_interval="15s")
    world.rules("groups:\n- name: reads\n  rules: [{alert: Doubled, expr: 'twice > 10'}]\n"
                "- name: writes\n  rules: [{record: twice, expr: 'hits * 2'}]\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.d.metric("ops_detector_rule_evaluations_total", trigger="interval") == 2)
    t.gate.set()
    wait_until(lambda: world.statuses() == ["firing"])
    assert_fired_by_first_scrape(world)


def test_keep_firing_for(world, target):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.rules("alert: Kept\nexpr: hits > 5\nkeep_firing_for: 2s\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("Kept", "firing")])
    t.body = "hits 1\n"
    kept = wait_until(lambda: world.values("hits") == [1] and [
        a for a in world.data("alerts")["alerts"] if "keepFiringSince" in a])
    assert kept[0]["state"] == "firing"
    t.body = "hits 9\n"
    wait_until(lambda: "keepFiringSince" not in world.data("alerts")["alerts"][0])
    t.body = "hits 1\n"
    wait_until(lambda: world.alert_states() == [])
    assert world.statuses() == ["firing", "resolved"]


@pytest.mark.parametrize("text,position,message", [
    ("alert: A\nexpr: hits >\n", (2, 13), "unexpected"),
    ("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(nosuch(hits))\n", (5, 15), "nosuch"),
    ("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: |\n      sum(hits)\n        > no_fn(1)\n", (7, 11), "no_fn"),
    ("alert: A\nexpr: hits\nannotations:\n  summary: '{{ $labels.x | nofilter }}'\n", (4, 12), "nofilter"),
    ("alert: A\nexpr: hits\nlabels:\n  x: '{{ if }}'\n", (4, 6), "template"),
    ("alert: A\nexpr: hits\nfor: soon\n", (3, 6), "soon"),
    ("alert: A\nexpr: hits\nseverity: page\n", (3, 1), "severity"),
    ("groups:\n- name: g\n  rules: []\n- name: g\n  rules: []\n", (4, 3), "repeated"),
    ("record: 'a{b}'\nexpr: hits\n", (1, 9), "metric name"),
    ("alert: A\nexpr: hits\nplaybook: ../x\n", (3, 11), "playbook"),
    ("alert: A\nexpr: hits\nexpr: hits\n", (3, 1), "expr"),
    ("alert: [\n", None, "rules.yml"),
])
def test_a_wrong_rule_is_refused_at_its_place(world, text, position, message):
    world.write()
    world.rules(text)
    d = world.detector(start=False)
    for program, flags in (("ops-detector", ["--check"]), ("ops-detector", [])):
        done = subprocess.run([harness.binary(program), "--config", d.config_file, *flags], capture_output=True,
                              text=True, timeout=30, env=d.environment())
        said = done.stdout + done.stderr
        assert done.returncode == 3, said
        assert message in said
        if position:
            assert f"rules.yml:{position[0]}:{position[1]}: " in said, said
        assert not harness.SANITIZER.search(said)


def test_a_bad_reload_changes_nothing(world, target):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.rules("alert: A\nexpr: hits > 5\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("A", "firing")])
    assert world.d.metric("ops_config_last_reload_successful") == 1
    before = world.data("rules")["groups"][0]["rules"][0]["query"]
    world.rules("alert: A\nexpr: hits >\n")
    done = opsctl("reload", "detector", env={"OPS_DETECTOR_URL": world.d.url})
    assert done.returncode != 0 and "rules.yml:2:13" in done.stdout + done.stderr
    assert world.d.metric("ops_config_last_reload_successful") == 0
    assert world.data("rules")["groups"][0]["rules"][0]["query"] == before
    assert world.alert_states() == [("A", "firing")]
    # a rule that is edited goes on; one that is gone resolves
    world.rules("alert: A\nexpr: hits > 6\n")
    opsctl("reload", "detector", env={"OPS_DETECTOR_URL": world.d.url}, check=0)
    assert world.d.metric("ops_config_last_reload_successful") == 1
    assert world.data("rules")["groups"][0]["rules"][0]["query"] == "hits > 6"
    assert world.statuses() == ["firing"]
    world.rules("alert: B\nexpr: hits > 100\n")
    opsctl("reload", "detector", env={"OPS_DETECTOR_URL": world.d.url}, check=0)
    wait_until(lambda: world.statuses() == ["firing", "resolved"])


def active_at(world, alertname):
    return [a["activeAt"] for a in world.data("alerts")["alerts"] if a["labels"]["alertname"] == alertname]


def test_killed_while_pending(world, target):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.rules("alert: Slow\nexpr: hits > 5\nfor: 4s\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("Slow", "pending")])
    breach = active_at(world, "Slow")
    world.d.sigkill()
    world.d.start()
    assert active_at(world, "Slow") == breach
    wait_until(lambda: world.alert_states() == [("Slow", "firing")])
    assert active_at(world, "Slow") == breach
    assert world.statuses() == ["pending", "firing"]


def test_killed_while_firing(world, target):
    t = target("hits 1\n")
    world.write(job("web", t))
    world.rules("alert: Down\nexpr: hits > 5\n")
    world.detector()
    c = world.collector()
    # the ring remembers better days, and they must not resolve anything
    wait_until(lambda: len(t.requests) > 3 and world.values("hits") == [1])
    t.body = "hits 9\n"
    wait_until(lambda: world.alert_states() == [("Down", "firing")])
    for _ in range(3):
        world.d.sigkill()
        n = len(t.requests)
        wait_until(lambda: len(t.requests) > n + 1)
        world.d.start()
        assert world.alert_states() == [("Down", "firing")]
        wait_until(lambda: world.values("hits") == [9] and world.values("min_over_time(hits[10m])") == [1])
        assert world.statuses() == ["firing"]
    # without anybody who could say how things are, it stays
    c.sigkill()
    world.d.sigkill()
    world.d.start()
    wait_until(lambda: world.d.metric("ops_detector_rule_evaluations_total", trigger="interval"))
    assert world.alert_states() == [("Down", "firing")] and world.statuses() == ["firing"]
    # the breach ended while nobody looked
    world.d.sigkill()
    t.body = "hits 1\n"
    c.start()
    n = len(t.requests)
    wait_until(lambda: len(t.requests) > n + 1)
    world.d.start()
    wait_until(lambda: world.statuses() == ["firing", "resolved"])
    assert world.alert_states() == []


def test_a_rule_that_went_while_it_was_down(world, target):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.rules("alert: Gone\nexpr: hits > 5\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.statuses() == ["firing"])
    world.d.sigkill()
    world.rules("alert: Other\nexpr: hits > 5\n")
    world.d.start()
    wait_until(lambda: world.statuses("Gone") == ["firing", "resolved"])
    wait_until(lambda: world.statuses("Other") == ["firing"])
    world.d.restart()
    wait_until(lambda: world.values("hits") == [9])
    assert world.statuses("Gone") == ["firing", "resolved"] and world.statuses("Other") == ["firing"]


def test_a_collector_dies_and_an_alert_does_not(world, target):
    targets = [target("hits 9\n") for _ in range(4)]
    world.write(*(job(f"j{i}", t) for i, t in enumerate(targets)))
    world.rules("alert: Hot\nexpr: hits > 5\n")
    world.detector()
    collectors = [world.collector("one"), world.collector("two")]
    wait_until(lambda: world.alert_states() == [("Hot", "firing")] * 4)
    wait_until(lambda: world.d.metric("ops_detector_collectors") == 2)
    collectors[0].sigkill()
    wait_until(lambda: world.d.metric("ops_detector_collectors") == 1)
    seen = [len(t.requests) for t in targets]
    wait_until(lambda: all(len(t.requests) > n + 2 for t, n in zip(targets, seen)))
    assert world.alert_states() == [("Hot", "firing")] * 4
    collectors[0].start()
    wait_until(lambda: world.d.metric("ops_detector_collectors") == 2)
    targets[0].body = "hits 1\n"
    wait_until(lambda: sorted(world.statuses()) == ["firing"] * 4 + ["resolved"])


def test_what_a_lost_target_had_is_stale(world, target):
    t, other = target("hits 9\n"), target("other 1\n")
    world.write(job("web", t), job("other", other))
    world.rules("alert: Hot\nexpr: hits > 5\n")
    world.detector()
    c = world.collector()
    wait_until(lambda: world.statuses() == ["firing"])
    world.write(job("other", other))
    c.sighup()
    wait_until(lambda: world.values("hits") == [] and world.values('up{job="web"}') == [])
    wait_until(lambda: world.statuses() == ["firing", "resolved"])
    wait_until(lambda: world.values("other") == [1])


def test_the_bus_takes_nothing_from_strangers(world, target, tmp_path):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.detector()
    stranger = tmp_path / "stranger.key"
    stranger.write_text("0123456789abcdef" * 4 + "\n")
    c = world.collector(bus={"key_file": str(stranger)})
    wait_until(lambda: (world.d.metric("ops_bus_refused_total", reason="bad_mac") or 0) > 3)
    assert world.values("hits") == [] and world.values("up") == []
    assert world.d.metric("ops_detector_samples_ingested_total") in (None, 0)
    c.sigterm()
    # garbage in well-formed transport, and garbage instead of it
    dial = ["nngcat", "--pub", "--dial", f"tcp://127.0.0.1:{world.samples}", "--data", "batch/x\n\x01garbage",
            "--interval", "1", "--count", "3", "--delay", "1"]
    sender = subprocess.Popen(dial)
    try:
        wait_until(lambda: (world.d.metric("ops_bus_refused_total", reason="bad_frame") or 0) >= 1)
    finally:
        sender.kill()
        sender.wait()
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0SP\0\0\x20\0\0" + b"\xff" * 64, bytes(range(256)) * 64, b""):
        with harness.socket.create_connection(("127.0.0.1", world.samples), 5) as s:
            s.sendall(junk)
    assert world.d.get("/-/healthy").code == 200
    world.collector("honest")
    wait_until(lambda: world.values("hits") == [9])


def test_memory_max_refuses_new_series(world, target):
    t = target("".join(f'wide{{i="{i}"}} {i}\n' for i in range(5000)))
    small = target("hits 9\n")
    world.write(job("small", small))
    world.rules("alert: Hot\nexpr: hits > 5\n")
    world.detector(memory_max="400KiB")
    c = world.collector()
    wait_until(lambda: world.values("hits") == [9])
    world.write(job("small", small), job("wide", t))
    c.sighup()
    refused = wait_until(lambda: world.d.metric("ops_detector_samples_refused_total", reason="memory_max"))
    assert refused > 0
    kept = world.values("count(wide) or vector(0)")[0]
    assert kept < 5000
    # what is there goes on
    small.body = "hits 10\n"
    wait_until(lambda: world.values("hits") == [10])
    assert world.alert_states() == [("Hot", "firing")]


def test_refused_scrape_configuration(world):
    world.file.write_text("global: {evaluation_interval: 0s, external_labels: [a]}\n")
    d = world.detector(start=False)
    done = subprocess.run([harness.binary("ops-detector"), "--config", d.config_file, "--check"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and "prometheus.yml:1:" in done.stderr + done.stdout, done


# ---- the same questions to Prometheus ----

STATIC = """# HELP temperature Degrees.
# TYPE temperature gauge
temperature{room="hall",floor="1"} 21.5
temperature{room="attic",floor="2"} 1e-7
temperature{room="cellar",floor="0"} -4
# TYPE requests_total counter
requests_total{code="200",path="/"} 1027
requests_total{code="500",path="/"} 3
# TYPE wait histogram
wait_bucket{le="0.1"} 10
wait_bucket{le="0.5"} 18
wait_bucket{le="+Inf"} 20
wait_sum 12.5
wait_count 20
# TYPE odd untyped
odd{v="inf"} +Inf
odd{v="nan"} NaN
odd{v="big"} 1.7976931348623157e308
odd{v="quote\\"and\\\\slash\\nline",u="\u20ac"} 9007199254740993
"""

QUERIES = [
    "temperature", 'temperature{floor=~"[01]"}', 'temperature{room!="hall"} > 0', "sum(requests_total)",
    "sum by (code) (requests_total)", "avg without (room) (temperature)", "histogram_quantile(0.9, wait_bucket)",
    "wait_sum / wait_count", "odd", "-odd", "topk(2, temperature)", "sort_desc(temperature)",
    "count_values('v', requests_total)", "temperature * on(room) group_left temperature",
    "label_replace(temperature, 'x', '$1', 'room', '(.).*')", "1 + 2 * 3", "'text'", "vector(7)", "temperature[5s] offset 1h",
    "absent(nosuch{a='b'})", "quantile(0.5, temperature)", "max_over_time(temperature[3s])", "scalar(wait_sum)",
    "temperature and on(floor) requests_total", "requests_total % 10", "2 ^ 0.5", "clamp(temperature, 0, 20)",
    "{__name__=~'wait.*'}", "requests_total{code='200'} / ignoring(code) requests_total{code='500'}", "stddev(temperature)",
    "bottomk(1, temperature)", "count(temperature) by (floor)", "temperature == bool 21.5", "round(temperature)",
]

BAD = [
    ("query", {}), ("query", {"query": ""}), ("query", {"query": "sum("}), ("query", {"query": "foo bar"}),
    ("query", {"query": "nosuch(1)"}), ("query", {"query": "up", "time": "yesterday"}),
    ("query", {"query": "up", "timeout": "soon"}), ("query", {"query": "up[5m"}), ("query", {"query": "{}"}),
    ("query", {"query": "rate(up)"}), ("query", {"query": 'up{a="\xff'}), ("query", {"query": "sum(up) by"}),
    ("query_range", {"query": "up"}), ("query_range", {"query": "up", "start": 1, "end": 2, "step": 0}),
    ("query_range", {"query": "up", "start": 5, "end": 2, "step": 1}),
    ("query_range", {"query": "up", "start": 0, "end": 20000, "step": 1}),
    ("query_range", {"query": "up[1m]", "start": 0, "end": 2, "step": 1}),
    ("query_range", {"query": "up", "start": 0, "end": 2, "step": "x"}), ("series", {}), ("series", {"match[]": "up{"}),
    ("series", {"match[]": "up", "start": "x"}), ("series", {"match[]": "{}"}), ("labels", {"match[]": "1+1"}),
    ("label/job/values", {"match[]": "up{"}), ("metadata", {"limit": "x"}),
    ("format_query", {"query": "sum("}), ("rules", {"type": "x"}),
]


@pytest.fixture
def peer(ports, tmp_path):
    """Debian's prometheus on the same targets."""
    made = []

    def make(config):
        program = harness.shutil.which("prometheus")
        if program is None:
            pytest.skip("no prometheus on this machine")
        port = ports()
        folder = tmp_path / "peer"
        folder.mkdir()
        (folder / "prometheus.yml").write_text(json.dumps(config))
        with open(folder / "log", "wb") as log:
            made.append(subprocess.Popen(
                [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=harness.die_with_parent(9)))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: http_get(url + "/-/ready").code == 200, what="prometheus is ready")
        return url

    yield make
    for p in made:
        p.kill()
        p.wait()


def ask(url, path, params):
    reply = http_get(f"{url}/api/v1/{path}?" + urllib.parse.urlencode(params, doseq=True))
    return reply.code, reply.json


def plain(data):
    """Vectors have no order of their own unless they were sorted."""
    if isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        return {**data, "result": sorted(data["result"], key=lambda x: json.dumps(x, sort_keys=True))}
    return data


def test_answers_as_prometheus_does(world, target, peer):
    t = target(STATIC)
    config = {"global": {"scrape_interval": "250ms"}, "scrape_configs": [job("web", t)]}
    theirs = peer(config)
    world.write(job("web", t))
    world.detector()
    world.collector()
    ours = world.d.url
    count = {"query": "count({job='web'})"}

    def both_have(at):
        both = [ask(u, "query", {**count, "time": at})[1]["data"]["result"] for u in (ours, theirs)]
        return all(both) and both[0][0]["value"][1] == both[1][0]["value"][1]

    first = wait_until(lambda: [x for x in [harness.time.time()] if both_have(x)])[0]
    last = first + 3
    wait_until(lambda: harness.time.time() > last + 1 and both_have(last))
    differ = []

    def compare(path, params, shape=lambda x: x):
        want, got = ask(theirs, path, params), ask(ours, path, params)
        if got[0] != want[0] or shape(got[1].get("data")) != shape(want[1].get("data")) \
                or got[1].get("errorType") != want[1].get("errorType"):
            differ.append((path, params, "ours", got, "theirs", want))

    for query in QUERIES:
        ordered = query.startswith("sort")
        compare("query", {"query": query, "time": f"{last:.3f}"}, (lambda x: x) if ordered else plain)
        if query[0] != "'" and "[5s]" not in query:
            compare("query_range", {"query": query, "start": f"{first:.3f}", "end": f"{last:.3f}", "step": "1s"}, plain)
    span = {"start": f"{first:.3f}", "end": f"{last:.3f}"}
    for match in (["temperature"], ["{__name__=~'wait.*'}", "odd"], ["nosuch"]):
        compare("series", {"match[]": match, **span},
                lambda x: sorted(x, key=lambda s: json.dumps(s, sort_keys=True)))
        compare("labels", {"match[]": match, **span})
        compare("label/room/values", {"match[]": match, **span})
    compare("labels", span)
    for name in ("__name__", "job", "floor", "le", "v", "nosuch"):
        compare(f"label/{name}/values", span)
    for metric in ("temperature", "wait", "requests_total", "nosuch"):
        compare("metadata", {"metric": metric})
    compare("format_query", {"query": "sum  by(a)(up)"})
    for path, params in BAD:
        compare(path, params)
    assert not differ, "\n".join(map(str, differ))
