# SPDX-License-Identifier: Apache-2.0
"""ops-alertmanager: what it tells receivers that speak the real protocols, what it remembers, what it runs."""
import datetime
import email
import email.policy
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import fake_apis
import harness
from harness import wait_until


class Receiver:
    """An HTTP server that keeps what it is sent. reply: (status, body) or a list of them, the last one stays."""

    def __init__(self, reply=(200, b"{}")):
        self.requests, self.replies = [], list(reply) if isinstance(reply, list) else [reply]
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append((self.path, dict(self.headers), body, time.time()))
                status, answer = receiver.replies.pop(0) if len(receiver.replies) > 1 else receiver.replies[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def bodies(self):
        return [json.loads(body) for _, _, body, _ in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Smtp:
    """Enough of an SMTP server (RFC 5321) to take messages; refuse: a recipient that it does not know."""

    def __init__(self, refuse=None):
        self.messages, self.refuse = [], refuse
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, connection.makefile("rwb", buffering=0) as f:
            f.write(b"220 fake ESMTP\r\n")
            sender, to = None, []
            while True:
                line = f.readline()
                if not line:
                    return
                verb = line.decode().strip().upper()
                if verb.startswith("EHLO"):
                    f.write(b"250-fake\r\n250 8BITMIME\r\n")
                elif verb.startswith("MAIL FROM"):
                    sender = line.decode().strip()[10:]
                    f.write(b"250 ok\r\n")
                elif verb.startswith("RCPT TO"):
                    if self.refuse and self.refuse.upper() in verb:
                        f.write(b"550 no such user\r\n")
                    else:
                        to.append(line.decode().strip()[8:])
                        f.write(b"250 ok\r\n")
                elif verb.startswith("DATA"):
                    f.write(b"354 go on\r\n")
                    lines = []
                    while (text := f.readline()) != b".\r\n":
                        lines.append(text[1:] if text.startswith(b"..") else text)
                    self.messages.append((sender, to, b"".join(lines)))
                    f.write(b"250 taken\r\n")
                elif verb.startswith("QUIT"):
                    f.write(b"221 bye\r\n")
                    return
                else:
                    f.write(b"250 ok\r\n")

    def close(self):
        self.socket.close()


@pytest.fixture
def receiver():
    made = []

    def make(*args, **kw):
        made.append(Receiver(*args, **kw))
        return made[-1]

    yield make
    for r in made:
        r.close()


def config(receivers, route=None, **more):
    """Alertmanager's file with one receiver "r" of these integrations."""
    base = {"receiver": "r", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    return {"route": {**base, **(route or {})}, "receivers": [{"name": "r", **receivers}], **more}


@pytest.fixture
def alertmanager(service, ports, tmp_path):
    def make(am_config, playbooks=None, start=True, folder=None, **more):
        file = tmp_path / "alertmanager.yml"
        file.write_text(am_config if isinstance(am_config, str) else json.dumps(am_config))
        directory = tmp_path / "playbooks"
        directory.mkdir(exist_ok=True)
        for name, text in (playbooks or {}).items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        own = {"alertmanager_config_file": str(file), "alerts_url": "", "playbook_dir": str(directory),
               "events_listen": f"tcp://127.0.0.1:{ports()}", "events_replay_listen": f"tcp://127.0.0.1:{ports()}", **more}
        s = service("ops-alertmanager", own, start=start, folder=folder)
        s.am_file = file
        return s
    return make


def post(s, *alerts):
    reply = s.post("/api/v2/alerts", list(alerts))
    assert reply.code == 200, reply
    return reply


def alert(name="Broken", annotations=None, ends=None, **labels):
    a = {"labels": {"alertname": name, **labels}, "annotations": annotations or {}}
    if ends is not None:
        a["endsAt"] = ends
    return a


def now(offset=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)).isoformat()


def webhook(r, **more):
    return {"webhook_configs": [{"url": r.url + "/hook", **more}]}


# ---- receivers ----

def test_webhook_payload_has_exactly_alertmanagers_shape(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r)))
    post(s, {**alert(severity="critical", annotations={"summary": "it is"}), "generatorURL": "http://prom/graph"})
    wait_until(lambda: r.requests, what="a notification")
    path, headers, _, _ = r.requests[0]
    assert path == "/hook" and headers["Content-Type"] == "application/json"
    body = r.bodies[0]
    fingerprint = s.get("/api/v2/alerts").json[0]["fingerprint"]
    assert set(body) == {"receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations",
                         "externalURL", "version", "groupKey", "truncatedAlerts"}
    assert body["version"] == "4" and body["status"] == "firing" and body["truncatedAlerts"] == 0
    assert body["groupKey"] == '{}:{alertname="Broken"}' and body["groupLabels"] == {"alertname": "Broken"}
    (a,) = body["alerts"]
    assert set(a) == {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
    assert a["endsAt"] == "0001-01-01T00:00:00Z" and a["generatorURL"] == "http://prom/graph"
    assert a["fingerprint"] == fingerprint and a["annotations"] == {"summary": "it is"}


def test_a_resolved_alert_is_told_once_and_leaves(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r)))
    post(s, alert())
    wait_until(lambda: len(r.bodies) == 1)
    post(s, alert(ends=now()))
    wait_until(lambda: len(r.bodies) == 2, what="the resolution")
    assert r.bodies[1]["status"] == "resolved" and r.bodies[1]["alerts"][0]["endsAt"] > "2020"
    assert s.get("/api/v2/alerts").json == []
    wait_until(lambda: s.get("/api/v2/alerts/groups").json == [])
    assert len(r.bodies) == 2


def test_group_wait_collects_and_group_interval_adds(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r), {"group_wait": "2s", "group_interval": "3s"}))
    post(s, alert(instance="a"))
    post(s, alert(instance="b"))
    wait_until(lambda: r.bodies)
    assert [a["labels"]["instance"] for a in r.bodies[0]["alerts"]] == ["a", "b"]
    post(s, alert(instance="c"))
    wait_until(lambda: len(r.bodies) == 2)
    assert len(r.bodies[1]["alerts"]) == 3 and r.requests[1][3] - r.requests[0][3] > 1.5


def test_repeat_interval(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r), {"repeat_interval": "4s"}))
    post(s, alert())
    wait_until(lambda: len(r.bodies) >= 2, what="the reminder")
    assert r.requests[1][3] - r.requests[0][3] > 2
    assert [n["reason"] for n in s.get("/api/v1/notifications").json][:2] == ["first", "repeat"]


def test_retries_until_it_is_taken_and_gives_up_when_refused(alertmanager, receiver):
    flaky, no = receiver([(503, b"later"), (503, b"later"), (200, b"")]), receiver((400, b"never"))
    s = alertmanager({"route": {"receiver": "both", "group_wait": "0s", "group_interval": "30s"}, "receivers": [
        {"name": "both", "webhook_configs": [{"url": flaky.url}, {"url": no.url}]}]})
    post(s, alert())
    wait_until(lambda: len(flaky.requests) == 3, what="two retries")
    told = wait_until(lambda: (n := s.get("/api/v1/notifications").json) and len(n) == 2 and n)
    assert {(n["outcome"], n["attempts"], n["code"]) for n in told} == {("sent", 3, 200), ("failed", 1, 400)}
    assert len(no.requests) == 1
    assert s.metric("alertmanager_notifications_failed_total", integration="webhook", reason="refused") == 1


def test_slack(alertmanager, receiver):
    r = receiver((200, b"ok"))
    s = alertmanager(config({"slack_configs": [{
        "api_url": r.url + "/services/T/B/x", "channel": "#ops", "send_resolved": True,
        "text": "{{ range .Alerts }}{{ .Labels.instance }} {{ end }}", "fields": [{"title": "Severity", "value": "{{ .CommonLabels.severity }}"}],
        "actions": [{"type": "button", "text": "open", "url": "{{ .ExternalURL }}"}]}]}))
    post(s, alert(severity="critical", instance="web-1"))
    wait_until(lambda: r.bodies)
    body = r.bodies[0]
    (attachment,) = body["attachments"]
    assert body["channel"] == "#ops" and attachment["color"] == "danger" and attachment["text"] == "web-1 "
    assert "FIRING" in attachment["title"] and "Broken" in attachment["title"]
    assert attachment["fields"] == [{"title": "Severity", "value": "critical", "short": False}]
    assert attachment["actions"][0]["url"].startswith("http://127.0.0.1:")
    post(s, alert(severity="critical", instance="web-1", ends=now()))
    wait_until(lambda: len(r.bodies) == 2)
    assert r.bodies[1]["attachments"][0]["color"] == "good"


def test_slack_says_no_inside_of_a_200(alertmanager, receiver):
    r = receiver((200, b'{"ok": false, "error": "channel_not_found"}'))
    s = alertmanager(config({"slack_configs": [{"app_token": "xoxb-1", "app_url": r.url, "channel": "#none"}]}))
    post(s, alert())
    (n,) = wait_until(lambda: s.get("/api/v1/notifications").json)
    assert n["outcome"] == "failed" and "channel_not_found" in n["error"]
    assert r.requests[0][1]["Authorization"] == "Bearer xoxb-1"


def test_pagerduty_events_v2(alertmanager, receiver):
    r = receiver((202, b'{"status":"success"}'))
    s = alertmanager(config({"pagerduty_configs": [{
        "routing_key": "key-1", "url": r.url + "/v2/enqueue", "severity": "{{ .CommonLabels.severity }}",
        "details": {"team": "{{ .CommonLabels.team }}"}, "links": [{"href": "http://runbook", "text": "runbook"}]}]}))
    post(s, alert(severity="critical", team="claims"))
    wait_until(lambda: r.bodies)
    event = r.bodies[0]
    assert r.requests[0][0] == "/v2/enqueue"
    assert event["routing_key"] == "key-1" and event["event_action"] == "trigger" and len(event["dedup_key"]) == 64
    assert event["payload"]["severity"] == "critical" and event["payload"]["source"] and "Broken" in event["payload"]["summary"]
    details = event["payload"]["custom_details"]
    assert details["team"] == "claims" and details["num_firing"] == "1" and "alertname=Broken" in details["firing"]
    assert event["links"] == [{"href": "http://runbook", "text": "runbook"}]
    post(s, alert(severity="critical", team="claims", ends=now()))
    wait_until(lambda: len(r.bodies) == 2)
    assert r.bodies[1]["event_action"] == "resolve" and r.bodies[1]["dedup_key"] == event["dedup_key"]


def test_email(alertmanager):
    smtp = Smtp()
    s = alertmanager(config({"email_configs": [{
        "to": "Ops Team <ops@example.org>, second@example.org", "from": "alerts@example.org", "require_tls": False,
        "smarthost": f"127.0.0.1:{smtp.port}", "text": "plain {{ .CommonLabels.alertname }}",
        "headers": {"Subject": "[{{ .Status }}] {{ .CommonLabels.note }}"}}]}))
    post(s, alert(note="Müller\r\nBcc: evil@example.org", html="<script>"))
    sender, to, raw = wait_until(lambda: smtp.messages and smtp.messages[0])
    smtp.close()
    assert "alerts@example.org" in sender and [t.strip("<>") for t in to] == ["ops@example.org", "second@example.org"]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"] == "[firing] Müller  Bcc: evil@example.org" and message["Bcc"] is None
    assert message["To"] == "Ops Team <ops@example.org>, second@example.org" and message["Message-Id"] and message["Date"]
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain.get_content().strip() == "plain Broken"
    assert "&lt;script&gt;" in html.get_content() and "<script>" not in html.get_content()


def test_email_refused_recipient_is_a_failure(alertmanager):
    smtp = Smtp(refuse="nobody@example.org")
    s = alertmanager(config({"email_configs": [{"to": "nobody@example.org", "from": "a@example.org", "require_tls": False,
                                                "smarthost": f"127.0.0.1:{smtp.port}"}]}))
    post(s, alert())
    (n,) = wait_until(lambda: s.get("/api/v1/notifications").json)
    smtp.close()
    assert n["outcome"] == "failed" and n["integration"] == "email" and smtp.messages == []


def test_secrets_from_files_and_authentication(alertmanager, receiver, tmp_path):
    r = receiver()
    (tmp_path / "url").write_text(r.url + "/from-file\n")
    (tmp_path / "token").write_text("s3cret\n")
    s = alertmanager(config({"webhook_configs": [{"url_file": str(tmp_path / "url"), "http_config": {
        "authorization": {"credentials_file": str(tmp_path / "token")}}}]}))
    post(s, alert())
    wait_until(lambda: r.requests)
    assert r.requests[0][0] == "/from-file" and r.requests[0][1]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in s.log_text()


def test_oauth2_and_headers(alertmanager, receiver, tmp_path):
    """A notification waits for its token as long as it may; Slack's app token goes before http_config."""
    hook, slack, tokens, secret = receiver(), receiver((200, b'{"ok":true}')), fake_apis.Tokens(), tmp_path / "secret"
    secret.write_text("wrong\n")
    http_config = {"http_headers": {"X-Team": {"values": ["blue", "red"]}}, "oauth2": {
        "client_id": "client", "client_secret_file": str(secret), "token_url": tokens.url}}
    s = alertmanager(config({
        "webhook_configs": [{"url": hook.url, "http_config": http_config}],
        "slack_configs": [{"channel": "c", "app_token": "xoxb", "app_url": slack.url, "http_config": http_config}]},
        {"group_interval": "5m"}))
    post(s, alert())
    wait_until(lambda: slack.requests and len(tokens.requests) > 1)
    assert slack.requests[0][1]["Authorization"] == "Bearer xoxb" and slack.requests[0][1]["X-Team"] == "blue"
    assert not hook.requests and not tokens.given
    secret.write_text("secret\n")
    wait_until(lambda: hook.requests, what="a token")
    assert hook.requests[0][1]["Authorization"] == "Bearer token-1"
    assert hook.requests[0][1]["X-Team"] == "blue"
    s.sigterm()
    tokens.close()


# ---- holding back ----

def test_silence_holds_back_and_its_end_lets_through(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r)))
    silence = {"matchers": [{"name": "alertname", "value": "Bro.*", "isRegex": True, "isEqual": True}],
               "startsAt": now(), "endsAt": now(3600), "createdBy": "ann", "comment": "known"}
    reply = s.post("/api/v2/silences", silence)
    assert reply.code == 200, reply
    sid = reply.json["silenceID"]
    post(s, alert())
    (a,) = s.get("/api/v2/alerts").json
    assert a["status"]["state"] == "suppressed" and a["status"]["silencedBy"] == [sid]
    assert s.get("/api/v2/alerts?silenced=false").json == []
    wait_until(lambda: s.metric("alertmanager_notifications_suppressed_total", reason="silence"))
    assert r.requests == []
    assert http_delete(s, f"/api/v2/silence/{sid}").code == 200
    wait_until(lambda: r.bodies, what="the notification after the silence")
    assert s.get(f"/api/v2/silence/{sid}").json["status"]["state"] == "expired"
    assert http_delete(s, "/api/v2/silence/00000000-0000-0000-0000-000000000000").code == 404


def http_delete(s, path):
    return harness.http("DELETE", s.url + path)


@pytest.mark.parametrize("change,words", [
    ({"matchers": []}, "matcher"), ({"endsAt": now(-60)}, "time"), ({"startsAt": None}, "startsAt"),
    ({"matchers": [{"name": "a", "value": "", "isRegex": False, "isEqual": True}]}, "empty"),
    ({"matchers": [{"name": "a", "value": "(", "isRegex": True, "isEqual": True}]}, "")])
def test_bad_silences_are_refused(alertmanager, receiver, change, words):
    s = alertmanager(config(webhook(receiver())))
    silence = {"matchers": [{"name": "a", "value": "b", "isRegex": False, "isEqual": True}], "startsAt": now(), "endsAt": now(60),
               "createdBy": "x", "comment": "y", **change}
    reply = s.post("/api/v2/silences", {k: v for k, v in silence.items() if v is not None})
    assert reply.code == 400 and words in reply.json, reply
    assert s.get("/api/v2/silences").json == []


def test_inhibition(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r), inhibit_rules=[{
        "source_matchers": ['severity="critical"'], "target_matchers": ['severity="warning"'], "equal": ["service"]}]))
    post(s, alert("Down", severity="critical", service="claims"))
    post(s, alert("Slow", severity="warning", service="claims"), alert("Slow", severity="warning", service="refund"))
    wait_until(lambda: {a["labels"]["service"] for b in r.bodies for a in b["alerts"] if a["labels"]["alertname"] == "Slow"})
    told = {(a["labels"]["alertname"], a["labels"]["service"]) for b in r.bodies for a in b["alerts"]}
    assert told == {("Down", "claims"), ("Slow", "refund")}
    by = {a["labels"]["service"]: a for a in s.get('/api/v2/alerts?filter=severity="warning"').json}
    assert by["claims"]["status"]["inhibitedBy"] and not by["refund"]["status"]["inhibitedBy"]
    post(s, alert("Down", severity="critical", service="claims", ends=now()))
    wait_until(lambda: any(a["labels"] == {"alertname": "Slow", "severity": "warning", "service": "claims"}
                           for b in r.bodies for a in b["alerts"]), what="the warning once nothing inhibits it")


def test_time_intervals_mute(alertmanager, receiver):
    r = receiver()
    s = alertmanager({"time_intervals": [{"name": "always", "time_intervals": [{}]}],
                      "route": {"receiver": "r", "group_wait": "0s", "group_interval": "1s", "routes": [
                          {"matchers": ["team=night"], "mute_time_intervals": ["always"]}]},
                      "receivers": [{"name": "r", **webhook(r)}]})
    post(s, alert(team="night"), alert(team="day"))
    wait_until(lambda: r.bodies)
    wait_until(lambda: s.metric("alertmanager_notifications_suppressed_total", reason="time_interval"))
    assert {a["labels"]["team"] for b in r.bodies for a in b["alerts"]} == {"day"}
    (muted,) = s.get('/api/v2/alerts?filter=team="night"').json
    assert muted["status"]["mutedBy"] == ["always"]


def test_routes_go_to_their_receivers(alertmanager, receiver):
    default, claims, audit = receiver(), receiver(), receiver()
    s = alertmanager({"route": {"receiver": "default", "group_wait": "0s", "group_by": ["..."], "routes": [
        {"matchers": ["severity=critical"], "receiver": "audit", "continue": True},
        {"match_re": {"service": "claims|refund"}, "receiver": "claims"}]},
        "receivers": [{"name": n, **webhook(r)} for n, r in [("default", default), ("claims", claims), ("audit", audit)]]})
    post(s, alert("A", severity="critical", service="claims"), alert("B", service="refund"), alert("C", service="passport"))
    wait_until(lambda: default.bodies and len(claims.bodies) == 2 and audit.bodies)
    assert [b["alerts"][0]["labels"]["alertname"] for b in audit.bodies + default.bodies] == ["A", "C"]
    assert sorted(b["alerts"][0]["labels"]["alertname"] for b in claims.bodies) == ["A", "B"]
    assert [r["name"] for r in s.get('/api/v2/alerts?filter=alertname="A"').json[0]["receivers"]] == ["audit", "claims"]
    assert len(s.get("/api/v2/alerts?receiver=claims").json) == 2


# ---- surviving ----

def test_kill_and_restart_keeps_alerts_and_tells_nobody_twice(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r)))
    post(s, alert(instance="a"), alert(instance="b", name="Other"))
    silence = s.post("/api/v2/silences", {"matchers": [{"name": "x", "value": "y", "isRegex": False, "isEqual": True}],
                                          "startsAt": now(), "endsAt": now(3600), "createdBy": "a", "comment": ""}).json["silenceID"]
    wait_until(lambda: len(r.bodies) == 2)
    wait_until(lambda: len(s.get("/api/v1/notifications").json) == 2)
    before = s.get("/api/v2/alerts").json
    for _ in range(3):
        s.sigkill()
        s.start()
        wait_until(lambda: len(s.get("/api/v2/alerts/groups").json) == 2)
        assert [(a["fingerprint"], a["startsAt"]) for a in s.get("/api/v2/alerts").json] == \
               [(a["fingerprint"], a["startsAt"]) for a in before]
        assert s.get(f"/api/v2/silence/{silence}").json["status"]["state"] == "active"
    # the groups have flushed after the restart: a new alert goes out, the old ones are not told again
    post(s, alert(name="New"))
    wait_until(lambda: len(r.bodies) == 3)
    time.sleep(1.5)  # longer than group_interval: time in which a second telling would arrive
    assert [b["groupLabels"]["alertname"] for b in r.bodies].count("Broken") == 1 and len(r.bodies) == 3
    s.sigkill()
    s.start()
    post(s, alert(instance="a", ends=now()))
    wait_until(lambda: len(r.bodies) == 4, what="the resolution after a restart")
    assert r.bodies[3]["status"] == "resolved"


def test_receiver_away_at_kill_is_told_after_the_restart(alertmanager, receiver):
    r = receiver((500, b""))
    s = alertmanager(config(webhook(r)))
    post(s, alert())
    wait_until(lambda: r.requests)
    s.sigkill()
    r.replies = [(200, b"")]
    s.start()
    wait_until(lambda: any(n["outcome"] == "sent" for n in s.get("/api/v1/notifications").json))


def test_reload_swaps_and_a_bad_file_changes_nothing(alertmanager, receiver):
    one, two = receiver(), receiver()
    s = alertmanager(config(webhook(one)))
    post(s, alert())
    wait_until(lambda: one.bodies)
    s.am_file.write_text("route: {receiver: r, grup_by: [x]}\nreceivers: [{name: r}]\n")
    reply = s.post("/-/reload")
    assert reply.code >= 400 and "grup_by" in reply.json["error"], reply
    assert reply.json["file"].endswith("alertmanager.yml") and (reply.json["line"], reply.json["column"]) == (1, 22)
    post(s, alert(instance="b"))
    wait_until(lambda: len(one.bodies) == 2)
    s.am_file.write_text(json.dumps(config(webhook(two))))
    assert s.post("/-/reload").code == 200
    post(s, alert(name="Third"))
    wait_until(lambda: two.bodies)
    assert [b["groupLabels"]["alertname"] for b in two.bodies] == ["Third"], "the notification log is by receiver and group"


def test_check_names_file_line_and_column(alertmanager, receiver, tmp_path):
    s = alertmanager(config(webhook(receiver())), start=False)
    s.am_file.write_text("route:\n  receiver: r\n  routes:\n  - receiver: missing\nreceivers:\n- name: r\n")
    from harness import binary
    done = subprocess.run([binary("ops-alertmanager"), "--config", s.config_file, "--check"], capture_output=True, text=True)
    assert done.returncode == 3 and "alertmanager.yml:4:15:" in done.stderr and "missing" in done.stderr, done.stderr


# ---- the API's refusals ----

@pytest.mark.parametrize("body,words", [
    ("{", None), ({}, "array"), ([1], "object"), ([{}], "labels"), ([{"labels": {}}], "label pair"),
    ([{"labels": {"a": 1}}], "text"), ([{"labels": {"a": "b"}, "startsAt": "yesterday"}], ""),
    ([{"labels": {"a": "b"}, "startsAt": now(60), "endsAt": now(-60)}], "before")])
def test_bad_alerts_are_refused(alertmanager, receiver, body, words):
    s = alertmanager(config(webhook(receiver())))
    reply = s.post("/api/v2/alerts", body, headers={"Content-Type": "application/json"})
    assert reply.code == 400, reply
    if words is not None:
        assert words in reply.json
    assert s.get("/api/v2/alerts").json == []


def test_good_alerts_of_a_bad_batch_are_taken(alertmanager, receiver):
    s = alertmanager(config(webhook(receiver())))
    reply = s.post("/api/v2/alerts", [alert("Good"), {"labels": {}}])
    assert reply.code == 400
    assert [a["labels"]["alertname"] for a in s.get("/api/v2/alerts").json] == ["Good"]


def test_viewer_may_not_change(alertmanager, receiver):
    s = alertmanager(config(webhook(receiver())), anonymous_role="viewer")
    assert s.get("/api/v2/alerts").code == 200 and s.get("/api/v2/status").json["versionInfo"]["version"]
    assert s.post("/api/v2/alerts", [alert()]).code in (401, 403)
    assert s.post("/api/v2/silences", {}).code in (401, 403)
    assert s.post("/api/note", {"alert": "0" * 16, "action": "x"}).code in (401, 403)


def test_resolve_timeout(alertmanager, receiver):
    r = receiver()
    s = alertmanager(config(webhook(r), **{"global": {"resolve_timeout": "4s"}}))
    post(s, alert())
    wait_until(lambda: r.bodies and r.bodies[-1]["status"] == "resolved", what="resolved by time")
    assert s.get("/api/v2/alerts").json == []


# ---- playbooks ----

LINES = """#!/bin/sh
echo "started $OPS_ALERT_NAME $OPS_ALERT_LABEL_service $OPS_EXTRA"
cat
echo "to stderr" >&2
printf 'no newline'
exit 3
"""


def runs(s, outcome=None):
    return [r for r in s.get("/api/v1/playbooks").json if outcome in (None, r["outcome"]) and "finishedAt" in r]


def test_playbook_gets_the_alert_and_its_lines_are_kept(alertmanager, receiver, pg):
    s = alertmanager(config(webhook(receiver())), {"lines.sh": LINES}, database=pg.conninfo("ops_alertmanager"),
                     playbook_environment={"OPS_EXTRA": "given"})
    post(s, alert(service="claims", annotations={"playbook": "lines.sh", "summary": "$(touch /tmp/no) `x`"}))
    (run,) = wait_until(lambda: runs(s))
    assert run["outcome"] == "failed" and run["exitCode"] == 3 and not run["timedOut"]
    rows = wait_until(lambda: (x := pg.query("SELECT stream, line FROM alerts.playbook_lines WHERE run_id = %s ORDER BY line_no",
                                             (run["id"],))) and len(x) == 4 and x)
    out = [line for stream, line in rows if stream == "stdout"]
    assert out[0] == "started Broken claims given" and out[2] == "no newline"
    given = json.loads(out[1])
    assert given["labels"]["service"] == "claims" and given["status"] == "firing" and given["fingerprint"] == run["fingerprint"]
    assert [line for stream, line in rows if stream == "stderr"] == ["to stderr"]
    wait_until(lambda: pg.query("SELECT exit_code, outcome, finished_at IS NOT NULL FROM alerts.playbook_runs")
               == [(3, "failed", True)])
    post(s, alert(service="claims", annotations={"playbook": "lines.sh"}))  # a repeat of the same alert
    post(s, alert(service="refund", annotations={"playbook": "lines.sh"}))
    wait_until(lambda: len(runs(s)) == 2)
    assert [r["fingerprint"] for r in runs(s)].count(run["fingerprint"]) == 1


def test_playbook_that_takes_too_long_is_ended_with_its_children(alertmanager, receiver, tmp_path):
    marker = tmp_path / "child.pid"
    script = f"#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! > {marker}\nwait\nwait\nsleep 1000\n"
    s = alertmanager(config(webhook(receiver())), {"slow.sh": script}, playbook_timeout="3s")
    post(s, alert(annotations={"playbook": "slow.sh"}))
    (run,) = wait_until(lambda: runs(s))
    assert run["timedOut"] and run["outcome"] == "timed_out" and run["signal"] == 9
    child = int(marker.read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{child}") or "Z" in open(f"/proc/{child}/stat").read().rsplit(")", 1)[1][:3],
               what="its child is gone")


@pytest.mark.parametrize("name", ["../evil.sh", "/bin/sh", ".hidden", "missing.sh", "open.sh", "plain.txt", "link.sh"])
def test_only_safe_files_of_the_folder_are_run(alertmanager, receiver, tmp_path, name):
    s = alertmanager(config(webhook(receiver())), {"open.sh": "#!/bin/sh\n", "plain.txt": "text", ".hidden": "#!/bin/sh\n"})
    (tmp_path / "playbooks/open.sh").chmod(0o777)
    (tmp_path / "playbooks/plain.txt").chmod(0o644)
    (tmp_path / "playbooks/link.sh").symlink_to("/bin/true")
    (tmp_path / "evil.sh").write_text("#!/bin/sh\n")
    (tmp_path / "evil.sh").chmod(0o755)
    post(s, alert(annotations={"playbook": name}))
    (run,) = wait_until(lambda: runs(s))
    assert run["outcome"] == "not_started" and "exitCode" not in run


def test_playbook_inherits_nothing(alertmanager, receiver, tmp_path):
    out = tmp_path / "out"
    script = (f"#!/bin/sh\nexec > {out}\nls /proc/self/fd | wc -l\ngrep NoNewPrivs /proc/self/status\n"
              "env | cut -d= -f1 | sort | grep -v -E '^(OPS_|PATH$|PWD$|_$|SHLVL$|OLDPWD$)' | wc -l\n")
    s = alertmanager(config(webhook(receiver())), {"env.sh": script})
    post(s, alert(annotations={"playbook": "env.sh"}))
    wait_until(lambda: runs(s, "succeeded"))
    fds, privs, foreign = out.read_text().splitlines()
    assert int(fds) <= 4 and privs.split() == ["NoNewPrivs:", "1"] and int(foreign) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_playbook_user(alertmanager, receiver):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        script = folder / "who.sh"
        script.write_text("#!/bin/sh\nid -un; id -G | wc -w\n")
        script.chmod(0o755)
        s = alertmanager(config(webhook(receiver())), playbook_dir=str(folder), playbook_user="nobody")
        post(s, alert(annotations={"playbook": "who.sh"}))
        (run,) = wait_until(lambda: runs(s))
        assert run["outcome"] == "succeeded" and run["lines"] == 2


def test_interrupted_playbook_is_recorded_and_not_repeated(alertmanager, receiver, tmp_path):
    log = tmp_path / "log"
    s = alertmanager(config(webhook(receiver())), {"long.sh": f"#!/bin/sh\necho x >> {log}\nsleep 60\n"})
    post(s, alert(annotations={"playbook": "long.sh"}))
    wait_until(lambda: log.exists())
    s.sigkill()
    s.start()
    (run,) = wait_until(lambda: runs(s))
    assert run["outcome"] == "interrupted"
    post(s, alert(annotations={"playbook": "long.sh"}))
    assert log.read_text() == "x\n" and len(s.get("/api/v1/playbooks").json) == 1


def test_silenced_alert_runs_no_playbook(alertmanager, receiver, tmp_path):
    s = alertmanager(config(webhook(receiver())), {"x.sh": "#!/bin/sh\n"})
    s.post("/api/v2/silences", {"matchers": [{"name": "alertname", "value": "Broken", "isRegex": False, "isEqual": True}],
                                "startsAt": now(), "endsAt": now(60), "createdBy": "a", "comment": "b"})
    post(s, alert(annotations={"playbook": "x.sh"}), alert("Free", annotations={"playbook": "x.sh"}))
    wait_until(lambda: runs(s, "succeeded"))
    (skipped,) = runs(s, "skipped_suppressed")
    assert s.metric("ops_playbook_skipped_total", reason="suppressed") == 1
    for silence in s.get("/api/v2/silences").json:
        assert http_delete(s, f"/api/v2/silence/{silence['id']}").code == 200
    s.sigkill()  # a restart does not decide anew
    s.start()
    post(s, alert("Later", annotations={"playbook": "x.sh"}))
    wait_until(lambda: len(runs(s, "succeeded")) == 2)
    assert skipped["fingerprint"] not in [r["fingerprint"] for r in runs(s, "succeeded")]


def test_cooldown_breaker_and_concurrency(alertmanager, receiver, tmp_path):
    log = tmp_path / "log"
    s = alertmanager(config(webhook(receiver())), {
        "fail.sh": "#!/bin/sh\nexit 1\n", "slow.sh": f"#!/bin/sh\necho + >> {log}\nwhile [ $(grep -c + {log}) -lt 2 ]; do sleep 0.05; done\nsleep 0.3\necho - >> {log}\n"},
        playbook_concurrency=2)
    post(s, alert("Flap", annotations={"playbook": "fail.sh"}))
    wait_until(lambda: runs(s, "failed"))
    post(s, alert("Flap", annotations={"playbook": "fail.sh"}, ends=now()))
    wait_until(lambda: s.get("/api/v2/alerts").json == [])
    post(s, {**alert("Flap", annotations={"playbook": "fail.sh"}), "startsAt": now()})
    wait_until(lambda: runs(s, "skipped_cooldown"))
    for i in range(5):
        post(s, alert(f"Fails{i}", annotations={"playbook": "fail.sh"}))
    wait_until(lambda: runs(s, "skipped_breaker"))
    assert len(runs(s, "failed")) == 5 and s.metric("ops_playbook_breaker_open", playbook="fail.sh") == 1
    post(s, *[alert(f"Slow{i}", annotations={"playbook": "slow.sh"}) for i in range(5)])
    wait_until(lambda: len(runs(s, "succeeded")) == 5)
    at_once = level = 0
    for mark in log.read_text().split():
        level += 1 if mark == "+" else -1
        at_once = max(at_once, level)
    assert at_once == 2


def test_sigterm_waits_for_a_playbook(alertmanager, receiver, tmp_path):
    done = tmp_path / "done"
    s = alertmanager(config(webhook(receiver())), {"x.sh": f"#!/bin/sh\nsleep 1\ntouch {done}\n"})
    post(s, alert(annotations={"playbook": "x.sh"}))
    wait_until(lambda: s.get("/api/v1/playbooks").json)
    s.sigterm()
    assert done.exists()
    s.start()
    assert runs(s)[0]["outcome"] == "succeeded"


# ---- history ----

def test_history_waits_for_postgresql_and_arrives_once(alertmanager, receiver, pg):
    r = receiver()
    pg.stop()
    s = alertmanager(config(webhook(r)), {"ok.sh": "#!/bin/sh\necho done\n"}, database=pg.conninfo("ops_alertmanager"))
    post(s, alert(annotations={"playbook": "ok.sh"}))
    wait_until(lambda: r.bodies and runs(s), what="alerting without a database")
    fingerprint = s.get("/api/v2/alerts").json[0]["fingerprint"]
    note = s.post("/api/note", {"alert": fingerprint, "action": "looked at it", "author": "ann"})
    assert note.code == 200 and note.json["noted"] is True
    s.sigkill()
    pg.start()
    s.start()
    wait_until(lambda: pg.query("SELECT fingerprint, author, action FROM alerts.notes") == [(fingerprint, "ann", "looked at it")])
    wait_until(lambda: pg.query("SELECT receiver, integration, outcome, fingerprints FROM alerts.notifications")
               == [("r", "webhook", "sent", [fingerprint])])
    wait_until(lambda: pg.query("SELECT outcome FROM alerts.playbook_runs") == [("succeeded",)])
    assert pg.query("SELECT line FROM alerts.playbook_lines") == [("done",)]


def test_note_refusals(alertmanager, receiver):
    s = alertmanager(config(webhook(receiver())))
    for body in ({}, {"alert": "xyz", "action": "a"}, {"alert": "0" * 16}, {"alert": "0" * 16, "action": ""},
                 {"alert": "0" * 16, "action": "a" * 5000}, {"alert": "0" * 16, "action": "a", "more": 1}):
        assert s.post("/api/note", body).code == 400, body


# ---- Alertmanager's own client ----

@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed")
def test_amtool(alertmanager, receiver):
    s = alertmanager(config(webhook(receiver())))

    def amtool(*args, code=0):
        done = subprocess.run(["amtool", f"--alertmanager.url={s.url}", *args], capture_output=True, text=True, timeout=30)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done.stdout

    amtool("alert", "add", "FromTool", "severity=critical", "--annotation=summary=hello")
    assert "FromTool" in amtool("alert", "query") and "critical" in amtool("alert", "query", "-o", "extended", "severity=critical")
    sid = amtool("silence", "add", "alertname=FromTool", "-c", "planned", "-a", "ann", "-d", "1h").strip()
    assert sid in amtool("silence", "query") and "FromTool" not in amtool("alert", "query")
    assert json.loads(amtool("silence", "query", "-o", "json"))[0]["comment"] == "planned"
    assert sid in amtool("silence", "update", "-d", "2h", sid)
    amtool("silence", "expire", sid)
    assert sid not in amtool("silence", "query") and sid in amtool("silence", "query", "--expired")
    assert "FromTool" in amtool("alert", "query")
    shown = amtool("config", "show")
    assert "receiver: " in shown and "/<secret>" in shown and "/hook" not in shown
    assert amtool("config", "routes", "test", "severity=critical").strip() == "r"


# ---- the bus ----

def test_alerts_of_the_detector_arrive_survive_and_are_in_sql(alertmanager, receiver, service, ports, tmp_path, pg):
    r = receiver()
    (tmp_path / "rules.yml").write_text(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(7) > 1\n"
        "    labels: {severity: critical}\n    annotations: {summary: 'value {{ $value }}', playbook: note.sh}\n")
    (tmp_path / "prometheus.yml").write_text("global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n")
    alerts, replay = (f"tcp://127.0.0.1:{p}" for p in ports(2))
    s = alertmanager(config(webhook(r)), {"note.sh": "#!/bin/sh\necho \"value $OPS_VALUE\"\n"},
                     database=pg.conninfo("ops_alertmanager"), alerts_url=alerts, alerts_replay_url=replay)
    # started before the detector: what it publishes is not missed
    detector = service("ops-detector", {"scrape_config_file": str(tmp_path / "prometheus.yml"), "alerts_listen": alerts,
                                        "alerts_replay_listen": replay, "samples_listen": f"tcp://127.0.0.1:{ports()}"})
    wait_until(lambda: r.bodies, what="the detector's alert")
    (a,) = r.bodies[0]["alerts"]
    assert a["labels"] == {"alertname": "Always", "severity": "critical"} and a["annotations"]["summary"] == "value 7"
    wait_until(lambda: runs(s, "succeeded"))
    wait_until(lambda: pg.query("SELECT line FROM alerts.playbook_lines") == [("value 7",)])
    fingerprint = a["fingerprint"]
    # resolved while this service is dead: it hears of it afterwards, once
    s.sigkill()
    (tmp_path / "rules.yml").write_text("groups: []\n")
    assert detector.post("/-/reload").code == 200
    s.start()
    wait_until(lambda: len(r.bodies) == 2, what="the resolution")
    assert r.bodies[1]["status"] == "resolved"
    wait_until(lambda: [x for (x,) in pg.query("SELECT status FROM alerts.transitions WHERE fingerprint = %s AND status <> 'pending' "
                                               "ORDER BY at", (fingerprint,))] == ["firing", "resolved"])
    assert len(runs(s)) == 1 and len(r.bodies) == 2


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus_sends_its_alerts_here(alertmanager, receiver, ports, tmp_path):
    r = receiver()
    s = alertmanager(config(webhook(r)))
    (tmp_path / "prom-rules.yml").write_text(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: FromPrometheus\n    expr: vector(1)\n    labels: {team: a}\n")
    (tmp_path / "prom.yml").write_text(
        f"global: {{evaluation_interval: 1s}}\nrule_files: [{tmp_path}/prom-rules.yml]\n"
        f"alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['127.0.0.1:{s.port}']}}]\n")
    with open(tmp_path / "prom.log", "wb") as log:
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prom.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{ports()}",
             "--rules.alert.resend-delay=1s"], stdout=log, stderr=log)
    try:
        wait_until(lambda: r.bodies, what="its alert")
        (a,) = r.bodies[0]["alerts"]
        assert a["labels"] == {"alertname": "FromPrometheus", "team": "a"} and "graph?g0.expr=vector" in a["generatorURL"]
        assert r.bodies[0]["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    finally:
        prometheus.terminate()
        prometheus.wait(20)
