# SPDX-License-Identifier: Apache-2.0
"""Receivers of remote write: Prometheus, VictoriaMetrics, and one of our own that takes requests apart."""
import http.server
import json
import shutil
import signal
import struct
import subprocess
import threading
import urllib.parse

from harness import free_port, http_get, wait_until


class Peer:
    """A program that listens; stop() and start() keep its data and its port."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self.program, *self.flags()], stdout=log, stderr=log, cwd=self.folder)
        wait_until(lambda: http_get(self.url + self.ready).code == 200, 60, f"{self.program} is ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def key_of(labels):
    return tuple(sorted(labels.items()))


def matrix(url, expr):
    """{labels: [(ms, value), ...]} of a range selector, as any Prometheus API answers it."""
    reply = http_get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": expr}), timeout=30)
    assert reply.code == 200, reply
    return {key_of(s["metric"]): [(round(t * 1000), float(v)) for t, v in s["values"]] for s in reply.json["data"]["result"]}


def exemplars_of(url, query):
    """{labels of a series: [(labels, value, ms), ...]} as any Prometheus API answers it."""
    reply = http_get(f"{url}/api/v1/query_exemplars?" + urllib.parse.urlencode({"query": query, "start": "0", "end": "4000000000"}), timeout=30)
    assert reply.code == 200, reply
    return {key_of(s["seriesLabels"]): [(e["labels"], float(e["value"]), round(e["timestamp"] * 1000)) for e in s["exemplars"]]
            for s in reply.json["data"]}


class Prometheus(Peer):
    program = shutil.which("prometheus")
    ready = "/-/ready"
    path = "/api/v1/write"

    def flags(self):
        config = self.folder / "prometheus.yml"
        config.write_text("{}\n")
        return [f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data", "--web.enable-remote-write-receiver",
                "--enable-feature=exemplar-storage", f"--web.listen-address=127.0.0.1:{self.port}"]

    def stored(self, name):
        return matrix(self.url, f'{{__name__=~"{name}"}}[1h]')


class VictoriaMetrics(Peer):
    program = shutil.which("victoria-metrics")
    ready = "/health"
    path = "/api/v1/write"

    def flags(self):
        # Without this it keeps a sample that came twice at the same time; Prometheus never does.
        return ["-dedup.minScrapeInterval=1ms", "-search.latencyOffset=0s", "-search.disableCache", "-selfScrapeInterval=0",
                f"-storageDataPath={self.folder}/data", f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=1y"]

    def stored(self, name):
        reply = http_get(f"{self.url}/api/v1/export?" + urllib.parse.urlencode({"match[]": f'{{__name__=~"{name}"}}'}), timeout=30)
        found = {}
        for line in reply.text.splitlines():
            s = json.loads(line)
            samples = [(t, float(v)) for t, v in zip(s["timestamps"], s["values"]) if v is not None and v == v]
            found.setdefault(key_of(s["metric"]), []).extend(samples)
        return {k: sorted(v) for k, v in found.items()}


# ---- a receiver of our own ----

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    """(number, value) of a protobuf message: int, 8 bytes or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        yield tag >> 3, value


def unsnappy(data):
    size, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                n = length - 59
                length, at = int.from_bytes(data[at:at + n], "little"), at + n
            out += data[at:at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, offset, at = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at], at + 1
        else:
            n = 2 if tag & 3 == 2 else 4
            length, offset, at = (tag >> 2) + 1, int.from_bytes(data[at:at + n], "little"), at + n
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def text_of(value):
    return value.decode()


def sample_of(message):
    found = dict(fields(message))
    return found.get(2, 0), struct.unpack("<d", found.get(1, bytes(8)))[0]


def exemplar_of(message, labels):
    found = dict(fields(message))
    return labels, struct.unpack("<d", found.get(2, bytes(8)))[0], found.get(3, 0)


def pair_of(message):
    found = dict(fields(message))
    return text_of(found[1]), text_of(found[2])


def exemplars_1(message):
    """[(labels of the series, (labels, value, ms)), ...] of a WriteRequest."""
    for number, value in fields(message):
        if number == 1:
            parts = list(fields(value))
            series = dict(pair_of(v) for n, v in parts if n == 1)
            for _, raw in (p for p in parts if p[0] == 3):
                yield series, exemplar_of(raw, dict(pair_of(v) for n, v in fields(raw) if n == 1))


def decode_1(message):
    """[(labels, samples, {})] and {family: help} of a WriteRequest."""
    series, metadata = [], {}
    for number, value in fields(message):
        if number == 1:
            parts = list(fields(value))
            labels = {text_of(dict(fields(v))[1]): text_of(dict(fields(v))[2]) for n, v in parts if n == 1}
            series.append((labels, [sample_of(v) for n, v in parts if n == 2], {}))
        elif number == 3:
            found = dict(fields(value))
            metadata[text_of(found[2])] = text_of(found.get(4, b""))
    return series, metadata


def packed(data):
    at, found = 0, []
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def exemplars_2(message):
    parts = list(fields(message))
    symbols = [text_of(v) for n, v in parts if n == 4]

    def labels_of(inner):
        refs = [r for n, v in inner if n == 1 for r in packed(v)]
        return {symbols[a]: symbols[b] for a, b in zip(refs[::2], refs[1::2])}
    for series in (list(fields(v)) for n, v in parts if n == 5):
        for raw in (v for n, v in series if n == 4):
            yield labels_of(series), exemplar_of(raw, labels_of(list(fields(raw))))


def decode_2(message):
    parts = list(fields(message))
    symbols = [text_of(v) for n, v in parts if n == 4]
    series = []
    for number, value in parts:
        if number != 5:
            continue
        inner = list(fields(value))
        refs = [r for n, v in inner if n == 1 for r in packed(v)]
        labels = {symbols[a]: symbols[b] for a, b in zip(refs[::2], refs[1::2])}
        metadata = {n: symbols[v] if n > 1 else v for m, raw in inner if m == 5 for n, v in fields(raw)}
        series.append((labels, [sample_of(v) for n, v in inner if n == 2], metadata))
    return series, {}


class Receiver(http.server.ThreadingHTTPServer):
    """answers: (status, headers) per request, then 204 for all. requests: (headers, series, metadata);
    exemplars: (labels of the series, (labels, value, ms))."""
    daemon_threads = True

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers, self.requests, self.refused = list(answers), [], 0
        self.exemplars = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def samples(self, name):
        """[(ms, value), ...] of one metric in the order of arrival."""
        return [s for _, series, _ in self.requests for labels, samples, _ in series if labels["__name__"] == name for s in samples]

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        r = self.server
        body = unsnappy(self.rfile.read(int(self.headers["Content-Length"])))
        second = "v2.Request" in self.headers["Content-Type"]
        status, headers = r.answers.pop(0) if r.answers else (204, {})
        series, metadata = decode_2(body) if second else decode_1(body)
        if status < 300:
            r.requests.append((dict(self.headers), series, metadata))
            r.exemplars += exemplars_2(body) if second else exemplars_1(body)
            if second:
                headers = {"X-Prometheus-Remote-Write-Samples-Written": sum(len(s) for _, s, _ in series), **headers}
        else:
            r.refused += 1
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass
