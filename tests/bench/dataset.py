# SPDX-License-Identifier: Apache-2.0
"""What a typical service shows, made up: request counters, cumulative latency buckets, gauges with decimals, constants; and the
remote write 1.0 request that carries it (protobuf by hand, snappy as literals)."""
import random
import struct
import urllib.request

HANDLERS, CODES, METHODS = 20, ("200", "201", "400", "404", "500"), ("GET", "POST")
LE = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "+Inf")


class Series:
    """A label set and the next value, one call per step."""

    def __init__(self, labels, step):
        self.labels, self.step = labels, step


def service(instance, rnd):
    """About 1000 series of one instance."""
    base = {"instance": f"10.0.{instance // 250}.{instance % 250}:8080", "job": f"portal-{instance % 4}", "zone": f"z{instance % 3}"}
    made = []

    def counter(name, rate, **labels):
        total = [float(rnd.randrange(100000))]

        def step():
            total[0] += rnd.randrange(2 * rate + 1) if rate else 0
            return total[0]
        made.append(Series({"__name__": name, **base, **labels}, step))

    def gauge(name, around, digits, **labels):
        value = [around]

        def step():
            value[0] = round(value[0] + rnd.uniform(-0.02, 0.02) * around, digits)
            return value[0]
        made.append(Series({"__name__": name, **base, **labels}, step))

    def histogram(name, rate, **labels):
        counts, total = [0] * len(LE), [0.0]
        turn = [-1]

        def advance():
            for _ in range(rnd.randrange(rate + 1)):
                k = min(len(LE) - 1, int(rnd.gauss(5, 2)) if rnd.random() < 0.98 else 11)
                for i in range(max(k, 0), len(LE)):
                    counts[i] += 1
                total[0] += max(k, 0) * 0.037

        def bucket(i):
            def step():
                if i == 0:
                    turn[0] += 1
                    advance()
                return float(counts[i])
            return step
        for i, le in enumerate(LE):
            made.append(Series({"__name__": f"{name}_bucket", **base, **labels, "le": le}, bucket(i)))
        made.append(Series({"__name__": f"{name}_count", **base, **labels}, lambda: float(counts[-1])))
        made.append(Series({"__name__": f"{name}_sum", **base, **labels}, lambda: round(total[0], 3)))

    for h in range(HANDLERS):
        handler = f"/api/v1/resource/{h}"
        histogram("http_request_duration_seconds", 12 if h < 6 else 1, handler=handler)
        for code in CODES:
            for method in METHODS:
                busy = h < 6 and code in ("200", "201")
                counter("http_requests_total", 40 if busy else (1 if code == "200" else 0), handler=handler, code=code, method=method)
    for cpu in range(16):
        for mode in ("idle", "user", "system", "iowait", "irq", "softirq", "steal", "nice"):
            counter("node_cpu_seconds_total", 15 if mode in ("idle", "user") else 0, cpu=str(cpu), mode=mode)
    for k in range(160):
        gauge("process_resident_memory_bytes", 3e8 + k * 4096, 0, worker=str(k))
        gauge("queue_latency_seconds", 0.25, 4, worker=str(k))
    for k in range(100):
        gauge("build_info", 1.0, 0, component=f"c{k}", version="2.5.1")
    return made


def services(count, seed=1):
    rnd = random.Random(seed)
    return [s for i in range(count) for s in service(i, rnd)]


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def label_bytes(labels):
    return b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in sorted(labels.items()))


def sample_bytes(t, v):
    stamp = varint(t)
    return b"\x12" + varint(9 + 1 + len(stamp)) + b"\x09" + struct.pack("<d", v) + b"\x10" + stamp


def snappy_literals(data):
    out = bytearray(varint(len(data)))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return bytes(out)


def push(url, body):
    request = urllib.request.Request(f"{url}/api/v1/write", snappy_literals(body), {
        "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"})
    urllib.request.urlopen(request, timeout=60).read()


def feed(urls, series, start_ms, steps, step_ms, batch=5000, per_request=1):
    """The same samples to all, in order of time. Values advance: a list of series is fed once."""
    names = [label_bytes(s.labels) for s in series]
    for step in range(0, steps, per_request):
        n = min(per_request, steps - step)
        rows = [[s.step() for s in series] for _ in range(n)]
        for at in range(0, len(series), batch):
            body = b"".join(field(1, names[i] + b"".join(sample_bytes(start_ms + (step + k) * step_ms, rows[k][i]) for k in range(n)))
                            for i in range(at, min(at + batch, len(series))))
            for url in urls:
                push(url, body)
