# SPDX-License-Identifier: Apache-2.0
"""What comes in at the collector without being asked for: pushes and StatsD, with a real detector behind it."""
import pathlib
import socket
import subprocess
import time

import pytest

from harness import binary, free_port, http, wait_until
from test_collector import Stack


@pytest.fixture
def stack(service, ports, tmp_path):
    s = Stack(service, ports, tmp_path)
    s.write([])
    return s


def push(collector, path, body="", method="PUT", **headers):
    return http(method, f"{collector.url}/metrics/{path}", body=body.encode(), headers=headers)


def receiver(stack, name="c1", **receive):
    return stack.collector(name, anonymous_role="operator", receive=receive)


def test_push_put_post_delete(stack):
    c = receiver(stack, push={"interval": "1s"})
    assert push(c, "job/backup/db/orders", "# TYPE size gauge\nsize{db=\"other\"} 5\nrows 7\n").code == 200
    wait_until(lambda: stack.query("size") == {(("__name__", "size"), ("db", "orders"), ("job", "backup")): 5.0})
    assert push(c, "job/backup/db/orders", "rows 8\n", "POST").code == 200
    wait_until(lambda: stack.value("rows") == 8 and stack.value("size") == 5)
    assert stack.value("push_time_seconds") > time.time() - 60
    assert stack.value("push_failure_time_seconds") == 0
    # a bad push changes nothing but the time of the last failure
    refused = push(c, "job/backup/db/orders", "rows{ 9\n")
    assert (refused.code, bool(refused.text)) == (400, True)
    wait_until(lambda: stack.value("push_failure_time_seconds") > 0)
    assert stack.value("rows") == 8
    assert push(c, "job/backup/db/orders", "rows 1 1000\n").code == 400
    assert push(c, "db/orders", "rows 1\n").code == 400
    # a replaced family that is gone is stale at once
    assert push(c, "job/backup/db/orders", "rows 9\n").code == 200
    wait_until(lambda: stack.value("rows") == 9 and stack.query("size") == {})
    assert push(c, "job/backup/db/orders", method="DELETE").code == 202
    wait_until(lambda: stack.query("rows") == {} and stack.query("push_time_seconds") == {})
    assert c.get("/api/v1/push/groups").json["data"] == []
    assert c.metric("ops_push_requests_total", outcome="taken") == 3
    assert c.metric("ops_push_requests_total", outcome="malformed") == 3


def test_push_survives_kill_and_ends_in_time(stack):
    c = receiver(stack, push={"interval": "1s", "max_groups": 2, "max_samples": 3})
    assert push(c, "job/a", "kept 1\n").code == 200
    assert push(c, "job/b?ttl=4s", "short 1\n").code == 200
    assert push(c, "job/c", "more 1\n").code == 429
    assert push(c, "job/a", "".join(f"x{i} 1\n" for i in range(4))).code == 429
    wait_until(lambda: stack.value("kept") == 1 and stack.value("short") == 1)
    c.sigkill()
    c.start()
    wait_until(lambda: stack.query('timestamp(kept) > time() - 3'))
    assert {g["labels"]["job"] for g in c.get("/api/v1/push/groups").json["data"]} <= {"a", "b"}
    wait_until(lambda: stack.query("short") == {} and stack.value("kept") == 1)
    wait_until(lambda: c.metric("ops_push_groups") == 1)
    files = list(pathlib.Path(c.folder).rglob("push/*.prom"))
    assert len(files) == 1 and files[0].stat().st_mode & 0o777 == 0o600


def test_push_needs_a_role(stack):
    c = stack.collector("c1", anonymous_role="viewer")
    assert push(c, "job/a", "x 1\n").code in (401, 403)


def test_statsd(stack, tmp_path):
    (tmp_path / "mapping.yml").write_text(
        "mappings:\n- match: app.*.requests\n  name: app_requests_total\n  labels: {app: $1}\n")
    udp, tcp = free_port(), free_port()
    c = receiver(stack, statsd={"listen_udp": f"127.0.0.1:{udp}", "listen_tcp": f"127.0.0.1:{tcp}", "interval": "300ms",
                                "mapping_file": str(tmp_path / "mapping.yml"), "max_series": 40})
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(10):
        sender.sendto(b"app.shop.requests:1|c|#code:200\nqueue:5|g\n", ("127.0.0.1", udp))
    sender.sendto(b"took:200|ms\nbroken\n", ("127.0.0.1", udp))
    with socket.create_connection(("127.0.0.1", tcp)) as line:
        line.sendall(b"queue:+2|g\nqueue:")
        line.sendall(b"+1|g\nlast:1|c")  # the end of the stream ends a line
    wait_until(lambda: c.metric("ops_statsd_lines_total") == 24)
    wait_until(lambda: stack.query("app_requests_total") == {
        (("__name__", "app_requests_total"), ("app", "shop"), ("code", "200"), ("instance", "c1"), ("job", "statsd")): 10.0})
    wait_until(lambda: stack.value("queue") == 8 and stack.value("last") == 1)
    assert stack.value("took_sum") == pytest.approx(0.2)
    assert stack.value('took_bucket{le="0.25"}') == 1
    assert c.metric("ops_statsd_lines_refused_total", reason="line") == 1
    sender.sendto("".join(f"more{i}:1|c\n" for i in range(60)).encode(), ("127.0.0.1", udp))
    wait_until(lambda: c.metric("ops_statsd_lines_refused_total", reason="limit") > 0)
    with socket.create_connection(("127.0.0.1", tcp)) as endless:
        try:
            for _ in range(100):
                endless.sendall(b"x" * 1000)
        except OSError:
            pass  # cut off, as it should be
    wait_until(lambda: c.metric("ops_statsd_lines_refused_total", reason="too_long") == 1)


def test_bad_settings(tmp_path):
    (tmp_path / "mapping.yml").write_text("mappings:\n- match: a\n  nam: b\n")
    config = tmp_path / "bad.yml"
    config.write_text(f"receive:\n  statsd:\n    mapping_file: {tmp_path}/mapping.yml\n")
    done = subprocess.run([binary("ops-collector"), "--config", str(config), "--check"], capture_output=True, text=True)
    assert done.returncode == 3 and "mapping.yml:3:3" in done.stdout + done.stderr
