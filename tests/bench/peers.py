# SPDX-License-Identifier: Apache-2.0
"""The programs that are measured, each with the same face: pids, write and query addresses, what it has stored."""
import pathlib
import shutil
import signal
import subprocess

from measure import free_port, harness, http_get, version_of, wait_until


def scrape_config(folder, port, targets, interval, alertmanager=None, one_job=False):
    """A prometheus.yml with one job per fake target, or one for all, and rules.yml beside it where there is one."""
    jobs = "".join(f"- job_name: t{i}\n  metrics_path: /{i}\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n" for i in range(targets))
    if one_job:
        jobs = "- job_name: bench\n  static_configs:\n" + "".join(
            f"  - {{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /{i}, instance: '{i}'}}}}\n" for i in range(targets))
    rules = "rule_files: [rules.yml]\n" if (folder / "rules.yml").exists() else ""
    alerting = f"alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: ['127.0.0.1:{alertmanager}']\n" if alertmanager else ""
    text = f"global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}\n{rules}{alerting}"
    path = folder / "prometheus.yml"
    path.write_text(text + (f"scrape_configs:\n{jobs}" if targets else ""))
    return path


def metric_sum(url, *names):
    """Sum of the series of these names on a /metrics page."""
    total = 0.0
    for line in http_get(url).text.splitlines():
        if line.split("{")[0].split(" ")[0] in names:
            total += float(line.split()[-1])
    return total


class Ours:
    name = "hms-ops (collector + detector)"
    agent = "ops-collector"

    def __init__(self, folder, config):
        samples, self.alerts, replay, ring = (f"tcp://127.0.0.1:{free_port()}" for _ in range(4))
        self.folder = folder / "detector"
        self.detector = harness.Service("ops-detector", self.folder, {
            "scrape_config_file": str(config), "samples_listen": samples, "alerts_listen": self.alerts, "alerts_replay_listen": replay})
        self.collector = harness.Service("ops-collector", folder / "collector", {
            "scrape_config_file": str(config), "samples_url": samples, "members_url": self.alerts, "replay_listen": ring})
        self.detector.start()
        self.collector.start()
        self.url = self.detector.url

    @staticmethod
    def version():
        return version_of(harness.binary("ops-detector"))

    def pids(self):
        return [self.collector.process.pid, self.detector.process.pid]

    def samples(self):
        return self.detector.metric("ops_detector_samples_ingested_total") or 0

    def series(self):
        return self.detector.metric("ops_detector_series") or 0

    def evaluations(self):
        return metric_sum(f"{self.url}/metrics", "ops_detector_rule_evaluations_total")

    def reload(self):
        self.detector.process.send_signal(signal.SIGHUP)

    def close(self):
        self.collector.close()
        self.detector.close()


class Process:
    """A peer that is one program with one port."""

    def __init__(self, folder, config, extra=()):
        self.port = free_port()
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        command = [self.program, *self.flags(folder, config), *extra]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(folder / "log", "wb"), cwd=folder)
        wait_until(self.ready, 30, f"{self.name} is ready")

    def ready(self):
        return http_get(f"{self.url}/-/ready").code == 200

    def version(self):
        return version_of(self.program)

    def pids(self):
        return [self.process.pid]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Prometheus(Process):
    name = "prometheus"
    agent = "Prometheus"
    program = shutil.which("prometheus")

    def flags(self, folder, config):
        return [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-remote-write-receiver", "--web.enable-admin-api"]

    def samples(self):
        return metric_sum(f"{self.url}/metrics", "prometheus_tsdb_head_samples_appended_total")

    def series(self):
        return metric_sum(f"{self.url}/metrics", "prometheus_tsdb_head_series")

    def evaluations(self):
        return metric_sum(f"{self.url}/metrics", "prometheus_rule_evaluations_total")


class VictoriaMetrics(Process):
    name = "victoria-metrics"
    agent = "vm_promscrape"
    program = shutil.which("victoria-metrics")

    def __init__(self, folder, config, rules=None):
        super().__init__(folder, config)
        self.alerter = None
        if rules:
            self.alerter_port = free_port()
            self.alerter = subprocess.Popen(
                [shutil.which("vmalert"), f"-rule={rules}", f"-datasource.url={self.url}", f"-httpListenAddr=127.0.0.1:{self.alerter_port}",
                 f"-notifier.url={self.url}", "-evaluationInterval=15s"], stdout=subprocess.DEVNULL, stderr=open(folder / "vmalert.log", "wb"))

    def flags(self, folder, config):
        return [f"-promscrape.config={config}", f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{self.port}",
                "-retentionPeriod=1y", "-promscrape.config.strictParse=false", "-search.disableCache", "-selfScrapeInterval=0"]

    def ready(self):
        return http_get(f"{self.url}/health").code == 200

    def pids(self):
        return super().pids() + ([self.alerter.pid] if self.alerter else [])

    def samples(self):
        return metric_sum(f"{self.url}/metrics", "vm_rows_inserted_total")

    def series(self):
        return metric_sum(f"{self.url}/metrics", "vm_new_timeseries_created_total")

    def evaluations(self):
        return metric_sum(f"http://127.0.0.1:{self.alerter_port}/metrics", "vmalert_iteration_total")

    def reload(self):
        self.alerter.send_signal(signal.SIGHUP)  # it has the rules

    def close(self):
        if self.alerter:
            self.alerter.terminate()
            self.alerter.wait(30)
        super().close()


def installed():
    return [p for p in (Prometheus, VictoriaMetrics) if p.program]


def start(kind, folder, **config):
    """A stack of this kind in a folder of its own. config: arguments of scrape_config; rules: text of a rule file."""
    where = pathlib.Path(folder) / kind.__name__
    where.mkdir()
    rules = config.pop("rules", None)
    if rules:
        (where / "rules.yml").write_text(rules)
    path = scrape_config(where, **{"port": 0, "targets": 0, "interval": "15s", **config})
    return kind(where, path, rules=where / "rules.yml") if rules and kind is VictoriaMetrics else kind(where, path)


def replace_rules(stack, folder, text):
    """Other rules for a stack that start() made with rules in this folder."""
    (pathlib.Path(folder) / type(stack).__name__ / "rules.yml").write_text(text)
    stack.reload()
