# SPDX-License-Identifier: Apache-2.0
"""The schema by itself: what each role may do, what the audit tables refuse, what the timeline tells."""
import uuid

import psycopg2
import pytest

FP = "00c0ffee00c0ffee"


def insert_record(pg, seq, body='{"action":"a","actor":"x","object":"o"}', user="ops_auditlog"):
    pg.query("""INSERT INTO audit.records
        SELECT %(seq)s, %(id)s, now(), %(body)s, leaf,
               sha256(coalesce((SELECT chain FROM audit.records WHERE seq = %(seq)s - 1),
                               decode(repeat('00', 32), 'hex')) || leaf)
        FROM (SELECT sha256('\\x00'::bytea || convert_to(%(body)s, 'UTF8')) AS leaf) l""",
             {"seq": seq, "id": str(uuid.uuid4()), "body": body}, user=user)


@pytest.mark.parametrize("user,sql", [
    ("ops_auditlog", "UPDATE audit.records SET body = ''"),
    ("ops_auditlog", "DELETE FROM audit.records"),
    ("ops_auditlog", "TRUNCATE audit.records"),
    ("ops_auditlog", "SELECT 1 FROM \"freeze\".freezes"),
    ("ops_auditlog", "DROP TABLE audit.records"),
    ("ops_auditlog", "ALTER TABLE audit.records DISABLE TRIGGER ALL"),
    ("ops_freeze", "SELECT 1 FROM audit.records"),
    ("ops_freeze", "INSERT INTO alerts.notes (id, at, action) VALUES (gen_random_uuid(), now(), 'x')"),
    ("ops_freeze", "DELETE FROM \"freeze\".freezes"),
    ("ops_freeze", "UPDATE \"freeze\".decisions SET decision = 'open'"),
    ("ops_alertmanager", "DELETE FROM alerts.transitions"),
    ("ops_alertmanager", "SELECT 1 FROM \"freeze\".freezes"),
    ("ops_reader", "INSERT INTO audit.checkpoints VALUES (1, now(), ''::bytea, '')"),
    ("ops_reader", "DELETE FROM alerts.notes"),
    ("ops_reader", "CREATE TABLE ops.mine (a int)"),
])
def test_roles_cannot(pg, user, sql):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        pg.query(sql, user=user)


@pytest.mark.parametrize("sql", [
    "UPDATE audit.records SET body = 'x'", "DELETE FROM audit.records", "TRUNCATE audit.records",
    "UPDATE audit.checkpoints SET note = 'x'", "DELETE FROM audit.checkpoints", "TRUNCATE audit.checkpoints",
    "SET session_replication_role = replica; DELETE FROM audit.records",
])
def test_even_the_owner_is_stopped(pg, sql):
    insert_record(pg, 1)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="only grows"):
        pg.query(sql)
    assert pg.value("SELECT count(*) FROM audit.records") == 1


def test_sequence_is_the_fence(pg):
    insert_record(pg, 1)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        insert_record(pg, 1)


@pytest.mark.parametrize("tamper,seq,what", [
    ("UPDATE audit.records SET body = '{}' WHERE seq = 2", 2, "leaf"),
    ("UPDATE audit.records SET leaf = sha256('x') WHERE seq = 2", 2, "leaf"),
    ("UPDATE audit.records SET chain = sha256('x') WHERE seq = 2", 2, "chain"),
    ("DELETE FROM audit.records WHERE seq = 2", 3, "missing"),
])
def test_sql_alone_sees_tampering(pg, tamper, seq, what):
    for n in (1, 2, 3):
        insert_record(pg, n)
    assert pg.query("SELECT * FROM audit.broken", user="ops_reader") == []
    pg.query("ALTER TABLE audit.records DISABLE TRIGGER ALL; " + tamper)
    first = pg.query("SELECT seq, what FROM audit.broken ORDER BY seq", user="ops_reader")[0]
    assert first[0] == seq and what in first[1]


def test_migrations_survive_a_second_database(pg_cluster, pg):
    import conftest
    import harness
    conftest._admin(pg_cluster, "CREATE DATABASE second")
    try:
        harness.migrate(pg_cluster, "second")  # the roles are there already
    finally:
        conftest._admin(pg_cluster, "DROP DATABASE second")


def ids(n):
    return [str(uuid.uuid4()) for _ in range(n)]


def test_timeline_tells_one_incident_from_breach_to_deploy(pg):
    """The order of the story: pending, firing, notified, playbook, freeze, note, refusal, thaw, deploy."""
    run, freeze = ids(2)
    at = "timestamptz '2026-01-01 00:00:00Z' + interval '%d s'"

    def row(user, table, columns, n, *values):
        marks = ", ".join(["%s"] * len(values))
        stamp = at % n
        pg.query(f"INSERT INTO {table} ({columns}) VALUES ({marks}, {stamp})", values, user=user)

    am, fr = "ops_alertmanager", "ops_freeze"
    transition = "id, fingerprint, status, alertname, severity, labels, value, starts_at, at"
    for n, status, value in ((0, "pending", 0.2), (5, "firing", 0.3), (40, "resolved", 0.0)):
        row(am, "alerts.transitions", transition, n, ids(1)[0], FP, status, "HighErrors", "critical", "{}", value,
            "2026-01-01 00:00:05Z" if status != "pending" else None)
    row(am, "alerts.notifications", "id, fingerprints, receiver, integration, outcome, at", 6, ids(1)[0],
        [FP, "1111111111111111"], "oncall", "webhook", "sent")
    row(am, "alerts.playbook_runs", "id, fingerprint, playbook, exit_code, finished_at, started_at", 7, run, FP,
        "rollback_and_freeze.sh", 0, "2026-01-01 00:00:12Z")
    row(am, "alerts.playbook_lines", "run_id, line_no, stream, line, at", 8, run, 1, "stdout", "rolled back to 1.0")
    row(fr, "\"freeze\".freezes", "id, scope, reason, actor, source, alert, cleared_at, cleared_by, from_at", 9, freeze,
        "claims", "too many errors", "playbook", "alert", FP, "2026-01-01 00:00:50Z", "alice")
    row(fr, "\"freeze\".events", "id, scope, kind, freeze_id, actor, reason, alert, at", 9, ids(1)[0], "claims", "set",
        freeze, "playbook", "too many errors", FP)
    row(am, "alerts.notes", "id, fingerprint, author, action, at", 10, ids(1)[0], FP, "playbook", "rolled back and froze")
    row(fr, "\"freeze\".decisions", "id, scope, action, decision, actor, freezes, reason, at", 30, ids(1)[0], "claims",
        "deploy", "frozen", "ci", "{%s}" % freeze, "too many errors")
    row(fr, "\"freeze\".decisions", "id, scope, action, decision, actor, at", 45, ids(1)[0], "portal", "deploy", "open", "ci")
    row(fr, "\"freeze\".events", "id, scope, kind, freeze_id, actor, reason, at", 50, ids(1)[0], "claims", "clear", freeze,
        "alice", "fixed")
    row(fr, "\"freeze\".decisions", "id, scope, action, decision, actor, at", 60, ids(1)[0], "claims", "deploy", "open", "ci")
    row(fr, "\"freeze\".decisions", "id, scope, action, decision, actor, at", 70, ids(1)[0], "claims", "deploy", "open", "ci")

    rows = pg.query("SELECT kind, actor, what FROM ops.timeline WHERE incident = %s ORDER BY at", (FP,), user="ops_reader")
    assert [(k, w) for k, _, w in rows] == [
        ("alert", "HighErrors is pending (critical), value 0.2"),
        ("alert", "HighErrors is firing (critical), value 0.3"),
        ("notification", "notified oncall by webhook"),
        ("playbook", "playbook rollback_and_freeze.sh started"),
        ("playbook.line", "rolled back to 1.0"),
        ("freeze", "deploys to claims are frozen: too many errors"),
        ("note", "rolled back and froze"),
        ("playbook", "playbook rollback_and_freeze.sh finished"),
        ("gate", "deploy to claims refused: too many errors"),
        ("alert", "HighErrors is resolved (critical)"),
        ("freeze", "freeze of claims is thawed: fixed"),
        ("gate", "deploy to claims may go ahead"),
    ]


def test_timeline_takes_in_audit_records(pg):
    freeze = ids(1)[0]
    pg.query("INSERT INTO \"freeze\".freezes VALUES (%s, 'claims', 'r', 'a', 'alert', %s, now() - interval '2 h', "
             "now() - interval '30 min', now() - interval '1 h')", (freeze, FP), user="ops_freeze")
    insert_record(pg, 1, '{"action":"freeze.set","actor":"x","alert":"%s","object":"freeze/claims"}' % FP)
    insert_record(pg, 2, '{"action":"deploy","actor":"ci","object":"service/portal"}')
    insert_record(pg, 3, '{"action":"deploy","actor":"ci","object":"service/claims","outcome":"refused"}')
    insert_record(pg, 4, '{"action":"deploy","actor":"ci","object":"service/claims","outcome":"success","reason":"2.0"}')
    insert_record(pg, 5, '{"action":"deploy","actor":"ci","object":"service/claims"}')
    rows = pg.query("SELECT what FROM ops.timeline WHERE incident = %s AND kind = 'audit' ORDER BY at", (FP,), user="ops_reader")
    assert [w for w, in rows] == ["freeze.set freeze/claims", "deploy service/claims: 2.0"]
