# SPDX-License-Identifier: Apache-2.0
"""Bytes per sample on disk: the same document of a typical service into the blocks of each store, merged, index included."""
import os
import pathlib
import resource
import subprocess
import time
import urllib.request

import peers
from measure import cpu_seconds, disk_bytes, free_port, harness, http_get, knob, median_range, table, wait_until

INSTANCES = int(os.environ.get("BENCH_INSTANCES", 20))
SERIES, ROWS, WINDOW_S = 1000, 300, 7200


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def by_command(command):
    before = children_cpu()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return children_cpu() - before


def ours(document, folder):
    cpu = by_command([harness.binary("opsctl"), "tsdb", "create-blocks-from", "openmetrics", document, folder])
    return disk_bytes(folder), cpu


def prometheus(document, folder):
    cpu = by_command(["promtool", "tsdb", "create-blocks-from", "openmetrics", document, folder])
    return disk_bytes(folder), cpu


def victoria_metrics(document, folder):
    """Imported over HTTP, flushed, its parts merged into one; the size is what it says of its data and index."""
    folder.mkdir()
    (folder / "none.yml").write_text("scrape_configs: []\n")
    peer = peers.VictoriaMetrics(folder, folder / "none.yml")
    try:
        with open(document, "rb") as data:
            request = urllib.request.Request(f"{peer.url}/api/v1/import/prometheus", data=in_milliseconds(data), method="POST")
            urllib.request.urlopen(request, timeout=600).close()
        wait_until(lambda: peer.samples() >= INSTANCES * SERIES * ROWS, 300, "everything is imported")
        http_get(f"{peer.url}/internal/force_flush")
        http_get(f"{peer.url}/internal/force_merge")
        time.sleep(5)  # merging starts after the answer
        wait_until(lambda: peers.metric_sum(f"{peer.url}/metrics", "vm_active_force_merges") == 0, 300, "parts are merged")
        sizes = [line.split() for line in http_get(f"{peer.url}/metrics").text.splitlines() if line.startswith("vm_data_size_bytes{")]
        return sum(float(value) for _, value in sizes), cpu_seconds(peer.pids())
    finally:
        peer.process.kill()
        peer.process.wait()


def in_milliseconds(lines):
    """The same lines with times as the text format has them, in pieces."""
    piece = []
    for line in lines:
        if line.startswith(b"#"):
            continue
        series, value, seconds = line.rsplit(b" ", 2)
        piece.append(b"%s %s %s\n" % (series, value, seconds.strip().replace(b".", b"")))
        if len(piece) == 5000:
            yield b"".join(piece)
            piece = []
    yield b"".join(piece)


def disk(folder):
    samples = INSTANCES * SERIES * ROWS
    document = folder / "samples.txt"
    start = int(time.time() - 2 * WINDOW_S) // WINDOW_S * WINDOW_S
    build, generator = os.environ["OPS_BUILD"], "tests/bench/bench_store"
    subprocess.run(["ninja", "-C", build, generator], check=True, stdout=subprocess.DEVNULL)
    with open(document, "wb") as out:
        subprocess.run([pathlib.Path(build) / generator, str(INSTANCES), str(start)], stdout=out, check=True)
    print(f"disk: {INSTANCES * SERIES} series, {ROWS} samples each at 15 s, {samples / 1e6:.1f} million", flush=True)
    stores = [("hms-ops", ours)]
    stores += [("prometheus", prometheus)] if peers.Prometheus.program else []
    stores += [("victoria-metrics", victoria_metrics)] if peers.VictoriaMetrics.program else []
    rows = []
    for name, make in stores:
        size, cpu = make(document, folder / name)
        rows.append((name, f"{size / samples:.2f}", f"{cpu * 1e6 / samples:.2f}"))
    table(("store", "bytes per sample", "CPU s per million"), rows, "merged, index included")


def scale_program():
    build, program = os.environ["OPS_BUILD"], "tests/bench/bench_scale"
    subprocess.run(["ninja", "-C", build, program], check=True, stdout=subprocess.DEVNULL)
    return pathlib.Path(build) / program


def opening(folder):
    """The detector on a store of 200 000 series with two hours of samples: from its start to its first answer."""
    series, rows = knob("OPEN_SERIES", 200000), knob("OPEN_ROWS", 480)
    detector = harness.Service("ops-detector", folder / "detector", {
        "samples_listen": f"tcp://127.0.0.1:{free_port()}", "alerts_listen": f"tcp://127.0.0.1:{free_port()}",
        "alerts_replay_listen": f"tcp://127.0.0.1:{free_port()}"})
    tsdb = detector.state_dir / "tsdb"
    tsdb.mkdir(parents=True)
    subprocess.run([scale_program(), "fill", tsdb, str(series), str(rows)], check=True)
    found = []
    for _ in range(knob("REPEATS", 5)):
        begin = time.monotonic()
        detector.start(ready=False)
        try:
            wait_until(lambda: first_answer(detector), 60, "the first answer", 0.005)
            found.append(time.monotonic() - begin)
        finally:
            detector.sigkill()
    table(("start to first answer", "median s", "(min..max)"), [(f"{series} series x {rows}", *median_range(found))])


def first_answer(detector):
    reply = detector.get("/api/v1/query?query=count(rate(bench_7_total%7Bjob%3D%22t3%22%7D%5B5m%5D))")
    return reply.code == 200 and reply.json["data"]["result"] and reply.json["data"]["result"][0]["value"][1] == "20"


def growth(folder):
    """Costs per sample and per series at 10 000, 100 000 and 1 000 000 series, in one process without scraping."""
    subprocess.run([scale_program()], check=True, env={**os.environ, "TMPDIR": str(folder)})
