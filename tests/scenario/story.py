# SPDX-License-Identifier: Apache-2.0
"""The story of the lab, told once: breach, page, playbook, freeze, refused deploy, thaw, proof.

It knows a stack only by the few things below, so that it is the same story on processes and in containers:

    stack.url[NAME]              base URL of detector collector alertmanager auditlog freeze portal sink
    stack.headers                what a person or pipeline sends to be let in
    stack.opsctl(*args)          a finished run (.returncode, .stdout, .stderr)
    stack.deploy(version)        examples/ocm/deploy.sh, a finished run
    stack.reader(sql)            rows as dicts, as the role that only reads
    stack.superuser(sql)         one statement behind the system's back
    stack.flag(scope)            content of the flag file, or None
    stack.remove_flag(scope)     rm, by hand
    stack.collectors             how many there are
    stack.bus(stream, topic)     what an outside subscriber (nngcat) saw so far, as text; None when it cannot look

Nothing here sleeps for a fixed time: every wait is for a fact.
"""
import json
import re
import threading


from harness import http, wait_until

ALERT = "P1_Claims_Errors"
SCOPE = "claims"
PLAYBOOK = "rollback_and_freeze.sh"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Citizens:
    """People who use the portal all the time: a thread that never gives up."""

    def __init__(self, url, interval=0.03):
        self.url, self.interval, self.answers = url, interval, {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(self.interval):
            try:
                code = http("POST", self.url + "/claims/submit", b"", timeout=5).code
            except OSError:
                code = 0
            self.answers[code] = self.answers.get(code, 0) + 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Story:
    """Each chapter acts, waits for what must follow, and asserts; the order is that of `chapters`."""

    chapters = ("quiet_morning", "bad_release", "detected", "acted", "governed", "deploy_refused", "flag_removed",
                "recovered", "thawed", "recorded", "proved")

    def __init__(self, stack):
        self.stack = stack
        self.fingerprint = None
        self.starts_at = None

    def play(self, between=None):
        """All chapters; between(name) is called after each of them."""
        for name in self.chapters:
            getattr(self, name)()
            if between:
                between(name)

    # ---- small questions ----

    def get(self, service, path):
        reply = http("GET", self.stack.url[service] + path)
        assert reply.code == 200, f"{service} {path}: {reply}"
        return reply.json

    def post(self, service, path, body, **headers):
        return http("POST", self.stack.url[service] + path, body, headers={**self.stack.headers, **headers})

    def query(self, expr):
        reply = http("GET", self.stack.url["detector"] + "/api/v1/query?query=" + "".join(
            c if c.isalnum() else "%%%02X" % ord(c) for c in expr))
        assert reply.code == 200, reply
        return reply.json["data"]["result"]

    def release(self):
        return self.get("portal", "/release")["version"]

    def active_alert(self):
        return next((a for a in self.get("alertmanager", "/api/v2/alerts")
                     if a["labels"]["alertname"] == ALERT and a["status"]["state"] == "active"), None)

    def gate(self):
        return http("GET", self.stack.url["freeze"] + f"/v1/gate?scope={SCOPE}", headers=self.stack.headers)

    def transitions(self):
        return [r["status"] for r in self.stack.reader(
            f"SELECT status FROM alerts.transitions WHERE fingerprint = {quoted(self.fingerprint)} ORDER BY at")]

    def pages(self, status):
        return [p["page"] for p in self.get("sink", "/pages")
                if p["page"]["status"] == status and any(a["fingerprint"] == self.fingerprint for a in p["page"]["alerts"])]

    def runs(self):
        return self.stack.reader(f"""SELECT id, playbook, exit_code, outcome, started_at, finished_at
            FROM alerts.playbook_runs WHERE fingerprint = {quoted(self.fingerprint)}""")

    def audit(self, where):
        return self.stack.reader(f"SELECT * FROM audit.entries WHERE {where} ORDER BY seq")

    # ---- the chapters ----

    def quiet_morning(self):
        """Every target is scraped by one of the collectors; traces are honoured; nothing is frozen."""
        jobs = {"portal": 1, "ops": 5}
        for job, n in jobs.items():
            wait_until(lambda: len(self.query(f'up{{job="{job}"}} == 1')) == n, 60, f"{n} targets of job {job} are up")
        wait_until(lambda: self.query("rate(claims_requests_total[10s])"), 60, "there are claims to count")
        reply = http("POST", self.stack.url["portal"] + "/claims/submit", b"", headers={"traceparent": TRACE})
        assert reply.code == 200, reply
        assert reply.json["trace_id"] == TRACE.split("-")[1] and TRACE.split("-")[1] in reply.headers["traceparent"]
        assert self.gate().code == 200
        assert self.stack.opsctl("freeze", "check", "--scope", SCOPE).returncode == 0
        assert self.release() == "2.4.0"
        for file in ("HighPassportLatency", "IRS_Latency_Spike", "HighErrorRate", ALERT):  # every form of a rule file
            rules = [r["name"] for g in self.get("detector", "/api/v1/rules")["data"]["groups"] for r in g["rules"]]
            assert file in rules, rules

    def bad_release(self):
        done = self.stack.deploy("2.5.0")
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: self.release() == "2.5.0" or self.get("sink", "/pages"), what="the portal runs 2.5.0")

    def detected(self):
        alert = wait_until(self.active_alert, 90, f"{ALERT} is active at the alert router")
        self.fingerprint, self.starts_at = alert["fingerprint"], alert["startsAt"]
        assert re.fullmatch("[0-9a-f]{16}", self.fingerprint)
        wait_until(lambda: self.transitions()[:2] == ["pending", "firing"], 60, "pending, then firing, in SQL")
        seen = self.stack.bus("alerts", "alerts/firing/")
        if seen is not None:
            wait_until(lambda: ALERT in self.stack.bus("alerts", "alerts/firing/"), what="an outsider sees it on the bus")

    def acted(self):
        wait_until(lambda: self.pages("firing"), what="the pager was called")
        alert = self.pages("firing")[0]["alerts"][0]
        assert alert["labels"]["alertname"] == ALERT and alert["startsAt"] == self.starts_at
        wait_until(lambda: self.runs() and self.runs()[0]["finished_at"], 60, "the playbook has run, and SQL knows")
        run, = self.runs()
        assert run["playbook"] == PLAYBOOK and run["exit_code"] == 0, (run, self.lines(run))
        wait_until(lambda: self.lines(run), what="its lines are in SQL")
        lines = self.lines(run)
        assert any("rolled back from 2.5.0 to 2.4.0" in x["line"] for x in lines), lines
        assert [x["at"] for x in lines] == sorted(x["at"] for x in lines)
        wait_until(lambda: self.release() == "2.4.0", what="the portal runs 2.4.0 again")
        wait_until(lambda: self.stack.reader(f"SELECT * FROM alerts.notes WHERE fingerprint = {quoted(self.fingerprint)}"),
                   what="the playbook's note is in SQL")

    def lines(self, run):
        return self.stack.reader(
            f"SELECT line_no, at, stream, line FROM alerts.playbook_lines WHERE run_id = {quoted(run['id'])} ORDER BY line_no")

    def assert_frozen(self):
        """All forms of the freeze say the same."""
        wait_until(lambda: self.gate().code == 423, what="the gate is closed")
        freeze = self.gate().json["freezes"][0]
        assert freeze["alert"] == self.fingerprint and ALERT in freeze["reason"] and freeze["scope"] == SCOPE
        wait_until(lambda: (self.stack.flag(SCOPE) or "").startswith("FREEZE\n"), what="the flag file says FREEZE")
        check = self.stack.opsctl("freeze", "check", "--scope", SCOPE)
        assert check.returncode == 10 and "FROZEN" in check.stdout, check.stdout + check.stderr

    def governed(self):
        self.assert_frozen()
        if self.stack.bus("freeze", "freeze/" + SCOPE) is not None:
            wait_until(lambda: self.fingerprint in self.stack.bus("freeze", "freeze/" + SCOPE), what="an outsider sees the freeze")
        wait_until(lambda: self.stack.reader(f"""SELECT id FROM "freeze".freezes
            WHERE alert = {quoted(self.fingerprint)} AND source = 'alert' AND cleared_at IS NULL AND until_at > now()"""),
                   what="the freeze is in SQL, with an end")

    def deploy_refused(self):
        done = self.stack.deploy("2.5.1")
        assert done.returncode == 10, done.stdout + done.stderr
        assert "refused" in done.stderr and self.release() == "2.4.0"
        wait_until(lambda: self.stack.reader(f"""SELECT id FROM "freeze".decisions
            WHERE scope = {quoted(SCOPE)} AND decision = 'frozen' AND action = 'deploy'"""), what="the refusal is in SQL")
        wait_until(lambda: self.audit(f"outcome = 'refused' AND object = 'gate/{SCOPE}'"), what="the refusal is audited")
        rollback = self.stack.opsctl("freeze", "check", "--scope", SCOPE, "--action", "rollback")
        assert rollback.returncode == 0, "a rollback is allowed under an automatic freeze: " + rollback.stdout

    def flag_removed(self):
        self.stack.remove_flag(SCOPE)
        wait_until(lambda: (self.stack.flag(SCOPE) or "").startswith("FREEZE\n"), what="the flag file is restored")
        assert self.gate().code == 423
        for kind in ("out_of_band", "restore"):
            wait_until(lambda: self.stack.reader(f"""SELECT id FROM "freeze".events
                WHERE scope = {quoted(SCOPE)} AND kind = {quoted(kind)}"""), what=f"{kind} is recorded")

    def recovered(self):
        wait_until(lambda: self.active_alert() is None, 120, "the alert resolves")
        wait_until(lambda: self.transitions() == ["pending", "firing", "resolved"], 60,
                   "each transition is in SQL once")
        wait_until(lambda: self.pages("resolved"), what="the pager was told")
        assert self.gate().code == 423, "a resolved alert does not thaw by itself"

    def thawed(self):
        done = self.stack.opsctl("freeze", "clear", "--scope", SCOPE, "--reason", "rolled back, errors stopped, 2.5.1 reviewed")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.gate().code == 200 and self.stack.flag(SCOPE) is None
        done = self.stack.deploy("2.5.1")
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: self.release() == "2.5.1", what="the portal runs 2.5.1")

    def recorded(self):
        change = {"dashboard": "claims", "change": "added the error panel"}
        reply = self.post("auditlog", "/ops/change", change, **{"X-User": "alice"})
        assert reply.code == 200 and reply.json["logged"] is True, reply
        found = wait_until(lambda: self.audit(f"id = {quoted(reply.json['id'])}"), what="the change is in SQL")
        assert "alice" in found[0]["actor"], found

    def proved(self):
        self.verified()
        self.timeline()

    def verified(self):
        def sound():
            done = self.stack.opsctl("audit", "verify", "--json")
            out = json.loads(done.stdout)
            return done.returncode == 0 and out["signatures_checked"] and out["trusted_checkpoint_checked"] and out
        result = wait_until(sound, 60, "opsctl audit verify proves the log", interval=0.5)
        assert result["records"] >= 6 and result["checkpoints"] >= 1
        return result

    def timeline(self):
        """From the first breach to the deploy that closed it, in order of time."""
        frozen, thawed = ("freeze", f"deploys to {SCOPE} are frozen"), ("freeze", f"freeze of {SCOPE} is thawed")
        chains = (  # what happens side by side is not compared
            [("alert", f"{ALERT} is pending"), ("alert", f"{ALERT} is firing"), ("playbook", f"playbook {PLAYBOOK} started"), frozen,
             ("playbook", f"playbook {PLAYBOOK} finished"), ("alert", f"{ALERT} is resolved"), thawed, (None, "release/claims/2.5.1")],
            [frozen, ("freeze", f"flag file of {SCOPE} was changed by hand"), ("freeze", f"flag file of {SCOPE} is restored"), thawed])

        def follow(rows, chain):
            at = 0
            for kind, text in chain:
                while at < len(rows) and not (kind in (None, rows[at]["kind"]) and text in rows[at]["text"]):
                    at += 1
                if at == len(rows):
                    raise AssertionError(f"{kind} '{text}' is missing or out of order in\n" + "\n".join(
                        f"{r['at']} {r['kind']} {r['text'][:120]}" for r in rows))

        def complete():
            rows = self.stack.reader(f"""SELECT at, kind, what || ' ' || coalesce(detail::text, '') AS text
                FROM ops.timeline WHERE incident = {quoted(self.fingerprint)} ORDER BY ops.timeline.at""")
            for chain in chains:
                follow(rows, chain)
            return rows
        rows = wait_until(complete, what="the timeline tells the whole incident", interval=0.5)
        kinds = {r["kind"] for r in rows}
        assert {"alert", "notification", "playbook", "playbook.line", "note", "freeze"} <= kinds, kinds
        shown = self.stack.opsctl("timeline", self.fingerprint)
        assert shown.returncode == 0 and f"{ALERT} is pending" in shown.stdout, shown.stdout + shown.stderr

    # ---- what must never pass unseen ----

    def tampered(self):
        """A row changed by a superuser makes the proof fail, and the proof names the row. Ends the log's life."""
        seq = self.audit("action = 'deploy'")[0]["seq"]
        self.stack.superuser(f"""
            ALTER TABLE audit.records DISABLE TRIGGER ALL;
            UPDATE audit.records SET body = replace(body, 'deploy', 'defect') WHERE seq = {seq};
            ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_change;
            ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_truncate""")
        done = self.stack.opsctl("audit", "verify", "--json")
        out = json.loads(done.stdout)
        assert done.returncode == 1 and out["bad_seq"] == seq and str(seq) in out["problem"], done.stdout + done.stderr
        plain = self.stack.opsctl("audit", "verify")
        assert plain.returncode == 1 and "NOT SOUND" in plain.stdout and str(seq) in plain.stdout, plain.stdout


