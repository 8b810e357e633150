# SPDX-License-Identifier: Apache-2.0
"""What the integration tests stand on: real processes, a real private PostgreSQL, no sleeps.

Import from here (`from harness import wait_until, http_json`); the fixtures are in conftest.py.
"""
import ctypes
import gzip
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http import server as http_server

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OPS_BUILD", REPO / "build")).resolve()
SANITIZER = re.compile(r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")
PR_SET_PDEATHSIG = 1


PATIENCE_S = 60.0  # a limit only: how slow a machine may be before we say that something never happens


def wait_until(cond, timeout=PATIENCE_S, what=None, interval=0.02):
    """Polls cond() until it is true and returns its value; the last exception or value is in the failure."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = cond()
            if last:
                return last
        except Exception as e:  # noqa: BLE001: a condition may fail until it holds
            last = e
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or cond.__name__}; last: {last!r}")
        time.sleep(interval)


def _ports_below_ephemeral():
    """Ports that the system gives to no outgoing connection, in an order of this run's own."""
    try:
        end = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        end = 32768
    ports = list(range(10000, max(end, 20000)))
    random.shuffle(ports)
    return ports


_ports = _ports_below_ephemeral()


def free_port():
    """A port that is free now, for tcp and udp, and is handed out once. None of those that connections are made from: a service
    would find it taken by one of the many that the tests make."""
    while True:
        port = _ports.pop()
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("", port))
                udp.bind(("", port))
                return port
            except OSError:
                pass


class Reply:
    def __init__(self, code, headers, body):
        self.code, self.headers, self.body = code, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.code} {self.text[:500]!r}>"


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _KeepRedirects)


def http(method, url, body=None, headers=None, timeout=30):
    """One request. body: bytes, str, or anything else as JSON. Every status is a Reply; no connection raises OSError."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with _opener.open(request, timeout=timeout) as r:
            return Reply(r.status, r.headers, r.read())
    except urllib.error.HTTPError as e:
        return Reply(e.code, e.headers, e.read())


def http_get(url, **kw):
    return http("GET", url, **kw)


def http_post(url, body=None, **kw):
    return http("POST", url, body if body is not None else b"", **kw)


def binary(name):
    """A program of the build tree, or of an installed prefix, named by $OPS_BUILD."""
    folder = "cli" if name == "opsctl" else "services/" + name.replace("ops-", "", 1)
    for path in (BUILD / folder / name, BUILD / "bin" / name, BUILD / "examples/ocm/portal" / name):
        if path.is_file():
            return path
    raise AssertionError(f"{name} is not built in {BUILD} (set OPS_BUILD)")


def _plain(value):
    """A scalar of our YAML: plain when it can only be read one way, double-quoted otherwise."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    if re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./:@%+*?=-]*", text) and not text.endswith(":"):
        return text
    return json.dumps(text)


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars."""
    pad = "  " * indent
    if isinstance(value, dict):
        if not value:
            return pad + "{}\n"
        return "".join(
            f"{pad}{k}:\n{to_yaml(v, indent + 1)}" if isinstance(v, (dict, list)) else f"{pad}{k}: {_plain(v)}\n"
            for k, v in value.items() if v is not None)
    if isinstance(value, list):
        if not value:
            return pad + "[]\n"
        return "".join(
            f"{pad}- {to_yaml(v, indent + 1).lstrip()}" if isinstance(v, (dict, list)) else f"{pad}- {_plain(v)}\n"
            for v in value)
    return pad + _plain(value) + "\n"


def die_with_parent(sig):
    """preexec_fn: the kernel ends the child when the test run is killed."""
    libc = ctypes.CDLL(None)

    def fn():
        libc.prctl(PR_SET_PDEATHSIG, sig)
    return fn


def session_members(pid):
    """Live processes of the session that pid led."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class Service:
    """One process of ours: its configuration, its life, its log.

    config is a dict (merged over listen, state_dir, bus.key_file, anonymous_role: operator) or the whole
    text of the file. Every run appends to the same log file.
    """

    def __init__(self, name, folder, config=None, port=None, env=None, args=(), key_file=None):
        self.name, self.folder = name, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state_dir = self.folder / "state"
        self.config_file = self.folder / f"{name}.yml"
        self.log_file = self.folder / f"{name}.log"
        self.env, self.args, self.key_file = dict(env or {}), list(args), key_file
        self.process = None
        self._checked_to = 0
        self.write_config(config or {})

    def write_config(self, config):
        if isinstance(config, str):
            self.config_file.write_text(config)
            return
        whole = {"listen": f"127.0.0.1:{self.port}", "state_dir": str(self.state_dir), "anonymous_role": "operator"}
        if self.key_file:
            whole["bus"] = {"key_file": str(self.key_file)}
        for key, value in config.items():
            if isinstance(value, dict) and isinstance(whole.get(key), dict):
                whole[key] = {**whole[key], **value}
            else:
                whole[key] = value
        self.config_file.write_text(to_yaml(whole))

    def environment(self):
        env = {**os.environ, **self.env}
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        env.setdefault("LSAN_OPTIONS", f"print_suppressions=0:suppressions={REPO / 'tests/integration/lsan.supp'}")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        return env

    def start(self, ready=True, timeout=PATIENCE_S):
        assert not self.running(), f"{self.name} runs already"
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [str(binary(self.name)), "--config", str(self.config_file), *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(), cwd=self.folder,
                start_new_session=True, preexec_fn=die_with_parent(signal.SIGKILL))
        if ready:
            self.wait_ready(timeout)
        return self

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _answers(self, path):
        if not self.running():
            raise RuntimeError(f"{self.name} exited with {self.process.returncode}:\n{self.log_text()[-4000:]}")
        try:
            return self.get(path).code == 200
        except OSError:
            return False

    def wait_ready(self, timeout=PATIENCE_S):
        self._wait(lambda: self._answers("/-/ready"), timeout, "ready")

    def wait_up(self, timeout=PATIENCE_S):
        """The door is open, whether ready or not."""
        self._wait(lambda: self._answers("/-/healthy"), timeout, "up")

    def _wait(self, cond, timeout, what):
        deadline = time.monotonic() + timeout
        while not cond():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not {what} after {timeout} s:\n{self.log_text()[-4000:]}")
            time.sleep(0.02)

    def signal(self, sig):
        assert self.running(), f"{self.name} does not run"
        self.process.send_signal(sig)

    def sigkill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def sigstop(self):
        self.signal(signal.SIGSTOP)

    def sigcont(self):
        self.signal(signal.SIGCONT)

    def sighup(self):
        self.signal(signal.SIGHUP)

    def sigterm(self, timeout=PATIENCE_S):
        """Drains; exit status 0 and no sanitizer report."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(10)
            raise AssertionError(f"{self.name} did not drain in {timeout} s:\n{self.log_text()[-4000:]}") from None
        assert code == 0, f"{self.name} exited with {code}:\n{self.log_text()[-4000:]}"
        self.assert_clean()

    def restart(self, ready=True):
        self.sigterm()
        return self.start(ready)

    def wait_exit(self, timeout=PATIENCE_S):
        return self.process.wait(timeout)

    def assert_clean(self):
        text = self.log_text()
        report = SANITIZER.search(text, self._checked_to)
        self._checked_to = len(text)
        assert not report, f"{self.name}: sanitizer report:\n{text[max(0, report.start() - 500):][:6000]}"

    def close(self):
        """For teardown: ends it as it should end, and looks for what it left behind."""
        if self.process is None:
            return
        pid = self.process.pid
        try:
            if self.running():
                self.sigcont()
                self.sigterm()
            self.assert_clean()
        finally:
            if self.running():
                self.process.kill()
                self.process.wait(10)
            left = session_members(pid)
            for child in left:
                os.kill(child, signal.SIGKILL)
        assert not left, f"{self.name} left processes behind: {left}"

    def log_text(self):
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def logs(self, message=None):
        """The JSON lines of the log, or those with this message."""
        lines = [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]
        return [x for x in lines if message is None or x.get("message") == message]

    def get(self, path, **kw):
        return http_get(self.url + path, **kw)

    def post(self, path, body=None, **kw):
        return http_post(self.url + path, body, **kw)

    def metric(self, name, **labels):
        """Sum of the samples of this name that carry these labels; None when there is none."""
        total = None
        for line in self.get("/metrics").text.splitlines():
            m = re.fullmatch(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?", line)
            if m and m[1] == name:
                have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total = (total or 0.0) + float(m[3])
        return total


def opsctl(*args, check=None, env=None, timeout=60, input=None):  # noqa: A002
    """Runs opsctl; with check=N asserts the exit status."""
    done = subprocess.run([str(binary("opsctl")), *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})}, input=input)
    assert not SANITIZER.search(done.stderr), done.stderr
    if check is not None:
        assert done.returncode == check, f"opsctl {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Target(http_server.ThreadingHTTPServer):
    """An exporter whose answer a test can change at any time."""
    daemon_threads = True

    def __init__(self, body="", content_type="text/plain; version=0.0.4"):
        super().__init__(("127.0.0.1", 0), _TargetHandler)
        self.body, self.content_type, self.status = body, content_type, 200
        self.delay, self.compress, self.headers = 0, False, {}
        self.requests = []
        self.gate = threading.Event()  # cleared: answers wait for it
        self.gate.set()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


class _TargetHandler(http_server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        t = self.server
        t.requests.append((self.path, dict(self.headers)))
        t.gate.wait(60)
        if t.delay:
            time.sleep(t.delay)
        body = t.body  # once: some targets make a new one each time
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(t.status)
        if t.content_type:
            self.send_header("Content-Type", t.content_type)
        for name, value in t.headers.items():
            self.send_header(name, value)
        if t.compress:
            assert "gzip" in self.headers.get("Accept-Encoding", "")
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *args):
        pass


class PgCluster:
    """A private PostgreSQL server: own data directory, unix socket and tcp port, trust for local users."""

    def __init__(self):
        self.bin = self.find_bin()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ops-pg-", dir="/tmp"))
        self.data, self.log_file = self.folder / "data", self.folder / "log"
        self.port = free_port()
        self.process = None
        self.user = {}
        if os.geteuid() == 0:
            postgres = pwd.getpwnam("postgres")
            os.chown(self.folder, postgres.pw_uid, postgres.pw_gid)
            self.user = {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}
        self.folder.chmod(0o755)
        subprocess.run([self.bin / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                        "--auth=trust", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/", **self.user)

    @staticmethod
    def find_bin():
        on_path = shutil.which("initdb")
        found = [pathlib.Path(on_path).parent] if on_path else []
        found += sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        found = [p for p in found if (p / "postgres").exists()]
        if not found:
            raise FileNotFoundError("no PostgreSQL server programs (initdb, postgres) on this machine")
        return found[-1]

    def start(self):
        assert self.process is None
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1",
                 "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60", "-c", "log_min_messages=warning"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT), **self.user)
        wait_until(self._answers, what="PostgreSQL answers")

    def _answers(self):
        import psycopg2
        if self.process.poll() is not None:
            raise RuntimeError(f"postgres exited: {self.log_file.read_text()[-2000:]}")
        psycopg2.connect(self.conninfo("postgres")).close()
        return True

    def stop(self, sig=signal.SIGINT):
        """SIGINT: fast; SIGQUIT: immediate, as if it had crashed."""
        if self.process is None:
            return
        self.process.send_signal(sig)
        self.process.wait(30)
        self.process = None

    def running(self):
        return self.process is not None

    def conninfo(self, database, user="postgres", tcp=False):
        host = "hostaddr=127.0.0.1" if tcp else f"host={self.folder}"
        return f"{host} port={self.port} dbname={database} user={user}"

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class PgDatabase:
    """One test's own migrated database in the cluster."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def conninfo(self, user="postgres", tcp=True):
        return self.cluster.conninfo(self.name, user, tcp)

    def query(self, sql, params=None, user="postgres"):
        """Runs one statement in its own connection and transaction; the rows, or None."""
        import psycopg2
        connection = psycopg2.connect(self.conninfo(user, tcp=False))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, params)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def value(self, sql, params=None, user="postgres"):
        return self.query(sql, params, user)[0][0]

    def stop(self, sig=signal.SIGINT):
        """The database is away (the whole cluster)."""
        self.cluster.stop(sig)

    def start(self):
        self.cluster.start()


def migrate(cluster, database):
    """As a user does it: opsctl db migrate; by psql while there is no opsctl in the build."""
    sql = REPO / "deploy" / "sql"
    try:
        program = binary("opsctl")
    except AssertionError:
        for file in sorted(sql.glob("[0-9]*.sql")):
            subprocess.run([cluster.bin / "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", file,
                            cluster.conninfo(database)], check=True)
        return
    subprocess.run([program, "db", "migrate", "--database", cluster.conninfo(database), "--dir", sql], check=True,
                   stdout=subprocess.DEVNULL)
