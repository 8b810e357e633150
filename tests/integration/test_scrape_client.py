# SPDX-License-Identifier: Apache-2.0
"""What a collector does with targets that answer in every way that HTTP allows, and in some that it does not."""
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib

import pytest

from harness import free_port, http_get, wait_until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


class RawTarget:
    """Answers each request with what `answer(connection, request)` writes; False from it ends the connection."""

    def __init__(self, answer, context=None):
        self.answer, self.context = answer, context
        self.connections, self.requests, self.resumed = 0, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
                self.resumed += connection.session_reused
            buffered = b""
            while True:
                while b"\r\n\r\n" not in buffered:
                    more = connection.recv(65536)
                    if not more:
                        return
                    buffered += more
                request, _, buffered = buffered.partition(b"\r\n\r\n")
                self.requests.append(request.decode())
                if self.answer(connection, request.decode()) is False:
                    return
        except OSError:
            pass
        finally:
            connection.close()

    def close(self):
        self.listener.close()


@pytest.fixture
def raw():
    made = []

    def make(answer, context=None):
        made.append(RawTarget(answer, context))
        return made[-1]

    yield make
    for t in made:
        t.close()


def whole(body, extra=b""):
    return HEAD + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def says(data, keep=True):
    def answer(connection, _):
        connection.sendall(data)
        return keep
    return answer


def collector(service, tmp_path, jobs, interval="1s"):
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps({"global": {"scrape_interval": interval}, "scrape_configs": jobs}))
    return service("ops-collector", {
        "scrape_config_file": str(file), "samples_url": f"tcp://127.0.0.1:{free_port()}", "members_url": "",
        "replay_listen": f"tcp://127.0.0.1:{free_port()}"})


def job(name, target, **more):
    return {"job_name": name, "static_configs": [{"targets": [getattr(target, "address", target)]}], **more}


def states(c):
    return {t["scrapePool"]: t for t in c.get("/api/v1/targets").json["data"]["activeTargets"]}


def settled(c):
    return all(t["health"] != "unknown" for t in states(c).values())


def test_ways_to_answer(service, tmp_path, raw):
    big = b"".join(b'm{i="%d"} %d\n' % (i, i) for i in range(20000))

    def in_pieces(connection, _):
        for byte in whole(b"a 1\n"):
            connection.sendall(bytes([byte]))

    def chunked(connection, _):
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(big), 70001):
            part = big[at:at + 70001]
            connection.sendall(b"%x;x=y\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\nTrailer: x\r\n\r\n")

    packed = gzip.compress(b"a 1\n") + gzip.compress(b"b 2\n")
    good = {
        "plain": says(whole(b"a 1\n")),
        "pieces": in_pieces,
        "chunked": chunked,
        "big": says(whole(big)),
        "packed": says(whole(packed, b"Content-Encoding: gzip\r\n")),
        "until_close": says(HEAD + b"\r\na 1\n", keep=False),
        "http10": says(whole(b"a 1\n").replace(b"HTTP/1.1", b"HTTP/1.0"), keep=False),
        "closes": says(whole(b"a 1\n", b"Connection: close\r\n"), keep=False),
        "interim": says(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole(b"a 1\n")),
        "empty": says(whole(b"")),
    }
    targets = {name: raw(answer) for name, answer in good.items()}
    c = collector(service, tmp_path, [job(name, t) for name, t in targets.items()], interval="2s")
    wait_until(lambda: all(len(t.requests) >= 3 for t in targets.values()) and settled(c), 60)
    for name, state in states(c).items():
        assert (state["health"], state["lastError"]) == ("up", ""), name
    # a connection is kept where the target lets us
    for name in ("plain", "pieces", "chunked", "big", "packed", "interim", "empty"):
        assert targets[name].connections == 1, name
    for name in ("until_close", "http10", "closes"):
        assert targets[name].connections > 1, name
    request = targets["plain"].requests[0].split("\r\n")
    assert request[0] == "GET /metrics HTTP/1.1"
    assert "Host: " + targets["plain"].address in request and "Accept-Encoding: gzip" in request


def test_bad_answers(service, tmp_path, raw):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = bomb.compress(b"\n" * (64 << 20)) + bomb.flush()
    rows = {
        "no_http": (b"hello\r\n\r\n", "not HTTP/1"),
        "short": (HEAD + b"Content-Length: 100\r\n\r\na 1\n", "in the middle"),
        "two_lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\na 1\n", "two lengths"),
        "no_length": (HEAD + b"Content-Length: -4\r\n\r\na 1\n", "not a number"),
        "coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"),
        "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk without a size"),
        "chunk_size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "chunk without a size"),
        "chunk_end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\na 1\n\r\n0\r\n\r\n", "longer than it says"),
        "huge_chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000000\r\n\n", "body_size_limit"),
        "huge_length": (HEAD + b"Content-Length: 99999999999\r\n\r\n", "body_size_limit"),
        "bomb": (whole(bomb, b"Content-Encoding: gzip\r\n"), "body_size_limit"),
        "bad_gzip": (whole(b"\x1f\x8b\x08 nonsense", b"Content-Encoding: gzip\r\n"), "gzip"),
        "cut_gzip": (whole(gzip.compress(b"a 1\n" * 1000)[:-9], b"Content-Encoding: gzip\r\n"), "gzip"),
        "head": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000, "too long"),
        "nul": (b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", "NUL"),
        "silent": (b"", "without an answer"),
        "status": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        "loop": (b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\n\r\n", ""),
    }
    targets = {name: raw(says(data, keep=name == "status")) for name, (data, _) in rows.items()}
    fine = raw(says(whole(b"a 1\n")))
    c = collector(service, tmp_path, [job("fine", fine)] + [job(n, t, body_size_limit="1MB") for n, t in targets.items()],
                  interval="2s")
    wait_until(lambda: settled(c) and len(fine.requests) > 1, 60)
    now = states(c)
    for name, (_, message) in rows.items():
        assert now[name]["health"] == "down" and message in now[name]["lastError"], (name, now[name]["lastError"])
    assert now["fine"]["health"] == "up"


def test_nobody_waits_for_a_slow_target(service, tmp_path, raw):
    hold = threading.Event()

    def drip(connection, _):
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        while not hold.wait(0.05):
            connection.sendall(b"\n")

    slow = [raw(drip) for _ in range(5)]
    fine = raw(says(whole(b"a 1\n")))
    c = collector(service, tmp_path, [job(f"slow{i}", t) for i, t in enumerate(slow)] + [job("fine", fine)])
    wait_until(lambda: settled(c), 60)
    before = len(fine.requests)
    wait_until(lambda: len(fine.requests) > before + 2, 60)
    now = states(c)
    assert now["fine"]["health"] == "up"
    assert all("scrape_timeout" in now[f"slow{i}"]["lastError"] for i in range(5))
    hold.set()


def test_a_connection_that_was_closed_meanwhile(service, tmp_path, raw):
    """The answer promises to keep the connection, and then the target closes it: no scrape is lost."""
    target = raw(says(whole(b"a 1\n"), keep=False))
    c = collector(service, tmp_path, [job("t", target)])
    wait_until(lambda: len(target.requests) > 4, 60)
    assert states(c)["t"]["health"] == "up"
    assert c.metric("ops_scrape_errors_total") in (None, 0)


def test_names_and_redirects(service, tmp_path, raw, target):
    there = target("a 1\n")
    port = there.address.split(":")[1]
    here = raw(says(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%s/x\r\nContent-Length: 0\r\n\r\n"
                    % port.encode()))
    c = collector(service, tmp_path, [
        job("named", f"localhost:{port}"), job("redirected", here), job("kept", here, follow_redirects=False),
        job("nowhere", "no-such-host.invalid:1", scrape_interval="2s")])
    wait_until(lambda: settled(c), 60)
    now = states(c)
    assert now["named"]["health"] == "up" and now["redirected"]["health"] == "up"
    assert now["kept"]["health"] == "down" and "307" in now["kept"]["lastError"]
    assert now["nowhere"]["health"] == "down"


@pytest.fixture
def certificates(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for name in ("one", "two"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"], check=True, capture_output=True)
    return tmp_path


def server_context(folder, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def test_tls(service, tmp_path, raw, certificates):
    kept = raw(says(whole(b"a 1\n" * 1 + b"".join(b"m%d 1\n" % i for i in range(10000)))), server_context(certificates, "one"))
    closing = raw(says(whole(b"a 1\n", b"Connection: close\r\n"), keep=False), server_context(certificates, "one"))
    stranger = raw(says(whole(b"a 1\n")), server_context(certificates, "two"))
    plain = raw(says(whole(b"a 1\n")))
    tls = {"scheme": "https", "tls_config": {"ca_file": str(certificates / "one.pem")}}
    c = collector(service, tmp_path, [
        job("kept", kept, **tls), job("closing", closing, **tls), job("stranger", stranger, **tls), job("plain", plain, **tls),
        job("trusting", stranger, scheme="https", tls_config={"insecure_skip_verify": True})], interval="2s")
    wait_until(lambda: settled(c) and len(kept.requests) > 2 and closing.connections > 2, 60)
    now = states(c)
    assert {n: s["health"] for n, s in now.items()} == {
        "kept": "up", "closing": "up", "trusting": "up", "stranger": "down", "plain": "down"}
    assert "certificate" in now["stranger"]["lastError"]
    assert kept.connections == 1
    # a new connection resumes the session of the one before
    wait_until(lambda: closing.resumed >= 1, 60)
    assert c.metric("ops_scrape_tls_sessions_resumed_total") >= 1


def test_stays_small(service, tmp_path, raw):
    """Answers that are refused for their size do not leave their memory behind."""
    target = raw(says(whole(b"\n" * (2 << 20))))
    c = collector(service, tmp_path, [job("t", target, body_size_limit="4MB")])
    wait_until(lambda: len(target.requests) > 2, 60)
    started = time.monotonic()
    assert http_get(f"{c.url}/-/healthy").code == 200 and time.monotonic() - started < 20
    assert states(c)["t"]["health"] == "up"
