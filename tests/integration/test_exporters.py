# SPDX-License-Identifier: Apache-2.0
"""The exporters that Debian has, scraped as people scrape them, into a real detector."""
import os
import shutil
import signal
import subprocess

import pytest

import harness
from harness import http, http_get, wait_until
from test_collector import Stack, active, job


@pytest.fixture
def stack(service, ports, tmp_path):
    s = Stack(service, ports, tmp_path)
    write = s.write
    s.write = lambda jobs: write(jobs, scrape_interval="2s", scrape_timeout="2s")
    return s


@pytest.fixture
def exporter(ports, tmp_path):
    """exporter("prometheus-node-exporter", *arguments) -> its address; skips where the package is not installed."""
    started = []

    def make(name, *arguments, **environment):
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed")
        address = f"127.0.0.1:{ports()}"
        log = open(tmp_path / f"{name}.log", "wb")
        started.append(subprocess.Popen(
            [program, f"--web.listen-address={address}", *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp_path,
            env={**os.environ, **environment}, preexec_fn=harness.die_with_parent(signal.SIGKILL)))
        log.close()
        wait_until(lambda: http_get(f"http://{address}/metrics").code == 200, what=f"{name} answers")
        return address

    yield make
    for process in started:
        process.terminate()
        process.wait(20)


def up(stack, name):
    return stack.value(f'up{{job="{name}"}}') == 1


def test_node_exporter(stack, exporter):
    address = exporter("prometheus-node-exporter", "--collector.disable-defaults", "--collector.uname", "--collector.loadavg",
                       "--collector.meminfo", "--collector.stat", "--collector.time")
    stack.write([job("node", address), job("packed", address, enable_compression=False)])
    c = stack.collector()
    wait_until(lambda: up(stack, "node") and up(stack, "packed"))
    assert stack.value('node_uname_info{job="node",sysname="Linux"}') == 1
    assert stack.value('node_memory_MemTotal_bytes{job="node"}') > 1 << 20
    wait_until(lambda: c.metric("ops_scrape_bodies_total", way="compared") > 0)
    assert stack.value('scrape_samples_scraped{job="node"}') > 50
    kinds = stack.detector.get("/api/v1/metadata?metric=node_context_switches_total").json["data"]
    assert kinds["node_context_switches_total"][0]["type"] == "counter"


def test_postgres_exporter(stack, exporter, pg):
    where = dict(pair.split("=", 1) for pair in pg.conninfo("postgres").split())
    address = exporter("prometheus-postgres-exporter", DATA_SOURCE_NAME=" ".join(
        f"{k}={v}" for k, v in {**where, "sslmode": "disable"}.items() if k in ("host", "port", "user", "dbname", "password", "sslmode")))
    stack.write([job("postgres", address)])
    stack.collector()
    wait_until(lambda: up(stack, "postgres") and stack.value("pg_up") == 1)
    sizes = stack.query("pg_database_size_bytes")
    assert len(sizes) >= 2 and all(v > 0 for v in sizes.values())


def test_blackbox_exporter_by_the_relabel_pattern(stack, exporter, target, tmp_path):
    config = tmp_path / "blackbox.yml"
    config.write_text("modules: {http_2xx: {prober: http, timeout: 900ms, http: {preferred_ip_protocol: ip4}}}\n")
    address = exporter("prometheus-blackbox-exporter", f"--config.file={config}")
    good, bad = target("fine\n"), target("gone\n")
    bad.status = 500
    probes = {"job_name": "probe", "metrics_path": "/probe", "params": {"module": ["http_2xx"]}, "relabel_configs": [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": address}], "static_configs": [{"targets": [t.address for t in (good, bad)]}]}
    stack.write([probes])
    c = stack.collector()
    wait_until(lambda: stack.value(f'probe_success{{instance="{good.address}"}}') == 1)
    wait_until(lambda: stack.value(f'probe_success{{instance="{bad.address}"}}') == 0)
    assert stack.value(f'probe_http_status_code{{instance="{bad.address}"}}') == 500
    assert all(t["scrapeUrl"].startswith(f"http://{address}/probe?") for t in active(c))


def test_pushgateway_as_a_target(stack, exporter):
    address = exporter("prometheus-pushgateway")
    url = f"http://{address}/metrics/job/backup/instance/db1"
    assert http("PUT", url, body=b"# TYPE rows gauge\nrows 7\n").code in (200, 202)
    stack.write([job("pushgateway", address, honor_labels=True)])
    stack.collector()
    wait_until(lambda: up(stack, "pushgateway"))
    wait_until(lambda: stack.query("rows") == {(("__name__", "rows"), ("instance", "db1"), ("job", "backup")): 7})
    assert stack.value('push_time_seconds{job="backup"}') > 0
    assert http("DELETE", url).code == 202
    wait_until(lambda: stack.query("rows") == {})
