# SPDX-License-Identifier: Apache-2.0
"""Third-party scenarios of alert delivery in time, read where they are ($OPS_CONFORMANCE, else beside the repository)."""
import datetime
import http.server
import json
import os
import pathlib
import threading
import time

import pytest

import harness

FOLDER = pathlib.Path(os.environ.get("OPS_CONFORMANCE", harness.REPO.parent / "shared" / "conformance"))
PLAYED_AT_MOST = 3
FILE = FOLDER / "alertmanager" / "scenarios.json"
SLACK = 0.6  # on a machine that builds at the same time


def cases():
    if not FILE.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no third-party cases at {FILE}"))]
    made = []
    for c in json.loads(FILE.read_text())["cases"]:
        marks = [pytest.mark.skip(reason=f"needs the flag {c['args'][0]}")] if c.get("args") else []
        made.append(pytest.param(c, id=c["id"], marks=marks))
    return made


class Webhook:
    def __init__(self, index, behaviour, t0):
        self.got = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                at = time.time() - t0[0]
                if behaviour and behaviour["webhook"] == index and at < 3:
                    time.sleep(1)
                    return
                outer.got.append((at, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def stamp(t0, offset):
    return datetime.datetime.fromtimestamp(t0 + offset, datetime.timezone.utc).isoformat()


def run_step(s, step, t0, silences):
    if step["do"] == "post_alerts":
        alerts = []
        for a in step["alerts"]:
            x = {"labels": a["labels"], "annotations": a["annotations"]}
            for ours, theirs in (("starts_at", "startsAt"), ("ends_at", "endsAt")):
                if ours in a:
                    x[theirs] = stamp(t0, a[ours])
            alerts.append(x)
        assert s.post("/api/v2/alerts", alerts).code == 200
    elif step["do"] == "post_silence":
        spec = step.get("silence", step)
        matchers = [{"name": m["name"], "value": m["value"], "isRegex": m.get("isRegex", m.get("is_regex", False)),
                     "isEqual": m.get("isEqual", m.get("is_equal", True))} for m in spec["matchers"]]
        reply = s.post("/api/v2/silences", {"matchers": matchers, "startsAt": stamp(t0, spec["starts_at"]),
                                            "endsAt": stamp(t0, spec["ends_at"]), "createdBy": "test", "comment": "test"})
        assert reply.code == 200, reply
        silences[step.get("name", spec.get("name"))] = reply.json["silenceID"]
    elif step["do"] == "delete_silence":
        assert harness.http("DELETE", f"{s.url}/api/v2/silence/{silences[step['name']]}").code == 200
    else:
        assert step["do"] == "reload" and s.post("/-/reload").code == 200


def seconds(text, t0):
    if text.startswith("0001-"):
        return None
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - t0


def same(got, want, t0, tolerance):
    def close(a, b):
        return (a is None) == (b is None) and (a is None or abs(a - b) <= tolerance)
    left = list(got["alerts"])
    for w in want:
        hit = next((a for a in left if a["labels"] == w["labels"] and a["annotations"] == w.get("annotations", {})
                    and ("starts_at" not in w or close(seconds(a["startsAt"], t0), w["starts_at"]))
                    and close(seconds(a["endsAt"], t0), w.get("ends_at"))), None)
        if hit is None:
            return False
        left.remove(hit)
    return not left


@pytest.mark.parametrize("case", cases())
def test_scenario(case, service, ports, tmp_path):
    """The cases are written in wall-clock seconds: where the machine was too busy to keep them, the case is played again."""
    for attempt in range(PLAYED_AT_MOST):
        try:
            return play(case, service, ports, tmp_path)
        except AssertionError:
            if attempt + 1 == PLAYED_AT_MOST:
                raise


def play(case, service, ports, tmp_path):
    t0 = [time.time() + 1000]
    hooks = [Webhook(i, case.get("webhook_behaviour"), t0) for i in range(case["webhooks"])]
    text = case["config_yaml"]
    for i, h in enumerate(hooks):
        text = text.replace("{{WEBHOOK%d}}" % i, f"127.0.0.1:{h.server.server_port}")
    file = tmp_path / "alertmanager.yml"
    file.write_text(text)
    s = service("ops-alertmanager", {"alertmanager_config_file": str(file), "alerts_url": "",
                                     "events_listen": f"tcp://127.0.0.1:{ports()}",
                                     "events_replay_listen": f"tcp://127.0.0.1:{ports()}"})
    t0[0] = start = time.time()
    silences = {}
    for step in sorted(case["steps"], key=lambda x: x["at"]):
        time.sleep(max(0, start + step["at"] - time.time()))  # the scenario says when
        run_step(s, step, start, silences)
    end = max([w["to"] for w in case["want"]] + [2])
    time.sleep(max(0, start + end + SLACK - time.time()))
    tolerance = case["tolerance_s"] + SLACK
    for w in case["want"]:
        inside = [body for at, body in hooks[w["webhook"]].got if w["from"] - 0.2 <= at <= w["to"] + SLACK]
        if w["alerts"]:
            assert any(same(body, w["alerts"], start, tolerance) for body in inside), (w, hooks[w["webhook"]].got)
    for i, h in enumerate(hooks):
        wanted = sum(len(w["alerts"]) for w in case["want"] if w["webhook"] == i)
        assert sum(len(body["alerts"]) for at, body in h.got if at <= end) == wanted, h.got
        h.close()
