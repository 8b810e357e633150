# SPDX-License-Identifier: Apache-2.0
"""ops-freeze: every form of the answer agrees, through restarts, hands on the files and a database that goes away."""
import datetime
import http.server
import json
import re
import subprocess
import threading
import time
import uuid

import pytest

import harness
from harness import opsctl, wait_until

FROZEN, UNKNOWN, USAGE, DENIED = 10, 20, 64, 77


@pytest.fixture
def freeze(service, ports):
    """freeze(**config) -> a started service; .bus is where it publishes."""
    def make(folder=None, **config):
        bus = f"tcp://127.0.0.1:{ports()}"
        whole = {"freeze_listen": bus, "freeze_replay_listen": f"tcp://127.0.0.1:{ports()}", "alerts_url": "", **config}
        s = service("ops-freeze", whole, folder=folder)
        s.bus = bus
        return s
    return make


@pytest.fixture
def listen(tmp_path):
    """listen(url, topic) -> a list that fills with the JSON of what nngcat prints; ready when it returns."""
    started = []

    def make(url, topic="freeze/"):
        seen, beats = [], []
        process = subprocess.Popen(["stdbuf", "-o0", "nngcat", "--sub", "--dial", url, "--subscribe", topic, "--subscribe",
                                    "ops/heartbeat", "--raw"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)

        def read():
            for line in process.stdout:
                if line.startswith(b"{") and line.rstrip().endswith(b"}"):
                    (seen if b'"specversion"' in line else beats).append(json.loads(line))
        threading.Thread(target=read, daemon=True).start()
        wait_until(lambda: beats, what="a heartbeat")
        return seen
    yield make
    for process in started:
        process.terminate()
        process.wait(10)


def ask(s, scope="claims", **params):
    query = "&".join(f"{k}={v}" for k, v in {"scope": scope, **params}.items())
    return s.get(f"/v1/gate?{query}")


def put(s, scope="claims", reason="because", code=201, **more):
    reply = s.post("/v1/freezes", {"scope": scope, "reason": reason, **more})
    assert reply.code == code, reply
    return reply.json


def clear(s, scope="claims", reason="done"):
    reply = s.post("/v1/freezes/clear", {"scope": scope, "reason": reason})
    assert reply.code == 200, reply
    return reply.json["cleared"]


def flag(s, name="claims"):
    return s.state_dir / "flags" / f"{name}.flag"


def says_freeze(path):
    return path.exists() and path.read_text().split("\n")[0] == "FREEZE"


def exit_code(s, scope="claims", *more):
    return opsctl("freeze", "check", "--scope", scope, *more, env={"OPS_FREEZE_URL": s.url}).returncode


def in_seconds(n):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=n)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def audit_actions(s):
    """What waits in the audit spool of a service without an audit log."""
    text = b"".join(p.read_bytes() for p in s.state_dir.rglob("*") if "audit" in str(p) and p.is_file())
    return re.findall(rb'"action":"([a-z._]+)"', text)


# ---- set, ask, clear ----

def test_all_forms_of_the_answer_agree(freeze, listen):
    s = freeze()
    seen = listen(s.bus)
    assert ask(s).code == 200 and ask(s).json["decision"] == "open" and exit_code(s) == 0 and not flag(s).exists()
    record = put(s, reason="audit week", alert="00000000000000aa")
    reply = ask(s)
    assert reply.code == 423 and reply.json["decision"] == "frozen" and reply.headers["Cache-Control"] == "no-store"
    assert [(f["id"], f["reason"], f["alert"]) for f in reply.json["freezes"]] == [(record["id"], "audit week", "00000000000000aa")]
    assert exit_code(s) == FROZEN
    assert says_freeze(flag(s)) and "reason: audit week" in flag(s).read_text() and record["id"] in flag(s).read_text()
    wait_until(lambda: seen and seen[-1]["data"]["frozen"] is True, what="the freeze is on the bus")
    assert seen[-1]["type"] == "ops.freeze" and seen[-1]["data"]["reason"] == "audit week"
    assert s.get("/v1/scopes").json["scopes"] == {"claims": "frozen"}
    assert s.metric("ops_freeze_active", source="manual") == 1
    assert ask(s, "refund").code == 200 and ask(s, "claims/api").code == 423 and ask(s, "claimsx").code == 200
    assert clear(s) == 1
    assert ask(s).code == 200 and exit_code(s) == 0 and not flag(s).exists()
    wait_until(lambda: seen[-1]["data"]["frozen"] is False, what="the thaw is on the bus")
    assert s.get("/v1/freezes").json["freezes"] == []


def test_a_wide_freeze_decides_for_narrow_scopes_in_every_form(freeze, listen):
    s = freeze()
    seen = listen(s.bus)
    put(s, "claims")
    put(s, "*", "election day")
    assert ask(s, "anything").code == 423 and says_freeze(flag(s, "ALL"))
    assert clear(s, "claims") == 1
    # claims is still frozen, by the freeze of everything, and so says its file.
    assert ask(s, "claims").code == 423 and "election day" in flag(s).read_text()
    assert clear(s, "*") == 1
    assert ask(s, "claims").code == 200 and not flag(s).exists() and not flag(s, "ALL").exists()
    wait_until(lambda: {e["subject"]: e["data"]["frozen"] for e in list(seen)} == {"claims": False, "*": False}, what="open on the bus")


def test_a_rollback_passes_an_automatic_freeze_only(freeze):
    s = freeze()
    put(s, source="alert", alert="00000000000000aa")
    assert ask(s).code == 423 and ask(s, action="rollback").code == 200
    assert exit_code(s) == FROZEN and exit_code(s, "claims", "--action", "rollback") == 0
    put(s, reason="by hand")
    assert ask(s, action="rollback").code == 423


def test_an_automatic_freeze_ends_and_comes_once(freeze):
    s = freeze(automatic_ttl="1h")
    first = put(s, source="alert", alert="00000000000000aa")
    until = datetime.datetime.fromisoformat(first["until"].replace("Z", "+00:00"))
    since = datetime.datetime.fromisoformat(first["since"].replace("Z", "+00:00"))
    assert until - since == datetime.timedelta(hours=1)
    assert put(s, source="alert", alert="00000000000000aa", code=200)["id"] == first["id"]
    assert len(s.get("/v1/freezes").json["freezes"]) == 1


def test_a_freeze_ends_when_its_time_is_over(freeze, listen):
    s = freeze()
    seen = listen(s.bus)
    put(s, ttl="5s")
    assert ask(s).code == 423 and ask(s, at=in_seconds(60)).code == 200
    wait_until(lambda: ask(s).code == 200, what="the gate opens")
    wait_until(lambda: not flag(s).exists() and not seen[-1]["data"]["frozen"], what="the forms follow")
    wait_until(lambda: s.metric("ops_freeze_changes_total", kind="expire") == 1, what="it is counted")


def test_a_freeze_that_begins_later_is_told_when_it_begins(freeze, listen):
    s = freeze()
    seen = listen(s.bus)
    put(s, since=in_seconds(5), until=in_seconds(300))
    assert ask(s).code == 200 and not flag(s).exists()
    assert ask(s, at=in_seconds(60)).code == 423, "what if, in a minute?"
    wait_until(lambda: ask(s).code == 423, what="it begins")
    wait_until(lambda: says_freeze(flag(s)) and seen[-1]["data"]["frozen"], what="the forms follow")


def test_one_freeze_can_be_cleared_by_id(freeze):
    s = freeze()
    one, two = put(s, reason="one"), put(s, reason="two")
    assert harness.http("DELETE", f"{s.url}/v1/freezes/{one['id']}").code == 400
    assert harness.http("DELETE", f"{s.url}/v1/freezes/{one['id']}?reason=done").code == 200
    assert [f["id"] for f in ask(s).json["freezes"]] == [two["id"]] and "two" in flag(s).read_text()
    assert harness.http("DELETE", f"{s.url}/v1/freezes/{one['id']}?reason=done").code == 404
    opsctl("freeze", "clear", "--id", two["id"], "--reason", "done", env={"OPS_FREEZE_URL": s.url}, check=0)
    assert ask(s).code == 200


# ---- bad input ----

@pytest.mark.parametrize("body,where,what", [
    ('{"scope": "claims",\n "reason": }', (2, 12), "JSON"),
    ("", None, "JSON"),
    ('{"scope": "claims", "scope": "b", "reason": "x"}', None, "duplicate"),
    ('["claims"]', None, "object"),
    ('{"scope": "claims"}', None, "reason"),
    ('{"scope": "../etc", "reason": "x"}', None, "scope"),
    ('{"scope": "claims", "reason": "x", "ttl": "soon"}', None, "ttl"),
    ('{"scope": "claims", "reason": "x", "unti": "2026-11-20T00:00:00Z"}', None, "unti"),
    ('{"scope": "claims", "reason": "x", "source": "nobody"}', None, "source"),
    ('{"scope": "claims", "reason": 7}', None, "reason"),
    ('{"id": "' + "z" * 36 + '", "scope": "claims", "reason": "x"}', None, "UUID"),
    ('{"scope": "claims", "reason": "' + "x" * 5000 + '"}', None, "longer"),
])
def test_what_is_no_freeze_is_refused_with_its_place(freeze, body, where, what):
    s = freeze()
    reply = s.post("/v1/freezes", body)
    assert reply.code == 400 and what in reply.json["error"], reply
    if where:
        assert (reply.json["line"], reply.json["column"]) == where and reply.json["hint"], reply
    assert s.get("/v1/freezes").json["freezes"] == [] and ask(s).code == 200
    for bad in ("", "?scope=..", "?scope=claims&action=destroy", "?scope=claims&at=tomorrow"):
        assert s.get("/v1/gate" + bad).code == 400


def test_lines_in_a_reason_stay_in_their_line(freeze):
    s = freeze()
    put(s, reason="one\nalert: ffffffffffffffff")
    assert [x for x in flag(s).read_text().split("\n") if x.startswith("alert:")] == []


def test_a_viewer_may_ask_and_not_set(freeze, tmp_path):
    (tmp_path / "viewer.token").write_text("v" * 32)
    (tmp_path / "operator.token").write_text("o" * 32)
    for name in ("viewer", "operator"):
        (tmp_path / f"{name}.token").chmod(0o600)
    (tmp_path / "web.yml").write_text("bearer_tokens:\n"
                                      "  - {name: dashboard, role: viewer, token_file: viewer.token}\n"
                                      "  - {name: ci, role: operator, token_file: operator.token}\n")
    s = freeze(web_config_file=str(tmp_path / "web.yml"))
    env = {"OPS_FREEZE_URL": s.url}
    viewer, operator = (["--token-file", tmp_path / f"{n}.token"] for n in ("viewer", "operator"))
    setting = ["freeze", "set", "--scope", "claims", "--reason", "x"]
    assert opsctl(*setting, env=env, check=DENIED).stdout == ""
    done = opsctl(*setting, *viewer, env=env, check=DENIED)
    assert "403" in done.stderr
    opsctl("freeze", "check", "--scope", "claims", *viewer, env=env, check=0)
    opsctl("freeze", "check", "--scope", "claims", env=env, check=DENIED)
    opsctl(*setting, *operator, env=env, check=0)
    frozen = json.loads(opsctl("freeze", "check", "--scope", "claims", "--json", *viewer, env=env, check=FROZEN).stdout)
    assert frozen["freezes"][0]["actor"] == "ci", "the authenticated name wins over what the caller claims"
    opsctl("freeze", "clear", "--scope", "claims", "--reason", "x", *viewer, env=env, check=DENIED)


# ---- hands on the files ----

def test_a_removed_flag_comes_back_and_is_on_record(freeze):
    s = freeze(out_of_band="restore")
    record = put(s)
    flag(s).unlink()
    wait_until(lambda: says_freeze(flag(s)), what="the flag is back")
    flag(s).write_text("")
    wait_until(lambda: says_freeze(flag(s)), what="an emptied flag is back")
    assert ask(s).json["freezes"][0]["id"] == record["id"]
    wait_until(lambda: s.metric("ops_freeze_changes_total", kind="restore") == 2, what="both are counted")
    assert audit_actions(s).count(b"freeze.out_of_band") == 2


def test_a_removed_flag_thaws_where_policy_says_so(freeze, listen):
    s = freeze(out_of_band="thaw")
    seen = listen(s.bus)
    put(s)
    flag(s).unlink()
    wait_until(lambda: ask(s).code == 200, what="the gate opens")
    wait_until(lambda: seen and not seen[-1]["data"]["frozen"], what="the thaw is on the bus")
    assert not flag(s).exists() and b"freeze.out_of_band" in audit_actions(s)


def test_a_forged_flag_is_a_freeze(freeze):
    s = freeze()
    flag(s, "refund").write_text("OPEN\n")
    flag(s, "claims").write_text("FREEZE\n")
    flag(s, "%").write_text("FREEZE\n")  # names no scope
    wait_until(lambda: ask(s).code == 423, what="the gate closes")
    assert ask(s).json["freezes"][0]["source"] == "out-of-band" and ask(s, "refund").code == 200
    assert clear(s) == 1 and not flag(s).exists()
    assert ask(s).code == 200


def test_the_file_of_the_first_lab(freeze, tmp_path):
    legacy = tmp_path / "change_freeze.flag"
    s = freeze(legacy_flag_file=str(legacy), out_of_band="thaw")
    put(s)
    assert says_freeze(legacy)
    legacy.unlink()
    wait_until(lambda: ask(s).code == 200, what="rm of the old file thaws, where policy says so")


# ---- bad days ----

def test_a_killed_service_never_answers_open(freeze):
    s = freeze()
    put(s, reason="before")
    answers, stop = set(), threading.Event()

    def poll():
        while not stop.is_set():
            try:
                answers.add(ask(s).code)
            except OSError:
                time.sleep(0.005)
    poller = threading.Thread(target=poll)
    poller.start()
    for _ in range(3):
        s.sigkill()
        s.start()
        assert says_freeze(flag(s)) and len(ask(s).json["freezes"]) == 1
    stop.set()
    poller.join()
    assert answers == {423}
    s.sigkill()
    assert exit_code(s) == UNKNOWN and exit_code(s, "claims", "--fail-open") == 0
    s.start()
    assert clear(s) == 1
    s.sigkill()
    flag(s).write_text("FREEZE\nid: of a freeze that was cleared a moment before the crash\n")
    s.start()
    assert ask(s).code == 200 and not flag(s).exists(), "the journal knows that it was cleared"


def test_the_database_goes_and_comes_and_has_every_row_once(freeze, pg):
    s = freeze(database=pg.conninfo("ops_freeze"))
    one = put(s, reason="one")
    wait_until(lambda: pg.value('SELECT count(*) FROM "freeze".freezes') == 1)
    pg.stop()
    two = put(s, reason="two")
    assert ask(s, actor="deploy.sh").code == 423
    s.sigkill()
    s.start()
    assert clear(s) == 2
    three = put(s, reason="three")
    s.restart()
    pg.start()
    wait_until(lambda: pg.value('SELECT count(*) FROM "freeze".freezes') == 3, what="all rows are there")
    wait_until(lambda: pg.value('SELECT count(*) FROM "freeze".events') == 5, what="all events are there")
    rows = dict(pg.query('SELECT id::text, cleared_at IS NOT NULL FROM "freeze".freezes'))
    assert rows == {one["id"]: True, two["id"]: True, three["id"]: False}
    assert sorted(pg.query('SELECT kind, count(*) FROM "freeze".events GROUP BY 1')) == [("clear", 2), ("set", 3)]
    wait_until(lambda: pg.query('SELECT scope, decision, actor FROM "freeze".decisions') == [("claims", "frozen", "deploy.sh")])
    s.restart()
    assert pg.value('SELECT count(*) FROM "freeze".events') == 5, "a restart repeats nothing"


def test_a_bad_file_changes_nothing_on_reload(freeze):
    s = freeze(out_of_band="restore")
    good = s.config_file.read_text()
    s.config_file.write_text(good + "out_of_bandd: thaw\n")
    reply = s.post("/-/reload")
    assert reply.code >= 400 and "out_of_bandd" in reply.json["error"] and reply.json["line"] == len(good.splitlines()) + 1, reply
    assert s.metric("ops_config_last_reload_successful") == 0
    s.config_file.write_text(good.replace("out_of_band: restore", "out_of_band: perhaps"))
    reply = s.post("/-/reload")
    assert reply.code >= 400 and "perhaps" in reply.json["error"] and reply.json["hint"] == "restore or thaw"
    put(s)
    flag(s).unlink()
    wait_until(lambda: says_freeze(flag(s)), what="the old policy holds")
    s.config_file.write_text(good.replace("out_of_band: restore", "out_of_band: thaw"))
    assert s.post("/-/reload").code == 200 and s.metric("ops_config_last_reload_successful") == 1
    flag(s).unlink()
    wait_until(lambda: ask(s).code == 200, what="the new policy holds")


# ---- with the alert that asked for it ----

class Gauge(http.server.BaseHTTPRequestHandler):
    value = 1

    def do_GET(self):
        body = f"# TYPE broken gauge\nbroken {Gauge.value}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def target():
    Gauge.value = 1
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gauge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_freeze_thaws_when_its_alert_resolves(freeze, service, ports, listen, target, tmp_path):
    samples, alerts, replay = (f"tcp://127.0.0.1:{p}" for p in ports(3))
    (tmp_path / "rules.yml").write_text("groups:\n- name: g\n  rules:\n  - alert: Broken\n    expr: broken > 0\n")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs:\n"
        f"- job_name: t\n  static_configs:\n  - targets: ['127.0.0.1:{target}']\n")
    service("ops-detector", {"scrape_config_file": str(tmp_path / "prometheus.yml"), "samples_listen": samples,
                             "alerts_listen": alerts, "alerts_replay_listen": replay})
    s = freeze(alerts_url=alerts, alerts_replay_url=replay)
    seen = listen(alerts, "alerts/")
    service("ops-collector", {"scrape_config_file": str(tmp_path / "prometheus.yml"), "samples_url": samples,
                              "members_url": alerts, "replay_listen": f"tcp://127.0.0.1:{ports()}"})
    firing = wait_until(lambda: [e for e in list(seen) if e["data"].get("status") == "firing"], what="the alert fires")[0]["data"]
    put(s, source="alert", alert=firing["fingerprint"], thaw="on_resolve", actor="playbook/x.sh")
    other = put(s, "refund", source="alert", alert=firing["fingerprint"])
    put(s, "photo", source="alert", alert="00000000000000aa", thaw="on_resolve")
    s.sigkill()  # what resolves while it is down is asked for again
    Gauge.value = 0
    wait_until(lambda: [e for e in list(seen) if e["data"].get("status") == "resolved"], what="the alert resolves")
    s.start()
    wait_until(lambda: ask(s).code == 200, what="claims thaws")
    assert not flag(s).exists()
    assert [f["id"] for f in ask(s, "refund").json["freezes"]] == [other["id"]], "this one waits for a person"
    assert ask(s, "photo").code == 423, "this one waits for another alert"


def test_ids_make_a_request_repeatable(freeze):
    s = freeze()
    wanted = str(uuid.uuid4())
    assert put(s, id=wanted)["id"] == wanted
    assert put(s, id=wanted, code=200)["id"] == wanted
    assert len(s.get("/v1/freezes").json["freezes"]) == 1
