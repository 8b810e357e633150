# SPDX-License-Identifier: Apache-2.0
"""The story on processes: the configuration of deploy/etc as it is, a private PostgreSQL, the demo portal.

Each stack has a loopback address of its own (127.x.y.z), so the ports are the real ones and stacks do not meet.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess

import pytest

import harness
import story
from harness import REPO, wait_until

ETC = REPO / "deploy/etc"
LAB = REPO / "examples/ocm"
NODE_EXPORTER = pathlib.Path("/usr/bin/prometheus-node-exporter")
PORTS = {"detector": 9090, "collector": 9091, "alertmanager": 9093, "auditlog": 9095, "freeze": 9096, "portal": 8001, "sink": 5001}
SERVICES = ("auditlog", "freeze", "alertmanager", "detector", "collector")
STREAMS = {"alerts": 7402, "events": 7403, "freeze": 7404}


class Program(harness.Service):
    """A service with its file of deploy/etc, at the stack's own address; or a program of the lab with flags alone."""

    def __init__(self, name, folder, url, env, args=None):
        super().__init__(name, folder, config="", port=1, env=env)
        self.url = url
        self.config_file = ETC / f"{name}.yml"
        self.flags = args

    def start(self, ready=True, timeout=60):
        if self.flags is None:
            return super().start(ready, timeout)
        assert not self.running()
        program = NODE_EXPORTER if self.name == "node-exporter" else harness.binary(self.name)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [str(program), *self.flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                cwd=self.folder, start_new_session=True, preexec_fn=harness.die_with_parent(signal.SIGKILL))
        wait_until(lambda: self.get("/metrics").code == 200, timeout, f"{self.name} answers")
        return self

    def close(self):
        if self.name != "node-exporter":
            super().close()
        elif self.running():
            self.process.kill()
            self.process.wait(10)


class Processes:
    """See story.py for what a stack is."""

    collectors = 1
    headers = {}

    def __init__(self, folder, cluster):
        self.folder, self.cluster = folder, cluster
        self.address = f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(2, 255)}"
        self.url = {name: f"http://{self.address}:{port}" for name, port in PORTS.items()}
        self.secrets, self.lab = folder / "secrets", folder / "portal"
        self.lab.mkdir()
        shutil.copy(LAB / "releases/2.4.0", self.lab / "release")
        subprocess.run([REPO / "deploy/make-secrets.sh", self.secrets], check=True, stdout=subprocess.DEVNULL)
        self.env = self._environment()
        self.programs, self.watchers = {}, {}
        self.pg = None

    def _environment(self):
        a = self.address
        env = {
            "OPS_HTTP_BIND": a, "OPS_BUS_BIND": a, "OPS_STATE_DIR": self.folder / "state", "OPS_SECRETS_DIR": self.secrets,
            "OPS_BUS_KEY_FILE": self.secrets / "bus.key", "OPS_ANONYMOUS_ROLE": "operator",
            "OPS_DB_HOST": "127.0.0.1", "OPS_DB_PORT": self.cluster.port, "OPS_DB_NAME": "ops",
            "OPS_WEBHOOK_URL": self.url["sink"] + "/hook", "OPS_PORTAL_DIR": self.lab, "OPS_ROLLBACK": LAB / "rollback.sh",
            "OPSCTL": harness.binary("opsctl"), "OPS_SCRAPE_INTERVAL": "1s", "OPS_RULE_WINDOW": "10s", "OPS_RULE_FOR": "2s",
            "OPS_DATABASE": f"host=127.0.0.1 port={self.cluster.port} dbname=ops user=ops_reader",
            "OPS_DATABASE_PASSWORD_FILE": self.secrets / "ops_reader.password", "OPS_NODE_TARGET": f"{a}:9100",
        }
        for name in ("detector", "collector", "alertmanager", "auditlog", "freeze"):
            env[f"OPS_{name.upper()}_HOST"] = a
        for name, url in self.url.items():
            env[f"OPS_{name.upper()}_URL"] = url
            env[f"OPS_{name.upper()}_TARGET"] = url.removeprefix("http://")
        return {k: str(v) for k, v in env.items()}

    # ---- life ----

    def up(self):
        self._database()
        flags = {
            "portal": ("ocm-portal", ["--listen", f"{self.address}:8001", "--release-file", self.lab / "release"]),
            "sink": ("ocm-sink", ["--listen", f"{self.address}:5001", "--file", self.folder / "pages.jsonl"]),
        }
        for name in SERVICES:
            self.programs[name] = Program(f"ops-{name}", self.folder / name, self.url[name], self.env)
        for name, (program, args) in flags.items():
            self.programs[name] = Program(program, self.folder / f"run-{name}", self.url[name], self.env, args)
        if NODE_EXPORTER.exists():
            self.programs["node"] = Program("node-exporter", self.folder / "node", f"http://{self.address}:9100", self.env,
                                            [f"--web.listen-address={self.address}:9100"])
        for program in self.programs.values():
            program.start(ready=False)
        for name in SERVICES:
            self.programs[name].wait_ready(60)
        self._watch("alerts", "alerts/")
        self._watch("freeze", "freeze/")
        return self

    def _database(self):
        self.superuser("CREATE DATABASE ops", "postgres")
        subprocess.run(
            [harness.binary("opsctl"), "db", "migrate", "--database", self.cluster.conninfo("ops"), "--dir", REPO / "deploy/sql",
             "--password-dir", self.secrets], check=True, stdout=subprocess.DEVNULL)
        self.pg = harness.PgDatabase(self.cluster, "ops")

    def _watch(self, stream, topic):
        """An outside subscriber without the key: nngcat of nng-utils."""
        if not shutil.which("nngcat"):
            return
        out = self.folder / f"nngcat-{stream}"
        with open(out, "wb") as file:
            process = subprocess.Popen(["stdbuf", "-o0", "nngcat", "--sub", "--dial", f"tcp://{self.address}:{STREAMS[stream]}",
                                        "--subscribe", topic, "--raw"], stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.DEVNULL, preexec_fn=harness.die_with_parent(signal.SIGKILL))
        self.watchers[stream] = (process, out)

    def down(self):
        for process, _ in self.watchers.values():
            process.kill()
            process.wait(10)
        errors = []
        for name in ("collector", "detector", "alertmanager", "freeze", "auditlog", "portal", "sink", "node"):
            program = self.programs.get(name)
            try:
                if program and program.process:
                    died = not program.running()
                    program.close()
                    assert not died, f"{name} had ended by itself with {program.process.returncode}:\n{program.log_text()[-2000:]}"
            except AssertionError as e:
                errors.append(str(e))
        assert not errors, "\n".join(errors)

    def kill(self, name):
        """SIGKILL at this moment, and a new start."""
        self.programs[name].sigkill()
        self.programs[name].start(ready=False)

    # ---- what the story needs ----

    def _run(self, *argv):
        return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, env={**os.environ, **self.env})

    def opsctl(self, *args):
        return harness.opsctl(*args, env=self.env)

    def deploy(self, version):
        return self._run(LAB / "deploy.sh", version)

    def reader(self, sql):
        return self.pg.value(f"SELECT coalesce(json_agg(rows), '[]') FROM ({sql}) rows", user="ops_reader")

    def superuser(self, sql, database="ops"):
        import psycopg2
        connection = psycopg2.connect(self.cluster.conninfo(database))
        connection.autocommit = True
        try:
            connection.cursor().execute(sql)
        finally:
            connection.close()

    def flag_file(self, scope):
        return self.folder / "state/freeze/flags" / f"{scope}.flag"

    def flag(self, scope):
        try:
            return self.flag_file(scope).read_text()
        except FileNotFoundError:
            return None

    def remove_flag(self, scope):
        self.flag_file(scope).unlink()

    def bus(self, stream, topic):
        if stream not in self.watchers:
            return None
        text = self.watchers[stream][1].read_text("utf-8", "replace")
        at = text.find(topic)
        return text[at:] if at >= 0 else ""


@pytest.fixture
def stack(tmp_path):
    try:
        cluster = harness.PgCluster()
    except FileNotFoundError as e:
        pytest.skip(str(e))
    processes = None
    try:
        cluster.start()
        processes = Processes(tmp_path, cluster)
        processes.up()
        yield processes
    finally:
        try:
            if processes:
                processes.down()
        finally:
            cluster.remove()


def test_story(stack):
    """As told; then a superuser changes a row, and the proof names it."""
    s = story.Story(stack)
    with story.Citizens(stack.url["portal"]):
        s.play()
    s.tampered()


def test_story_while_every_service_is_killed(stack):
    """SIGKILL of each service at some moment of the incident: nothing is lost and nothing is told twice."""
    s = story.Story(stack)
    moments = {
        "bad_release": ("auditlog", "collector"),
        "detected": ("detector", "collector"),
        "acted": ("alertmanager", "freeze"),
        "governed": ("freeze", "detector"),
        "deploy_refused": ("auditlog",),
        "flag_removed": ("alertmanager", "freeze"),
        "recovered": ("detector", "freeze"),
    }

    def strike(chapter):
        for name in moments.get(chapter, ()):
            stack.kill(name)
        for name in moments.get(chapter, ()):
            stack.programs[name].wait_ready(60)
        if chapter in ("acted", "governed", "deploy_refused", "flag_removed"):
            s.assert_frozen()

    with story.Citizens(stack.url["portal"]):
        s.play(strike)
    assert s.transitions() == ["pending", "firing", "resolved"]
    assert len(s.runs()) == 1, "the playbook ran once"
    cleared = stack.reader('SELECT * FROM "freeze".freezes')
    assert len(cleared) == 1 and cleared[0]["cleared_at"], cleared
    s.verified()


def test_story_while_postgresql_is_away(stack):
    """The database goes with the breach and comes back after the thaw: the loop runs, and then all of it is in SQL, once."""
    s = story.Story(stack)
    with story.Citizens(stack.url["portal"]):
        s.quiet_morning()
        stack.cluster.stop(signal.SIGQUIT)  # as a crash
        s.bad_release()
        alert = wait_until(s.active_alert, 90, "alerting goes on")
        s.fingerprint, s.starts_at = alert["fingerprint"], alert["startsAt"]
        wait_until(lambda: s.pages("firing"), what="paging goes on")
        wait_until(lambda: s.release() == "2.4.0", 60, "the playbook runs")
        s.assert_frozen()
        assert stack.deploy("2.5.1").returncode == 10
        change = s.post("auditlog", "/ops/change", {"action": "note", "object": "lab"}, **{"X-User": "alice"})
        assert change.code == 200 and change.json["durable"] == "spool", change
        wait_until(lambda: s.active_alert() is None, 120, "the alert resolves")
        wait_until(lambda: s.pages("resolved"), what="the pager was told")
        assert stack.opsctl("freeze", "clear", "--scope", story.SCOPE, "--reason", "without the database").returncode == 0
        assert stack.deploy("2.5.1").returncode == 0
        health = wait_until(lambda: s.stack.opsctl("top", "--json").stdout, what="opsctl top answers")
        assert "unreachable" not in health, health
        stack.cluster.start()
        wait_until(lambda: s.transitions() == ["pending", "firing", "resolved"], 90, "every transition is in SQL, once")
        wait_until(lambda: [r["exit_code"] for r in s.runs()] == [0], what="the run is in SQL, once")
        wait_until(lambda: len(s.lines(s.runs()[0])) >= 4, what="its lines too")
        refused = int(stack.programs["freeze"].metric("ops_freeze_gate_requests_total", decision="frozen"))
        for what, sql, n in (
                ("freezes", 'SELECT id FROM "freeze".freezes WHERE cleared_at IS NOT NULL', 1),
                ("refusals", "SELECT id FROM \"freeze\".decisions WHERE decision = 'frozen'", refused),
                ("audited refusals", "SELECT id FROM audit.entries WHERE outcome = 'refused'", refused),
                ("the change", f"SELECT id FROM audit.records WHERE id = {story.quoted(change.json['id'])}", 1),
                ("deploys", "SELECT seq FROM audit.entries WHERE action = 'deploy'", 2),
                ("pages", f"SELECT id FROM alerts.notifications WHERE {story.quoted(s.fingerprint)} = ANY (fingerprints) AND outcome = 'sent'", 2)):
            wait_until(lambda: len(stack.reader(sql)) >= n, 60, f"{what} in SQL")
            rows = stack.reader(sql)
            assert len(rows) == n, (what, rows)
        s.verified()
    assert json.loads(stack.opsctl("audit", "verify", "--json").stdout)["bad_seq"] == 0
