# SPDX-License-Identifier: Apache-2.0
"""The same story in containers: deploy/compose.yaml as it is, five collectors, images that tests/compose/engine.sh makes."""
import json
import os
import shutil
import subprocess
import uuid

import pytest

import harness
import story
from harness import REPO, wait_until

ENGINE = REPO / "tests/compose/engine.sh"
PORTS = {"detector": "OPS_DETECTOR_PORT", "alertmanager": "OPS_ALERTMANAGER_PORT", "auditlog": "OPS_AUDITLOG_PORT",
         "freeze": "OPS_FREEZE_PORT", "portal": "OPS_PORTAL_PORT", "sink": "OPS_SINK_PORT"}
DEPLOY = "/usr/share/hms-ops/examples/ocm/deploy.sh"


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=kw.pop("timeout", 120), **kw)


class Compose:
    """See story.py for what a stack is."""

    collectors = 5

    def __init__(self, folder):
        self.folder = folder
        self.secrets = folder / "secrets"
        self.project = "opstest" + uuid.uuid4().hex[:8]
        subprocess.run([REPO / "deploy/make-secrets.sh", self.secrets], check=True, stdout=subprocess.DEVNULL)
        self.headers = {"Authorization": "Bearer " + (self.secrets / "operator.token").read_text()}
        ports = {name: harness.free_port() for name in (*PORTS, "alerts")}
        self.url = {name: f"http://127.0.0.1:{ports[name]}" for name in PORTS}
        self.alerts = f"tcp://127.0.0.1:{ports['alerts']}"
        self.env = {
            **os.environ, "OPS_IMAGE": "hms-ops:test", "POSTGRES_IMAGE": "hms-ops-postgres:test", "OPS_SECRETS": str(self.secrets),
            "OPS_SCRAPE_INTERVAL": "1s", "OPS_RULE_WINDOW": "10s", "OPS_RULE_FOR": "2s", "OPS_ALERTS_PORT": str(ports["alerts"]),
            "COMPOSE_HTTP_TIMEOUT": "180", "DOCKER_BUILDKIT": "0",
        }
        for name, variable in PORTS.items():
            self.env[variable] = str(ports[name])
        self.watcher = None

    def compose(self, *args, check=True, timeout=300):
        done = run("docker-compose", "-p", self.project, "-f", REPO / "deploy/compose.yaml", *args, env=self.env, timeout=timeout)
        assert not check or done.returncode == 0, f"docker-compose {args}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done

    def up(self):
        self.compose("up", "-d", "--no-build", "--scale", f"collector={self.collectors}", timeout=600)
        wait_until(lambda: all(s in ("healthy", "-") for s in self.health().values()), 120, "every container is healthy", 0.5)
        if shutil.which("nngcat"):
            self.out = self.folder / "nngcat"
            with open(self.out, "wb") as file:
                self.watcher = subprocess.Popen(
                    ["stdbuf", "-o0", "nngcat", "--sub", "--dial", self.alerts, "--subscribe", "alerts/", "--raw"],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL)
        return self

    def down(self):
        if self.watcher:
            self.watcher.kill()
            self.watcher.wait(10)
        self.compose("down", "-v", "--remove-orphans", "-t", "20", check=False)

    def containers(self, service=None):
        return self.compose("ps", "-q", *([service] if service else [])).stdout.split()

    def inspect(self, *names):
        return json.loads(run("docker", "inspect", *names).stdout)

    def health(self):
        """Container -> health; "-" where it has none to tell (the toolbox, the finished migration)."""
        return {c["Name"]: c["State"].get("Health", {"Status": "-"})["Status"] for c in self.inspect(*self.containers())}

    def logs(self):
        return self.compose("logs", "--no-color", "--tail", "25", check=False).stdout

    # ---- what the story needs ----

    def inside(self, service, *argv, check=False):
        return self.compose("exec", "-T", service, *argv, check=check)

    def opsctl(self, *args):
        return self.inside("toolbox", "opsctl", *args)

    def deploy(self, version):
        return self.inside("toolbox", DEPLOY, version)

    def sql(self, user, sql):
        return self.inside("postgres", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", "ops", "-c", sql, check=True).stdout

    def reader(self, sql):
        return json.loads(self.sql("ops_reader", f"SELECT coalesce(json_agg(rows), '[]') FROM ({sql}) rows"))

    def superuser(self, sql):
        self.sql("ops_admin", sql)

    def flag_path(self, scope):
        return f"/var/lib/hms-ops/freeze/flags/{scope}.flag"

    def flag(self, scope):
        done = self.inside("freeze", "cat", self.flag_path(scope))
        return done.stdout if done.returncode == 0 else None

    def remove_flag(self, scope):
        self.inside("freeze", "rm", self.flag_path(scope), check=True)

    def bus(self, stream, topic):
        if stream != "alerts" or self.watcher is None:
            return None
        text = self.out.read_text("utf-8", "replace")
        at = text.find(topic)
        return text[at:] if at >= 0 else ""


@pytest.fixture(scope="session")
def images():
    done = run(ENGINE, "images", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    yield
    run(ENGINE, "stop")


@pytest.fixture
def stack(images, tmp_path):
    compose = Compose(tmp_path)
    try:
        compose.up()
        yield compose
    except BaseException:
        print(compose.logs())
        raise
    finally:
        compose.down()


def test_story(stack):
    """The story, and around it what containers promise: no root, no writable root file system, five collectors that share."""
    for container in stack.inspect(*stack.containers()):
        name, host = container["Name"], container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], name
        assert container["Config"]["User"] in ("10001:10001", "postgres"), name
        assert any(o.startswith("no-new-privileges") for o in host["SecurityOpt"]), name
        for bindings in (host["PortBindings"] or {}).values():
            assert all(b["HostIp"] == "127.0.0.1" for b in bindings), name

    s = story.Story(stack)
    with story.Citizens(stack.url["portal"]):
        try:
            s.play(lambda chapter: shared_targets(s) if chapter == "quiet_morning" else None)
        except BaseException:
            print(stack.logs())
            raise
    anonymous = harness.http("POST", stack.url["freeze"] + "/v1/freezes", {"scope": "claims", "reason": "who am I"})
    assert anonymous.code in (401, 403), "who brings no token may only read"
    s.tampered()


def shared_targets(s):
    """Every target belongs to one of the collectors, also when one of them is killed, and when it is back."""
    stack = s.stack
    names = stack.containers("collector")
    assert len(names) == stack.collectors

    def shares(among):
        found = {}
        for name in among:
            reply = run("docker", "exec", name, "curl", "-fsS", "http://127.0.0.1:9091/api/v1/targets")
            found[name] = {t["scrapeUrl"] for t in json.loads(reply.stdout)["data"]["activeTargets"] if t["local"]}
        union = set().union(*found.values())
        return len(union) >= 7 and sum(map(len, found.values())) == len(union) and found
    before = wait_until(lambda: shares(names), 60, "each target has one collector", 0.5)
    listed = json.loads(stack.opsctl("targets", "--json").stdout)["data"]["activeTargets"]
    assert {t["scrapeUrl"] for t in listed} == set().union(*before.values())
    victim = max(before, key=lambda name: len(before[name]))
    assert run("docker", "kill", victim).returncode == 0
    rest = [name for name in names if name != victim]
    after = wait_until(lambda: shares(rest), 60, "the others have its targets", 0.5)
    assert set().union(*after.values()) == set().union(*before.values())
    assert all(before[name] <= after[name] for name in rest), "nothing else moved"
    assert run("docker", "start", victim).returncode == 0
    wait_until(lambda: shares(names) == before, 60, "it has its targets again", 0.5)
