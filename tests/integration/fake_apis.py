# SPDX-License-Identifier: Apache-2.0
"""Servers that speak what discovery asks: the Kubernetes API with its watches, Consul's catalogue, a token endpoint."""
import base64
import http.server as http_server
import json
import threading
import time
import urllib.parse


class Server(http_server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.requests = []
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.stopping = True
        with self.changed:
            self.changed.notify_all()
        self.shutdown()
        self.server_close()

    stopping = False


class Handler(http_server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def split(self):
        url = urllib.parse.urlsplit(self.path)
        return url.path, {k: v[0] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}

    def reply(self, code, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Kubernetes(Server):
    """Objects by path of their list, a log of changes with versions, watches that stream it."""

    def __init__(self):
        self.objects, self.log, self.version, self.oldest = {}, [], 100, 0
        self.token, self.page = None, 2
        super().__init__(_KubernetesHandler)

    def apply(self, kind, path, obj):
        with self.changed:
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            key = (path, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if kind == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = obj
            self.log.append((self.version, path, {"type": kind, "object": obj}))
            self.changed.notify_all()

    def add(self, path, obj):
        self.apply("ADDED", path, obj)

    def delete(self, path, obj):
        self.apply("DELETED", path, obj)

    def forget(self):
        """As etcd does when it compacts: watches from before are answered 410."""
        with self.changed:
            self.oldest = self.version + 1


class _KubernetesHandler(Handler):
    def do_GET(self):
        api = self.server
        path, query = self.split()
        api.requests.append((path, query, dict(self.headers)))
        if api.token and self.headers.get("Authorization") != "Bearer " + api.token:
            return self.reply(403, {"kind": "Status", "message": "user is not allowed to list"})
        if query.get("watch"):
            return self.watch(path, int(query["resourceVersion"]))
        with api.changed:
            items = [o for (p, _, _), o in sorted(api.objects.items()) if p == path]
            first = int(query.get("continue", 0))
            page = items[first:first + api.page]
            more = str(first + api.page) if first + api.page < len(items) else ""
            meta = {"resourceVersion": str(api.version), "continue": more}
        return self.reply(200, {"kind": "List", "metadata": meta, "items": page})

    def chunk(self, event):
        line = json.dumps(event).encode() + b"\n"
        half = len(line) // 2  # a line comes in pieces
        for piece in (line[:half], line[half:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

    def watch(self, path, version):
        api = self.server
        if version < api.oldest:
            return self.reply(410, {"kind": "Status", "message": "too old resource version"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = version
        while not api.stopping:
            with api.changed:
                news = [e for e in api.log if e[0] > sent]
                if not news:
                    api.changed.wait(0.2)
                    continue
            try:
                for number, where, event in news:
                    sent = number
                    if where == path:
                        self.chunk(event)
            except OSError:
                return None
            if version < api.oldest:
                self.chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410}})
                break
        self.close_connection = True
        return None


class Consul(Server):
    """Services of a catalogue; blocking queries wait for the index to move."""

    def __init__(self):
        self.index, self.services, self.refuses = 10, {}, False
        super().__init__(_ConsulHandler)

    def put(self, name, entries):
        with self.changed:
            self.index += 1
            self.services[name] = entries
            self.changed.notify_all()

    def drop(self, name):
        with self.changed:
            self.index += 1
            del self.services[name]
            self.changed.notify_all()


class _ConsulHandler(Handler):
    def do_GET(self):
        api = self.server
        path, query = self.split()
        api.requests.append((path, query, dict(self.headers)))
        until = time.monotonic() + 5
        with api.changed:
            while int(query.get("index", 0)) >= api.index and time.monotonic() < until and not api.stopping:
                api.changed.wait(0.2)
            index, services = api.index, dict(api.services)
        if api.refuses:
            return self.reply(403, "Permission denied")
        headers = [("X-Consul-Index", str(index))]
        if path == "/v1/agent/self":
            return self.reply(200, {"Config": {"Datacenter": "lab"}})
        if path == "/v1/catalog/services":
            tags = {n: sorted({t for e in s for t in e["Service"]["Tags"]}) for n, s in services.items()}
            return self.reply(200, tags, headers)
        if path.startswith("/v1/health/service/"):
            found = services.get(urllib.parse.unquote(path.rsplit("/", 1)[1]), [])
            return self.reply(200, found, headers)
        return self.reply(404, {})


class Tokens(Server):
    """A token endpoint for one client, which wants the secret as basic authentication or in the form."""

    def __init__(self, in_form=False, lifetime=3600):
        self.in_form, self.lifetime, self.given = in_form, lifetime, 0
        super().__init__(_TokensHandler)


class _TokensHandler(Handler):
    def do_POST(self):
        api = self.server
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        basic = "Basic " + base64.b64encode(b"client:secret").decode()
        api.requests.append((self.path, form, dict(self.headers)))
        fine = (form.get("client_secret") == ["secret"] if api.in_form else
                self.headers.get("Authorization") == basic)
        if not fine or form.get("grant_type") != ["client_credentials"]:
            return self.reply(401, {"error": "invalid_client"})
        api.given += 1
        return self.reply(200, {"access_token": f"token-{api.given}", "token_type": "Bearer",
                                "expires_in": api.lifetime})
