# SPDX-License-Identifier: Apache-2.0
"""ops-auditlog against a real database: what is acknowledged is there once, and what is tampered with is named."""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import threading
import time
import uuid

import pytest

import harness
from harness import http_post, wait_until


@pytest.fixture
def auditlog(service, pg, ports):
    """auditlog() -> a started service on the test's database; auditlog(user=..., **config)."""
    def make(start=True, ready=True, user="ops_auditlog", folder=None, **config):
        whole = {"append_listen": f"tcp://127.0.0.1:{ports()}", "database": pg.conninfo(user),
                 "checkpoint_interval": "200ms", **config}
        return service("ops-auditlog", whole, start=start, ready=ready, folder=folder)
    return make


def status(s):
    return s.get("/v1/status").json


def wait_state(s, state):
    wait_until(lambda: status(s)["state"] == state, what=f"state {state}, now {status(s)}")


def change(s, body=None, user="alice", **kw):
    return s.post("/ops/change", {"action": "test", "object": "thing/1"} if body is None else body,
                  headers={"X-User": user} if user else {}, **kw)


def fill(s, n):
    for i in range(n):
        assert change(s, {"action": "test", "object": f"thing/{i}", "after": {"i": i}}).code == 200


def wait_signed(s, size):
    wait_until(lambda: status(s)["signed_size"] >= size, what=f"signed up to {size}")


def verify(pg, s=None, note=None, key=None):
    """The proof, as the role of an auditor."""
    env = {**os.environ, "OPS_TEST_DATABASE": pg.conninfo("ops_reader")}
    key = key or (s.get("/v1/key").text if s else None)
    if key:
        env["OPS_TEST_VKEY"] = key
    if note:
        env["OPS_TEST_NOTE"] = note
    program = harness.BUILD / "tests/unit/test_audit_verify_live"
    done = subprocess.run([program], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["fault"] == "sound") == (done.returncode == 0)
    return result


def tamper(pg, sql):
    """As a superuser who knows about the triggers."""
    pg.query("ALTER TABLE audit.records DISABLE TRIGGER ALL; ALTER TABLE audit.checkpoints DISABLE TRIGGER ALL; " + sql +
             "; ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_change; "
             "ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_truncate; "
             "ALTER TABLE audit.checkpoints ENABLE ALWAYS TRIGGER deny_change; "
             "ALTER TABLE audit.checkpoints ENABLE ALWAYS TRIGGER deny_truncate")


def rewrite_from(pg, seq, body):
    """The best a superuser can do: change a record and recompute every hash after it."""
    tamper(pg, f"""
        UPDATE audit.records SET body = '{body}' WHERE seq = {seq};
        UPDATE audit.records SET leaf = sha256('\\x00'::bytea || convert_to(body, 'UTF8')) WHERE seq = {seq};
        DO $do$
        DECLARE previous bytea; r record;
        BEGIN
            SELECT chain INTO previous FROM audit.records WHERE seq = {seq} - 1;
            FOR r IN SELECT seq, leaf FROM audit.records WHERE seq >= {seq} ORDER BY seq LOOP
                previous := sha256(coalesce(previous, decode(repeat('00', 32), 'hex')) || r.leaf);
                UPDATE audit.records SET chain = previous WHERE seq = r.seq;
            END LOOP;
        END $do$""")


# ---- the door ----

def test_a_change_is_logged(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")
    reply = change(s, {"dashboard": "irs_overview", "panels": 3, "reason": "new panel"})
    assert reply.code == 200
    assert reply.json["logged"] is True and reply.json["seq"] == 1 and reply.json["durable"] == "postgresql"
    row = pg.query("SELECT actor, actor_type, action, object, reason, after, outcome, source_addr, service "
                   "FROM audit.entries", user="ops_reader")
    assert row == [("alice", "user", "change", "dashboard/irs_overview", "new panel",
                    {"dashboard": "irs_overview", "panels": 3}, "success", "127.0.0.1", "http")]
    body, leaf, chain = pg.query("SELECT body, leaf, chain FROM audit.records")[0]
    record = json.loads(body)
    assert record["id"] == reply.json["id"] and len(record["trace_id"]) == 32
    assert body == json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert bytes(leaf) == hashlib.sha256(b"\0" + body.encode()).digest()
    assert bytes(chain) == hashlib.sha256(b"\0" * 32 + bytes(leaf)).digest()
    at = pg.value("SELECT (extract(epoch FROM at) * 1000000)::bigint FROM audit.records")
    assert at == record["time_us"] and abs(at / 1e6 - time.time()) < 60


@pytest.mark.parametrize("body,want", [
    ([1, 2, 3], {"action": "change", "object": "unspecified", "after": [1, 2, 3]}),
    ("text", {"after": "text"}),
    ({"action": "deploy", "object": "release/claims/2.0", "before": "1.0", "after": "2.0", "outcome": "refused"},
     {"action": "deploy", "object": "release/claims/2.0", "before": "1.0", "after": "2.0", "outcome": "refused"}),
    ({"alert": "00c0ffee00c0ffee"}, {"alert": "00c0ffee00c0ffee", "after": None}),
    ({"alert": "HighErrors", "after": 1}, {"alert": None, "object": "alert/HighErrors", "after": {"alert": "HighErrors", "after": 1}}),
    ({"reason": ["not", "text"]}, {"reason": None, "after": {"reason": ["not", "text"]}}),
    ({"after": {"big": 1e20, "small": 1e-7, "e": "\u20ac \U0001f600", "n": None}},
     {"after": {"big": 1e20, "small": 1e-7, "e": "\u20ac \U0001f600", "n": None}}),
])
def test_free_form_changes(auditlog, pg, body, want):
    s = auditlog()
    wait_state(s, "ready")
    reply = s.post("/ops/change", json.dumps(body), headers={"X-User": "bob"})
    assert reply.code == 200, reply
    record = json.loads(pg.value("SELECT body FROM audit.records"))
    assert record["actor"] == "bob"
    for key, value in want.items():
        assert record.get(key) == value, key
    assert verify(pg, s)["fault"] == "sound"


@pytest.mark.parametrize("body,match", [
    ("", "JSON"), ("{", "JSON"), ('{"a":1,"a":2}', "duplicate"), ('{"after":9007199254740993}', "exactly"),
    ('{"id":"not-a-uuid"}', "UUID"), ('{"outcome":"maybe"}', "outcome"), ('{"action":"%s"}' % ("x" * 300), "action"),
    ('{"after":"%s"}' % ("x" * 70000), "after"), ('{"reason":"\\u0000"}', "JSON"), (b'{"reason":"\xff"}', "JSON"),
])
def test_what_is_no_record_is_refused(auditlog, pg, body, match):
    s = auditlog()
    reply = s.post("/ops/change", body, headers={"X-User": "bob"})
    assert reply.code == 400 and match in reply.json["error"], reply
    assert s.metric("ops_auditlog_refused_total", door="http") == 1
    assert pg.value("SELECT count(*) FROM audit.records") == 0


def test_roles(auditlog):
    s = auditlog(anonymous_role="viewer")
    assert change(s).code in (401, 403)
    assert s.get("/v1/key").code == 200


def test_duplicate_ids_are_one_record(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")
    wanted = str(uuid.uuid4())
    body = {"id": wanted.upper(), "action": "test", "object": "o"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: change(s, body), range(24)))
    assert {r.json["seq"] for r in replies} == {1} and {r.json["durable"] for r in replies} == {"postgresql"}
    s.restart()
    wait_state(s, "ready")
    assert change(s, body).json["seq"] == 1
    assert change(s).json["seq"] == 2
    assert pg.query("SELECT seq FROM audit.records ORDER BY seq") == [(1,), (2,)]
    assert pg.value("SELECT id::text FROM audit.records WHERE seq = 1") == wanted


def test_records_can_be_read(auditlog, pg):
    s = auditlog()
    fill(s, 5)
    change(s, {"action": "other", "object": "thing/1"}, user="carol")
    wait_until(lambda: pg.value("SELECT count(*) FROM audit.records") == 6)
    page = s.get("/v1/records?limit=2&after=1").json
    assert [r["seq"] for r in page["records"]] == [2, 3] and page["next"] == 3
    assert page["records"][0]["record"]["object"] == "thing/1"
    assert [r["seq"] for r in s.get("/v1/records?limit=2").json["records"]] == [5, 6]
    assert [r["seq"] for r in s.get("/v1/records?actor=carol").json["records"]] == [6]
    assert [r["seq"] for r in s.get("/v1/records?object=thing/1&action=test").json["records"]] == [2]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", page["records"][0]["at"])
    assert s.get("/v1/records?actor=nobody").json == {"records": [], "next": None}
    assert s.get("/v1/records?limit=x").code == 400


def test_checkpoint_is_a_signed_note(auditlog, pg):
    """Checked by another implementation of Ed25519 and by hand, not by our own code."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    s = auditlog(origin="example.org/audit")
    assert s.get("/v1/checkpoint").code == 404
    fill(s, 3)
    wait_signed(s, 3)
    note = s.get("/v1/checkpoint").text
    text, signature = re.fullmatch("(example\\.org/audit\n3\n[A-Za-z0-9+/]{43}=\n)\n\u2014 example\\.org/audit (\\S+)\n", note).groups()
    name, key_id, key = s.get("/v1/key").text.strip().split("+", 2)
    key, signature = base64.b64decode(key), base64.b64decode(signature)
    assert name == "example.org/audit" and key[0] == 1
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4] == bytes.fromhex(key_id) == signature[:4]
    ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
    leaves = [bytes(x) for x, in pg.query("SELECT leaf FROM audit.records ORDER BY seq")]
    node = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    assert base64.b64decode(text.split("\n")[2]) == hashlib.sha256(b"\1" + node + leaves[2]).digest()
    assert pg.query("SELECT size, note FROM audit.checkpoints ORDER BY size DESC LIMIT 1") == [(3, note)]
    assert (s.state_dir / "checkpoint").read_text() == note
    assert (s.state_dir / "signing.key").stat().st_mode & 0o777 == 0o600


# ---- proof and tampering ----

def test_verify_proves_an_untouched_log(auditlog, pg):
    s = auditlog()
    fill(s, 20)
    wait_signed(s, 20)
    note = s.get("/v1/checkpoint").text
    fill(s, 3)
    result = verify(pg, s, note)
    assert result["fault"] == "sound" and result["records"] >= 20 and result["checkpoints"] >= 1 and result["trusted"]


@pytest.mark.parametrize("sql,fault,bad", [
    ("UPDATE audit.records SET body = replace(body, 'alice', 'mallory') WHERE seq = 7", "changed", 7),
    ("UPDATE audit.records SET leaf = sha256('x') WHERE seq = 7", "changed", 7),
    ("UPDATE audit.records SET at = at + interval '1 microsecond' WHERE seq = 7", "changed", 7),
    ("UPDATE audit.records SET id = gen_random_uuid() WHERE seq = 7", "changed", 7),
    ("UPDATE audit.records SET chain = sha256('x') WHERE seq = 7", "reordered", 7),
    ("DELETE FROM audit.records WHERE seq = 7", "removed", 7),
    ("DELETE FROM audit.records WHERE seq = 1", "removed", 1),
    ("DELETE FROM audit.records WHERE seq = 7; UPDATE audit.records SET seq = seq - 1 WHERE seq > 7", "reordered", 7),
    ("UPDATE audit.records SET seq = 1000 WHERE seq = 7; UPDATE audit.records SET seq = 7 WHERE seq = 8; "
     "UPDATE audit.records SET seq = 8 WHERE seq = 1000", "reordered", 7),
    ("DELETE FROM audit.records WHERE seq > 15", "cut off", 16),
    ("DELETE FROM audit.records", "cut off", 1),
    ("UPDATE audit.checkpoints SET note = replace(note, 'hms', 'HMS') WHERE size = 20", "checkpoint", 20),
    ("UPDATE audit.checkpoints SET root = sha256('x') WHERE size = 20", "checkpoint", 20),
])
def test_tampering_is_named(auditlog, pg, sql, fault, bad):
    s = auditlog()
    fill(s, 20)
    wait_signed(s, 20)
    wait_until(lambda: pg.value("SELECT max(size) FROM audit.checkpoints") == 20)
    key = s.get("/v1/key").text
    s.sigterm()
    tamper(pg, sql)
    result = verify(pg, key=key)
    assert (result["fault"], result["bad_seq"]) == (fault, bad), result
    assert str(bad) in result["problem"]


def test_a_rewritten_log_does_not_match_what_was_signed(auditlog, pg):
    s = auditlog()
    fill(s, 10)
    wait_signed(s, 10)
    wait_until(lambda: pg.value("SELECT max(size) FROM audit.checkpoints") == 10)
    key, note = s.get("/v1/key").text, s.get("/v1/checkpoint").text
    s.sigterm()
    body = pg.value("SELECT replace(body, 'alice', 'mallory') FROM audit.records WHERE seq = 4")
    rewrite_from(pg, 4, body)
    assert pg.query("SELECT * FROM audit.broken") == []  # plain SQL is fooled
    result = verify(pg, key=key)
    assert result["fault"] == "rewritten" and result["bad_seq"] <= 4, result
    # Without its checkpoints it looks whole, unless somebody kept one.
    tamper(pg, "DELETE FROM audit.checkpoints")
    assert verify(pg, key=key)["fault"] == "sound"
    assert verify(pg, key=key, note=note)["fault"] == "rewritten"


def test_a_log_cut_off_with_its_checkpoints_needs_the_note_that_was_kept(auditlog, pg):
    s = auditlog()
    fill(s, 5)
    wait_signed(s, 5)
    key, note = s.get("/v1/key").text, s.get("/v1/checkpoint").text
    s.sigterm()
    tamper(pg, "DELETE FROM audit.records WHERE seq > 3; DELETE FROM audit.checkpoints WHERE size > 3")
    assert verify(pg, key=key)["fault"] == "sound"
    result = verify(pg, key=key, note=note)
    assert (result["fault"], result["bad_seq"]) == ("cut off", 4)


def test_the_command_line_proves_and_names(auditlog, pg):
    """As the demo does it: against the running service, a row changed behind its back."""
    s = auditlog()
    wait_state(s, "ready")
    env = {"OPS_AUDITLOG_URL": s.url, "OPS_DATABASE": pg.conninfo("ops_reader")}
    harness.opsctl("audit", "record", "--action", "deploy", "--object", "release/claims/2.0", "--reason", "why",
                   env=env, check=0)
    fill(s, 4)
    wait_signed(s, 5)
    assert "5 records" in harness.opsctl("audit", "verify", env=env, check=0).stdout
    tail = harness.opsctl("audit", "tail", env=env, check=0).stdout
    assert "release/claims/2.0" in tail and len(tail.splitlines()) >= 5
    lines = harness.opsctl("audit", "export", env=env, check=0).stdout.splitlines()
    assert [json.loads(x)["seq"] for x in lines if x.startswith("{")] == [1, 2, 3, 4, 5]
    tamper(pg, "UPDATE audit.records SET body = replace(body, 'alice', 'mallory') WHERE seq = 3")
    done = harness.opsctl("audit", "verify", env=env, check=1)
    assert "record 3 was changed" in done.stdout + done.stderr


@pytest.mark.parametrize("how", ["changed", "cut", "rewritten", "gone"])
def test_a_broken_log_is_neither_continued_nor_signed(auditlog, pg, how):
    s = auditlog()
    fill(s, 6)
    wait_signed(s, 6)
    s.sigterm()
    if how == "changed":
        tamper(pg, "UPDATE audit.records SET body = replace(body, 'alice', 'mallory') WHERE seq = 3")
    elif how == "cut":
        tamper(pg, "DELETE FROM audit.records WHERE seq > 4; DELETE FROM audit.checkpoints")
    elif how == "gone":
        tamper(pg, "DELETE FROM audit.records; DELETE FROM audit.checkpoints")
    else:
        rewrite_from(pg, 3, pg.value("SELECT replace(body, 'alice', 'mallory') FROM audit.records WHERE seq = 3"))
    rows = pg.value("SELECT count(*) FROM audit.records")
    s.start()
    wait_state(s, "broken")
    health = s.get("/health")
    assert "unhealthy" in health.text and "broken" in health.text
    assert s.metric("ops_auditlog_chain_broken") == 1
    assert any(line["level"] == "error" and "broken" in line["message"] for line in s.logs())
    reply = change(s)
    assert reply.json["logged"] is True and reply.json["durable"] == "spool" and reply.json["seq"] is None
    note = s.get("/v1/checkpoint").text
    time.sleep(0.5)  # more than two checkpoint intervals: nothing may happen in them
    assert s.get("/v1/checkpoint").text == note and note.split("\n")[1] == "6"
    assert pg.value("SELECT count(*) FROM audit.records") == rows


def test_an_exchanged_log_is_noticed_when_the_connection_comes_back(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")
    fill(s, 3)
    pg.query("ALTER ROLE ops_auditlog NOLOGIN")
    try:
        pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ops_auditlog'")
        wait_state(s, "away")
        tamper(pg, "DELETE FROM audit.records WHERE seq = 3")
    finally:
        pg.query("ALTER ROLE ops_auditlog LOGIN")
    wait_state(s, "broken")
    assert "record 3 is missing" in status(s)["problem"]


# ---- bad days ----

def burst(s, stop, acknowledged, failures):
    n = 0
    while not stop.is_set():
        n += 1
        wanted = str(uuid.uuid4())
        try:
            reply = http_post(s.url + "/ops/change", {"id": wanted, "action": "burst", "object": f"o/{n}"},
                              headers={"X-User": threading.current_thread().name}, timeout=5)
            if reply.code == 200:
                acknowledged.append(wanted)
                continue
        except OSError:
            pass
        failures.append(wanted)
        time.sleep(0.01)


def run_burst(s, disturb, threads=4):
    stop, acknowledged, failures = threading.Event(), [], []
    workers = [threading.Thread(target=burst, args=(s, stop, acknowledged, failures)) for _ in range(threads)]
    for w in workers:
        w.start()
    try:
        disturb(acknowledged)
    finally:
        stop.set()
        for w in workers:
            w.join()
    return acknowledged


def assert_all_once(s, pg, acknowledged):
    wait_until(lambda: status(s)["waiting"] == 0, what="the spool is drained")
    ids = [i for i, in pg.query("SELECT id::text FROM audit.records ORDER BY seq")]
    assert len(ids) == len(set(ids))
    missing = set(acknowledged) - set(ids)
    assert not missing, f"{len(missing)} acknowledged records are missing"
    assert pg.query("SELECT min(seq), max(seq), count(*) FROM audit.records") == [(1, len(ids), len(ids))]
    wait_signed(s, len(ids))
    assert verify(pg, s, s.get("/v1/checkpoint").text)["fault"] == "sound"


def test_kill_9_in_a_burst_loses_nothing_acknowledged(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")

    def disturb(acknowledged):
        for _ in range(3):
            have = len(acknowledged)
            wait_until(lambda h=have: len(acknowledged) > h + 40)
            s.sigkill()
            s.start()

    acknowledged = run_burst(s, disturb)
    assert len(acknowledged) > 100
    assert_all_once(s, pg, acknowledged)


def test_database_away_and_back(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")
    assert change(s).json["durable"] == "postgresql"
    pg.stop()
    wait_state(s, "away")
    replies = [change(s).json for _ in range(30)]
    assert all(r["logged"] and r["durable"] == "spool" and r["seq"] is None for r in replies)
    assert s.get("/-/ready").code == 200
    assert s.get("/v1/records").code == 503
    assert "degraded" in s.get("/health").text
    s.sigkill()  # the spool outlives that too
    s.start()
    assert status(s)["waiting"] >= 30  # the one before may be unnoted yet; its id is recognised
    pg.start()
    wait_until(lambda: status(s)["waiting"] == 0, what="drained")
    ids = [i for i, in pg.query("SELECT id::text FROM audit.records WHERE seq > 1 ORDER BY seq")]
    assert ids == [r["id"] for r in replies]  # in order
    assert change(s).json["seq"] == 32
    assert verify(pg, s)["fault"] == "sound"


def test_database_crashes_in_a_burst(auditlog, pg):
    s = auditlog()
    wait_state(s, "ready")

    def disturb(acknowledged):
        for _ in range(2):
            have = len(acknowledged)
            wait_until(lambda h=have: len(acknowledged) > h + 40)
            pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ops_auditlog'")
        have = len(acknowledged)
        wait_until(lambda: len(acknowledged) > have + 40)
        pg.stop()
        have = len(acknowledged)
        wait_until(lambda: len(acknowledged) > have + 40)
        pg.start()
        wait_state(s, "ready")

    acknowledged = run_burst(s, disturb)
    assert_all_once(s, pg, acknowledged)


def test_two_writers_do_not_fork_the_chain(auditlog, pg, tmp_path):
    key = tmp_path / "signing.key"  # one log, one key
    first = auditlog(signing_key_file=key)
    wait_state(first, "ready")
    second = auditlog(ready=False, signing_key_file=key)
    second.wait_up()
    wait_state(second, "standby")
    assert second.get("/-/ready").code == 503
    fill(first, 3)
    spooled = change(second, {"action": "from the second", "object": "o"}).json
    assert spooled["durable"] == "spool"
    first.sigkill()
    wait_state(second, "ready")
    assert second.get("/-/ready").code == 200
    wait_until(lambda: status(second)["waiting"] == 0)
    assert change(second).json["seq"] == 5
    first.start(ready=False)
    first.wait_up()
    wait_state(first, "standby")
    second.sigterm()
    wait_state(first, "ready")
    assert change(first).json["seq"] == 6
    assert pg.value("SELECT id::text FROM audit.records WHERE seq = 4") == spooled["id"]
    assert verify(pg, first)["fault"] == "sound"


def test_without_its_rights_it_waits_and_says_so(auditlog, pg):
    """An error of the installation is not the record's fault: nothing is dropped."""
    s = auditlog()
    wait_state(s, "ready")
    pg.query("REVOKE INSERT ON audit.records FROM ops_auditlog")
    reply = change(s)
    assert reply.json["durable"] == "spool"
    wait_state(s, "retry")
    assert "42501" in status(s)["problem"]
    pg.query("GRANT INSERT ON audit.records TO ops_auditlog")
    wait_until(lambda: status(s)["waiting"] == 0)
    assert pg.value("SELECT id::text FROM audit.records") == reply.json["id"]


def test_records_come_in_over_the_bus(auditlog, pg, ports):
    """Its own configuration is under audit too: the client of common/audit delivers to the door of the same process."""
    url = f"tcp://127.0.0.1:{ports()}"
    s = auditlog(append_listen=url, audit_url=url)
    wait_state(s, "ready")
    for _ in range(5):
        assert s.post("/-/reload").code == 200
    wait_until(lambda: pg.value("SELECT count(*) FROM audit.records") == 5, what="five records in SQL")
    rows = pg.query("SELECT DISTINCT service, source_addr FROM audit.entries")
    assert rows == [("ops-auditlog", "127.0.0.1")]
    pg.stop()
    wait_state(s, "away")
    for _ in range(3):
        assert s.post("/-/reload").code == 200
    wait_until(lambda: s.metric("ops_audit_waiting") == 0, what="delivered into the spool")
    assert status(s)["waiting"] == 3
    pg.start()
    wait_until(lambda: pg.value("SELECT count(*) FROM audit.records") == 8, what="eight records in SQL")
    assert s.metric("ops_audit_dead_total") == 0
    assert verify(pg, s)["fault"] == "sound"


def test_no_database_at_all(auditlog):
    s = auditlog(database=None)
    assert change(s).json["durable"] == "spool"
    s.restart()
    assert status(s)["waiting"] == 1


def test_sigterm_writes_and_signs_the_rest(auditlog, pg):
    s = auditlog(checkpoint_interval="1h")
    wait_state(s, "ready")
    fill(s, 4)
    s.sigterm()
    assert pg.query("SELECT count(*), (SELECT max(size) FROM audit.checkpoints) FROM audit.records") == [(4, 4)]


def test_check_and_errors_of_configuration(auditlog, service):
    s = auditlog(start=False)
    program = [harness.binary("ops-auditlog"), "--config", s.config_file, "--check"]
    assert subprocess.run(program, capture_output=True).returncode == 0
    s.config_file.write_text(s.config_file.read_text() + "chekpoint_interval: 1s\n")
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 3 and re.search(r":\d+:\d+: .*chekpoint_interval.*checkpoint_interval", done.stderr)
    broken = auditlog(start=False, origin="two words")
    broken.start(ready=False)
    assert broken.wait_exit() != 0
    assert "two words" in broken.log_text()


def test_the_database_by_name(auditlog, pg):
    """Names are resolved without blocking the loop."""
    s = auditlog(database=pg.conninfo("ops_auditlog").replace("hostaddr=127.0.0.1", "host=localhost"))
    wait_state(s, "ready")
    assert change(s).json["durable"] == "postgresql"


def test_a_database_whose_name_is_gone_is_a_database_that_is_away(auditlog, pg):
    s = auditlog(database=pg.conninfo("ops_auditlog").replace("hostaddr=127.0.0.1", "host=no-such-host.invalid"))
    assert change(s).json["durable"] == "spool"
    # Refused at once, or never answered: that is up to the name server of this machine.
    wait_until(lambda: s.metric("ops_pg_connection_failures_total"))
    assert re.search("resolve|answer in time", s.get("/health").text)
    assert change(s).json["durable"] == "spool"
    s.sigkill()  # a look-up under way at the end is not what this is about
