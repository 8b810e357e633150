# SPDX-License-Identifier: Apache-2.0
"""Several collectors and one detector, as real processes: who scrapes what while some of them come, go or are cut off; replicas;
pushed groups; and what strangers on the bus ports can do."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

import harness
from harness import free_port, http, opsctl, wait_until
from test_collector import Stack, active, job

HEARTBEAT = "300ms"
NTARGETS = 60  # so many that each of five has some, whatever the ports are
# A busy machine may stop us for a while; a target that nobody has shows at once, because then nothing comes any more.
LONGEST_GAP_S = 20.0


class Exporter(harness.Target):
    """Many targets behind one address: every path is one. Its answer counts the requests, so the order of scrapes is in the values."""

    def __init__(self, host="127.0.0.1"):
        self.count, self.lock, self.more = 0, threading.Lock(), ""
        super().__init__("")
        self.host = host

    @property
    def body(self):
        with self.lock:
            self.count += 1
            return f"hits {self.count}\n{self.more}"

    @body.setter
    def body(self, value):
        pass

    def groups(self, n):
        return [{"targets": [self.address], "labels": {"n": str(i), "__metrics_path__": f"/t{i}"}} for i in range(n)]


class Fleet(Stack):
    def __init__(self, service, ports, tmp_path, host="127.0.0.1"):
        super().__init__(service, ports, tmp_path, detector=False)
        self.host, self.tmp_path = host, tmp_path
        self.detector = service("ops-detector", {
            "heartbeat_interval": HEARTBEAT, "samples_listen": f"tcp://0.0.0.0:{self.samples}",
            "alerts_listen": f"tcp://0.0.0.0:{self.alerts}", "alerts_replay_listen": f"tcp://0.0.0.0:{self.replay}",
            "alerts_replay_advertise": f"tcp://{host}:{self.replay}"})

    def write(self, jobs, **globals_):
        super().write(jobs, scrape_interval="1s", **globals_)

    def collector(self, name, **config):
        return super().collector(name, **{"heartbeat_interval": HEARTBEAT, **config})

    def shares(self, *collectors):
        """Names of targets, per collector."""
        return [{t["labels"].get("n", "") + t["scrapePool"] for t in active(c) if t["local"]} for c in collectors]

    def each_has_one(self, *collectors):
        shares = self.shares(*collectors)
        return len(set().union(*shares)) == sum(map(len, shares)) == NTARGETS

    def samples_of(self, selector, window="30m"):
        """Label n -> list of (time, value), as they are stored."""
        reply = self.detector.get("/api/v1/query?" + urllib.parse.urlencode({"query": f"{selector}[{window}]"})).json
        return {x["metric"].get("n", ""): [(t, float(v)) for t, v in x["values"]] for x in reply["data"]["result"]}

    def settled(self):
        """Some intervals after the start: who scrapes what has been found out, and how often."""
        wait_until(lambda: self.value("count(count_over_time(hits[10m]) > 3)") == NTARGETS, 60)
        self.since = time.time()

    def assert_whole(self):
        """Nothing is missing for long, nothing is there twice, what was seen later is stored later."""
        def since():
            found = {n: [x for x in s if x[0] > self.since] for n, s in self.samples_of("hits").items()}
            return len(found) == NTARGETS and min(map(len, found.values())) > 2 and found
        for name, samples in wait_until(since, 60).items():
            times, values = zip(*samples)
            gaps = [b - a for a, b in zip(times, times[1:])]
            assert max(gaps) < LONGEST_GAP_S, (name, max(gaps))
            close = [g for g in gaps if g < 0.2]  # a scrape that was late stands close to the next; what all have kept would be many
            assert len(close) <= 2, (name, "doubled", gaps)
            back = [a - b for a, b in zip(values, values[1:]) if b <= a]
            assert not back or max(back) < NTARGETS, f"{name}: out of order"  # two may scrape it in the same moment
        reply = self.detector.get("/api/v1/query?" + urllib.parse.urlencode({"query": "count_over_time(up[30m]) unless up == 1"})).json
        assert reply["data"]["result"] == []


@pytest.fixture
def exporter():
    e = Exporter()
    yield e
    e.shutdown()
    e.server_close()


@pytest.fixture
def fleet(service, ports, tmp_path):
    return Fleet(service, ports, tmp_path)


def many(exporter, **more):
    return {"job_name": "many", "static_configs": exporter.groups(NTARGETS), **more}


def fresh(fleet, n=NTARGETS):
    """Every target has a sample of the last two seconds or so."""
    return fleet.value("count(timestamp(hits) > time() - 4)") == n


def test_five_collectors_come_and_go(fleet, exporter):
    fleet.write([many(exporter)])
    five = [fleet.collector(f"c{i}") for i in range(5)]
    wait_until(lambda: fleet.each_has_one(*five) and all(fleet.shares(*five)), 90)
    wait_until(lambda: fresh(fleet), 60)
    fleet.settled()
    wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 5)
    # one is killed: the others have its targets
    five[2].sigkill()
    rest = [c for c in five if c is not five[2]]
    wait_until(lambda: fleet.each_has_one(*rest), 90)
    wait_until(lambda: fresh(fleet), 60)
    wait_until(lambda: fleet.detector.metric("ops_detector_leader_changes_total", reason="gone"))
    # two more: only what they take over moves
    before = fleet.shares(*rest)
    seven = rest + [fleet.collector(f"c{i}") for i in (5, 6)]
    wait_until(lambda: fleet.each_has_one(*seven) and any(fleet.shares(*seven[-2:])), 90)
    assert all(now <= was for now, was in zip(fleet.shares(*rest), before))
    wait_until(lambda: fresh(fleet), 60)
    # the detector is killed in the middle; what was scraped meanwhile is kept and comes in order
    fleet.detector.sigkill()
    n = exporter.count
    wait_until(lambda: exporter.count > n + 5 * NTARGETS, 60)
    fleet.detector.start()
    wait_until(lambda: fleet.each_has_one(*seven), 90)
    wait_until(lambda: fresh(fleet), 60)
    wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 6)
    fleet.assert_whole()
    assert not fleet.detector.metric("ops_detector_sample_records_lost_total")
    # one goes as it should: it lets go of its targets
    seven[0].sigterm()
    wait_until(lambda: fleet.each_has_one(*seven[1:]), 90)
    wait_until(lambda: fresh(fleet), 60)
    wait_until(lambda: fleet.detector.metric("ops_detector_leader_changes_total", reason="released"))
    fleet.assert_whole()


# ---- replicas ----

def test_replicas_are_one_series(fleet, exporter):
    fleet.write([many(exporter, replicas=2)])
    three = [fleet.collector(f"c{i}") for i in range(3)]

    def two_each(*collectors):
        shares = fleet.shares(*collectors)
        return sum(map(len, shares)) == 2 * NTARGETS and len(set().union(*shares)) == NTARGETS
    wait_until(lambda: two_each(*three), 90)
    wait_until(lambda: fleet.detector.metric("ops_detector_targets_replicated") == NTARGETS, 60)
    wait_until(lambda: fleet.detector.metric("ops_detector_replica_samples_dropped_total") > 0)
    fleet.settled()
    for t in active(three[0]):
        assert t["replicas"] == len(t["owners"]) == 2 and t["collector"] == "c0"
        assert t["local"] == ("c0" in t["owners"])
    # whichever leads is killed: the other one's samples are there, without a hole or a marker
    members = fleet.detector.get("/api/v1/members").json["data"]["members"]
    assert sorted(m["instance"] for m in members) == ["c0", "c1", "c2"]
    assert sum(m["targetsLed"] for m in members) == NTARGETS
    most = max(members, key=lambda m: m["targetsLed"])["instance"]
    victim = next(c for c, name in zip(three, ("c0", "c1", "c2")) if name == most)
    victim.sigkill()
    rest = [c for c in three if c is not victim]
    wait_until(lambda: two_each(*rest), 90)
    wait_until(lambda: fresh(fleet), 60)
    fleet.assert_whole()
    wait_until(lambda: fleet.detector.metric("ops_detector_leader_changes_total"))
    wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 2)
    # it leaves the configuration of one, then of the other: stale only when both have dropped it
    fleet.write([])
    assert rest[0].post("/-/reload").code == 200
    wait_until(lambda: fresh(fleet), 60)
    assert rest[1].post("/-/reload").code == 200
    wait_until(lambda: fleet.query("hits") == {}, 60)


def test_a_replica_that_cannot_reach_the_target_does_not_lead(fleet, target):
    """Each of two collectors reaches the target by a way (a proxy) of its own; the ways fail one after the other."""
    ways = [target("hits 1\n"), target("hits 2\n")]
    fleet.write([job("apart", "nowhere.invalid:8080", replicas=2, proxy_from_environment=True)])
    for i, way in enumerate(ways):
        fleet.collector(f"c{i}", env={"http_proxy": "http://" + way.address, "no_proxy": "", "NO_PROXY": ""})
    wait_until(lambda: fleet.detector.metric("ops_detector_targets_replicated") == 1, 60)

    def leader():
        members = fleet.detector.get("/api/v1/members").json["data"]["members"]
        return next((int(m["instance"][1]) for m in members if m["targetsLed"] == 1), None)
    wait_until(lambda: leader() is not None and fleet.value("hits") == leader() + 1, 60)
    first = leader()
    other = 1 - first
    for failing, good in ((first, other), (other, first)):
        asked = len(ways[good].requests)
        wait_until(lambda: len(ways[good].requests) > asked + 4, 60)  # it has shown that it can
        ways[failing].status = 503
        wait_until(lambda: leader() == good and fleet.value("hits") == good + 1, 60)
        ways[failing].status = 200
    assert fleet.detector.metric("ops_detector_leader_changes_total", reason="failed") >= 1
    times = [t for t, _ in fleet.samples_of("hits")[""]]
    assert max(b - a for a, b in zip(times, times[1:])) < LONGEST_GAP_S
    for way in ways:
        way.status = 503
    wait_until(lambda: fleet.value("up") == 0 and fleet.query("hits") == {}, 60)


def test_opsctl_asks_every_collector(fleet, exporter, service):
    fleet.write([many(exporter, replicas=2), {
        "job_name": "dropped", "static_configs": [{"targets": ["127.0.0.1:1"]}],
        "relabel_configs": [{"source_labels": ["__address__"], "regex": ".*:1", "action": "drop"}]}])
    three = [fleet.collector(f"c{i}") for i in range(3)]
    wait_until(lambda: sum(map(len, fleet.shares(*three))) == 2 * NTARGETS, 90)
    wait_until(lambda: all(t["health"] == "up" for c in three for t in active(c) if t["local"]), 60)
    env = {"OPS_DETECTOR_URL": fleet.detector.url, "OPS_COLLECTOR_URL": f"http://127.0.0.1:{free_port()}"}
    lines = opsctl("targets", env=env, check=0).stdout.splitlines()
    assert lines[0].split()[:3] == ["JOB", "URL", "HEALTH"] and "REPLICA" in lines[0]
    assert len(lines) == 1 + 2 * NTARGETS
    assert {re.search(r"\b(c\d)\b", x)[1] for x in lines[1:]} == {"c0", "c1", "c2"}
    assert sorted(re.search(r"\b[12]/2\b", x)[0] for x in lines[1:]) == ["1/2"] * NTARGETS + ["2/2"] * NTARGETS
    whole = json.loads(opsctl("targets", "--json", env=env, check=0).stdout)["data"]
    assert len(whole["activeTargets"]) == 2 * NTARGETS and all(t["local"] for t in whole["activeTargets"])
    dropped = opsctl("targets", "--dropped", env=env, check=0).stdout
    assert "127.0.0.1:1" in dropped and "dropped" in dropped
    # one alone knows of all, and says whose the others are
    one = json.loads(opsctl("targets", "--json", "--collector", three[0].url, check=0).stdout)["data"]["activeTargets"]
    assert len(one) == NTARGETS and {t["local"] for t in one} == {True, False}
    assert all(t["owners"] for t in one)


# ---- a cut network ----

class Namespace:
    """A network of its own that one veth pair joins to ours, or not."""

    def __init__(self):
        number = os.getpid() % 200 + 20
        self.name, self.ours, self.theirs = f"opsfleet{os.getpid()}", f"opsf{os.getpid() % 10000}a", f"opsf{os.getpid() % 10000}b"
        self.host, self.guest = f"10.213.{number}.1", f"10.213.{number}.2"

    def ip(self, *args):
        subprocess.run(["ip", *args], check=True, capture_output=True, text=True)

    def make(self):
        self.ip("netns", "add", self.name)
        self.ip("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
        self.ip("addr", "add", f"{self.host}/30", "dev", self.ours)
        self.ip("link", "set", self.ours, "up")
        self.ip("-n", self.name, "addr", "add", f"{self.guest}/30", "dev", self.theirs)
        self.ip("-n", self.name, "link", "set", self.theirs, "up")
        self.ip("-n", self.name, "link", "set", "lo", "up")

    def cut(self, on):
        self.ip("link", "set", self.ours, "down" if on else "up")

    def remove(self):
        subprocess.run(["ip", "link", "del", self.ours], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


@pytest.fixture
def namespace():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("a network namespace needs root and the program ip")
    ns = Namespace()
    try:
        ns.make()
    except subprocess.CalledProcessError as e:
        ns.remove()
        pytest.skip(f"this machine lets us make no network namespace: {e.stderr.strip()}")
    yield ns
    ns.remove()


def test_one_is_cut_off(namespace, service, ports, tmp_path, monkeypatch):
    """It scrapes on what it reaches (nothing), and keeps what it has; the others take its targets. Back again, it brings nothing twice."""
    fleet = Fleet(service, ports, tmp_path, host=namespace.host)
    exporter = Exporter()
    exporter.server_close()
    harness.http_server.ThreadingHTTPServer.__init__(exporter, ("0.0.0.0", 0), harness._TargetHandler)
    threading.Thread(target=exporter.serve_forever, args=(0.05,), daemon=True).start()
    groups = exporter.groups(NTARGETS)
    port = exporter.server_address[1]
    for g in groups:
        g["targets"] = [f"{namespace.host}:{port}"]
    fleet.write([{"job_name": "many", "static_configs": groups, "scrape_timeout": "500ms"}])
    try:
        two = [fleet.collector(f"c{i}") for i in range(2)]
        replay = ports()
        cut = fleet.service("ops-collector", {
            "scrape_config_file": str(fleet.file), "instance": "cut", "heartbeat_interval": HEARTBEAT,
            "listen": f"0.0.0.0:{free_port()}", "advertise_url": f"http://{namespace.guest}:1",
            "samples_url": f"tcp://{namespace.host}:{fleet.samples}", "members_url": f"tcp://{namespace.host}:{fleet.alerts}",
            "replay_listen": f"tcp://0.0.0.0:{replay}", "replay_advertise": f"tcp://{namespace.guest}:{replay}"}, start=False)
        program = cut.folder / "ops-collector"
        program.write_text(f"#!/bin/sh\nexec ip netns exec {namespace.name} {harness.binary('ops-collector')} \"$@\"\n")
        program.chmod(0o755)
        real = harness.binary
        monkeypatch.setattr(harness, "binary", lambda name: program if name == "ops-collector" else real(name))
        cut.start(ready=False)
        monkeypatch.setattr(harness, "binary", real)
        wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 3, 60)
        wait_until(lambda: 0 < sum(map(len, fleet.shares(*two))) < NTARGETS, 60)
        wait_until(lambda: fresh(fleet), 60)
        fleet.settled()
        namespace.cut(True)
        wait_until(lambda: fleet.each_has_one(*two), 90)
        wait_until(lambda: fresh(fleet), 60)
        n = exporter.count
        wait_until(lambda: exporter.count > n + 5 * NTARGETS, 60)
        namespace.cut(False)
        wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 3, 90)
        wait_until(lambda: 0 < sum(map(len, fleet.shares(*two))) < NTARGETS, 90)
        wait_until(lambda: fresh(fleet), 60)
        series = fleet.samples_of("hits")
        assert len(series) == NTARGETS
        for name, samples in series.items():
            times, values = zip(*[x for x in samples if x[0] > fleet.since])
            assert max(b - a for a, b in zip(times, times[1:])) < LONGEST_GAP_S, name
            assert min(b - a for a, b in zip(times, times[1:])) > 0.1, f"{name}: doubled"
        assert fleet.detector.metric("ops_detector_replica_samples_dropped_total") > 0
    finally:
        exporter.shutdown()
        exporter.server_close()


# ---- pushed groups ----

def push(collector, path, body="", method="PUT"):
    return http(method, f"{collector.url}/metrics/{path}", body=body.encode())


def groups_of(collector):
    return {g["labels"]["job"]: g for g in collector.get("/api/v1/push/groups").json["data"]}


def test_a_push_goes_to_any_collector(fleet):
    fleet.write([])
    three = [fleet.collector(f"c{i}", receive={"push": {"interval": "1s"}}) for i in range(3)]
    wait_until(lambda: fleet.detector.metric("ops_detector_collectors") == 3)
    jobs = [f"j{i}" for i in range(9)]
    for i, job in enumerate(jobs):
        assert push(three[i % 3], f"job/{job}", f"rows {i}\nold 1\n").code == 200

    def all_know(*collectors):
        found = [groups_of(c) for c in collectors]
        return all(set(g) == set(jobs) for g in found) and all(sum(g[j]["local"] for g in found) == 1 for j in jobs)
    wait_until(lambda: all_know(*three), 60)
    wait_until(lambda: fleet.value("count(rows)") == 9 and fleet.value("sum(rows)") == 36)
    # replaced by way of another collector, and merged by a third
    assert push(three[1], "job/j0", "rows 100\n").code == 200
    wait_until(lambda: fleet.value('rows{job="j0"}') == 100 and fleet.query('old{job="j0"}') == {}, 60)
    wait_until(lambda: all(groups_of(c)["j0"]["samples"] == 1 for c in three))
    assert push(three[2], "job/j0", "more 5\n", "POST").code == 200
    wait_until(lambda: fleet.value('more{job="j0"}') == 5 and fleet.value('rows{job="j0"}') == 100)
    # at two collectors at once: neither is lost
    for i in range(10):
        with concurrent.futures.ThreadPoolExecutor(2) as both:
            sent = [both.submit(push, c, "job/j5", f"{name}{i} {i}\n", "POST") for c, name in ((three[0], "left"), (three[1], "right"))]
            assert [x.result().code for x in sent] == [200, 200]
    wait_until(lambda: all(groups_of(c)["j5"]["samples"] == 2 + 2 * 10 for c in three), 60)
    wait_until(lambda: fleet.value('count({__name__=~"(left|right).",job="j5"})') == 20, 60)
    # deleted everywhere
    assert push(three[0], "job/j1", method="DELETE").code == 202
    jobs.remove("j1")
    wait_until(lambda: all_know(*three) and fleet.query('rows{job="j1"}') == {}, 60)
    # whoever exposes a group is killed; the others have it all, and it does not come back what was deleted meanwhile
    owner = next(i for i, c in enumerate(three) if groups_of(c)["j2"]["local"])
    three[owner].sigkill()
    rest = [c for i, c in enumerate(three) if i != owner]
    wait_until(lambda: all_know(*rest), 90)
    wait_until(lambda: fleet.query('timestamp(rows{job="j2"}) > time() - 4'), 60)
    assert push(rest[0], "job/j3", method="DELETE").code == 202
    assert push(rest[1], "job/j4", "rows 400\n").code == 200
    jobs.remove("j3")
    three[owner].start()
    wait_until(lambda: all_know(*three), 90)
    wait_until(lambda: fleet.value('rows{job="j4"}') == 400 and fleet.query('rows{job="j3"}') == {}, 60)
    wait_until(lambda: three[owner].metric("ops_push_peers_behind") == 0)
    # the whole fleet starts again
    for c in three:
        c.sigterm()
    for c in three:
        c.start()
    wait_until(lambda: all_know(*three), 90)
    wait_until(lambda: fleet.value("count(timestamp(rows) > time() - 4)") == len(jobs), 60)
    # a stranger has no say
    assert http("POST", f"{three[0].url}/api/v1/push/peer", body=b"push/state\n# {}\n").code == 403
    assert three[0].metric("ops_push_peer_requests_total", outcome="refused") == 1


# ---- strangers on the bus ports ----

STRANGER = r"""
import os, socket, struct, sys, time
ports = dict(x.split("=") for x in sys.argv[1:])
def dial(name, proto=None):
    s = socket.create_connection(("127.0.0.1", int(ports[name])), 10)
    s.settimeout(0.2)
    if proto is not None:
        s.sendall(b"\0SP\0" + struct.pack(">HH", proto, 0))
    return s
def frame(data):
    return struct.pack(">Q", len(data)) + data
silent = [dial(name, 0x21 if name == "alerts" else 0x30) for name in ("alerts", "replay") for _ in range(20)]
half = [dial(name) for name in ports for _ in range(10)]
for s in half:
    s.sendall(b"\0S")
print("ready", flush=True)
n = 0
request = struct.pack(">I", 0x80000001) + b'{"consumer":"stranger","from":1,"max_records":100000,"max_bytes":16777216}'
flood = []
while True:
    n += 1
    for name in ports:
        for data in (os.urandom(300), b"GET / HTTP/1.1\r\n\r\n", b"\0SP\0" + b"\0\x20\0\0" + frame(os.urandom(200)),
                     b"\0SP\0" + b"\0\x30\0\0" + frame(request), b"\0SP\0" + b"\0\x30\0\0" + struct.pack(">Q", 1 << 60)):
            try:
                with dial(name) as s:
                    s.sendall(data)
            except OSError:
                pass
    try:
        if len(flood) < 8:
            flood.append(dial("replay", 0x30))
        for s in flood:
            s.sendall(frame(request) * 200)
    except OSError:
        pass
    time.sleep(0.05)
"""


def rss_mb(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def test_strangers_on_the_bus(fleet, exporter, monkeypatch):
    """Some read nothing, some send garbage, some ask and ask: samples come all the same, and what is kept for them is bounded."""
    exporter.more = "".join(f'more{{i="{i}"}} {i}\n' for i in range(500))
    fleet.write([many(exporter)])
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99:quarantine_size_mb=8")
    c = fleet.collector("c0", ring_size="4MiB", ring_disk_size="8MiB")
    wait_until(lambda: fresh(fleet), 60)
    config = c.config_file.read_text()
    ports = [f"samples={fleet.samples}", f"alerts={fleet.alerts}", "replay=" + re.search(r"replay_listen: \S+:(\d+)", config)[1]]
    fleet.settled()
    before = rss_mb(c.process)
    stranger = subprocess.Popen([sys.executable, "-c", STRANGER, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert stranger.stdout.readline().strip() == "ready"
        n = exporter.count
        wait_until(lambda: exporter.count > n + 8 * NTARGETS, 120)
        assert stranger.poll() is None
        wait_until(lambda: fresh(fleet), 60)
        assert c.metric("ops_bus_held_bytes") <= 4 << 20
        assert (c.metric("ops_bus_overflow_bytes") or 0) <= 8 << 20
        assert rss_mb(c.process) < before + 200
        assert c.metric("ops_bus_refused_total") > 0
        assert fleet.detector.metric("ops_bus_refused_total") > 0
    finally:
        stranger.kill()
        stranger.wait(10)
    wait_until(lambda: fresh(fleet), 60)
    fleet.assert_whole()
    assert not fleet.detector.metric("ops_detector_sample_records_lost_total")


def test_a_detector_that_does_not_read(fleet, exporter):
    """Stopped, not gone: the connection stays. What waits for it is bounded, and what fell out of the queue is asked for."""
    exporter.more = "".join(f'more{{i="{i}"}} {i}\n' for i in range(500))
    fleet.write([many(exporter)])
    c = fleet.collector("c0", ring_size="64MiB")
    wait_until(lambda: fresh(fleet), 60)
    fleet.settled()
    fleet.detector.sigstop()
    n = exporter.count
    wait_until(lambda: exporter.count > n + 8 * NTARGETS, 120)
    held = c.metric("ops_bus_held_bytes")
    assert 0 < held <= 64 << 20
    fleet.detector.sigcont()
    wait_until(lambda: fresh(fleet), 60)
    fleet.assert_whole()
    assert not fleet.detector.metric("ops_detector_sample_records_lost_total")
