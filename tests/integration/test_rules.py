# SPDX-License-Identifier: Apache-2.0
"""Rules beyond what Prometheus has, with real processes; opsctl check rules, check config and test rules beside promtool."""
import json
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

from harness import http_get, opsctl, wait_until
from test_detector import World, active_at, job

FAILED, USAGE, CONFIG = 1, 2, 3


@pytest.fixture
def world(service, ports, tmp_path):
    return World(service, ports, tmp_path)


# ---- opsctl test rules ----

RULES = """
groups:
- name: web
  rules:
  - record: job:hits:rate1m
    expr: sum by (job) (rate(hits_total[2m]))
  - alert: Busy
    expr: job:hits:rate1m > 5
    for: 2m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} has {{ $value | humanize }}"}
"""

TESTS = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: busy
  interval: 1m
  input_series:
  - {series: 'hits_total{job="web",i="a"}', values: '0+60x3 1000+600x10'}
  alert_rule_test:
  - {eval_time: 4m, alertname: Busy}
  - eval_time: 8m
    alertname: Busy
    exp_alerts:
    - exp_labels: {severity: page, job: web}
      exp_annotations: {summary: "web has 10"}
  promql_expr_test:
  - expr: count(ALERTS{alertstate="firing"})
    eval_time: 8m
    exp_samples: [{labels: '{}', value: %s}]
- name: quiet
  interval: 1m
  input_series: [{series: 'hits_total{job="web",i="a"}', values: '0x10'}]
  alert_rule_test: [{eval_time: 8m, alertname: Busy}]
"""


def verdict(program, *args):
    return subprocess.run([program, "test", "rules", *args], capture_output=True, text=True, timeout=60).returncode


def test_rules_are_tested_as_promtool_does(tmp_path):
    (tmp_path / "rules.yml").write_text(RULES)
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(TESTS % 1)
    bad.write_text(TESTS % 2)
    done = opsctl("test", "rules", good, check=0)
    assert done.stdout == f"Unit Testing:  {good}\n  SUCCESS\n\n" and done.stderr == ""
    done = opsctl("test", "rules", good, bad, "--junit", tmp_path / "j.xml", check=FAILED)
    assert "exp: {} 2E+00\n        got: {} 1E+00" in done.stderr and "SUCCESS" in done.stdout
    suites = xml.etree.ElementTree.parse(tmp_path / "j.xml").getroot().findall("testsuite")
    assert [(s.get("name"), s.get("tests"), s.get("failures")) for s in suites] == [(str(good), "2", "0"), (str(bad), "2", "1")]
    assert "got: {} 1E+00" in suites[1].find("testcase/failure").get("message")
    report = json.loads(opsctl("test", "rules", bad, "--json", check=FAILED).stdout)
    assert [(t["name"], t["outcome"]) for t in report[0]["tests"]] == [("busy", "failed"), ("quiet", "passed")]
    opsctl("test", "rules", bad, "--run", "^qui", check=0)
    assert "firing" in opsctl("test", "rules", good, "--debug", check=0).stdout
    if shutil.which("promtool"):
        assert (verdict("promtool", good), verdict("promtool", bad)) == (0, 1)


def test_test_files_that_are_wrong(tmp_path):
    (tmp_path / "rules.yml").write_text("groups: [{name: a, rules: [{record: x, expr: y +}]}]")
    broken, named = tmp_path / "broken.yml", tmp_path / "named.yml"
    broken.write_text("tests:\n- nothing: 1\n")
    named.write_text("rule_files: [rules.yml]\ntests: [{name: a}]\n")
    assert f"{broken}:2:3: unknown key" in opsctl("test", "rules", broken, check=CONFIG).stderr
    assert f"{tmp_path}/rules.yml:1:" in opsctl("test", "rules", named, check=CONFIG).stderr
    opsctl("test", "rules", "/nonexistent.yml", check=CONFIG)
    opsctl("test", "rules", check=USAGE)
    opsctl("test", "rules", named, "--run", "(", check=USAGE)


# ---- opsctl check ----

def test_check_rules_finds_what_the_service_would(tmp_path):
    file = tmp_path / "rules.yml"
    file.write_text("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up == 0\n"
                    "    annotations: {summary: '{{ $label.x }}'}\n")
    assert f"{file}:6:28: rule 'A', template of 'summary'" in opsctl("check", "rules", file, check=CONFIG).stderr
    file.write_text("- {record: x, expr: a, labels: {l: m}}\n- {record: x, expr: b}\n- {record: x, expr: c, labels: {l: m}}\n")
    done = opsctl("check", "rules", file, check=0)
    assert f"{file}:3:3: lint: duplicate rule: 'x' with the same labels stands at line 1" in done.stderr
    opsctl("check", "rules", "--lint-fatal", file, check=CONFIG)
    assert opsctl("check", "rules", "--lint-fatal", "--lint", "none", file, check=0).stderr == ""
    opsctl("check", "rules", "--lint", "most", file, check=USAGE)
    assert json.loads(opsctl("check", "rules", file, "--json", check=0).stdout)[0]["good"] is True


def test_check_config_reads_prometheus_yml(tmp_path):
    config, rules = tmp_path / "prometheus.yml", tmp_path / "r.yml"
    rules.write_text("alert: A\nexpr: up == 0\n")
    config.write_text("global: {scrape_interval: 10s}\nrule_files: [r.yml]\nscrape_configs: [{job_name: a, scrape_interval: 6m}]\n")
    done = opsctl("check", "config", config, check=0)
    assert f"{config}: good" in done.stdout and f"{config}:3:49: lint: scrape_interval 6m of a" in done.stderr
    opsctl("check", "config", config, "--lint-fatal", check=CONFIG)
    rules.write_text("alert: A\nexpr: up ==\n")
    assert f"{rules}:2:" in opsctl("check", "config", config, check=CONFIG).stderr
    config.write_text("scrape_configs: [{job_nam: a}]\n")
    assert f"{config}:1:" in opsctl("check", "config", config, check=CONFIG).stderr
    opsctl("check", "config", "/nonexistent.yml", check=CONFIG)


# ---- dead rules ----

def test_dead_rules_are_named(world, target, tmp_path):
    t = target("hits 9\n")
    world.write(job("web", t), evaluation_interval="1s")
    text = ("groups:\n- name: g\n  rules:\n  - {alert: Alive, expr: hits > 100}\n"
            "  - alert: Dead\n    expr: hits / hitz{path=\"/\"} > 1\n  - {alert: Gone, expr: absent(hitz)}\n")
    world.rules(text)
    world.detector()
    world.collector()
    dead = wait_until(lambda: (lambda rules: len(rules) == 1 and rules)(world.data("rules/dead")["rules"]), 90)
    assert (dead[0]["name"], dead[0]["group"], dead[0]["type"], dead[0]["line"]) == ("Dead", "g", "alerting", 5)
    assert [s["selector"] for s in dead[0]["selectors"]] == ['hitz{path="/"}']
    assert world.d.metric("ops_detector_rules_dead") == 1
    listed = {r["name"]: r for r in world.data("rules")["groups"][0]["rules"]}
    assert "deadSelectors" in listed["Dead"] and "deadSelectors" not in listed["Alive"]
    file = tmp_path / "mine.yml"
    file.write_text(text)
    done = opsctl("check", "rules", file, "--against", world.d.url, check=FAILED)
    assert f"{file}:6:11: 'Dead' is dead: hitz{{path=\"/\"}} matches no series" in done.stdout and "Gone" not in done.stdout
    report = json.loads(opsctl("check", "rules", file, "--against", world.d.url, "--json", check=FAILED).stdout)
    assert [d["selector"] for d in report[0]["dead"]] == ['hitz{path="/"}']
    file.write_text("alert: Alive\nexpr: hits > 100\n")
    opsctl("check", "rules", file, "--against", world.d.url, check=0)


# ---- what survives kill -9 ----

def test_killed_while_it_keeps_firing(world, target):
    t = target("hits 9\n")
    world.write(job("web", t))
    world.rules("alert: Kept\nexpr: hits > 5\nkeep_firing_for: 15s\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("Kept", "firing")])
    breach = active_at(world, "Kept")
    t.body = "hits 1\n"
    kept = wait_until(lambda: world.data("alerts")["alerts"][0].get("keepFiringSince"))
    world.d.sigkill()
    world.d.start()
    wait_until(lambda: world.values("hits") == [1])
    assert active_at(world, "Kept") == breach
    assert world.data("alerts")["alerts"][0]["keepFiringSince"] == kept
    wait_until(lambda: world.statuses() == ["firing", "resolved"])


def test_killed_while_data_is_missing(world, target):
    t, other = target("hits 9\n"), target("other 1\n")
    world.write(job("web", t), job("other", other))
    world.rules("alert: Kept\nexpr: hits > 5\nno_data: keep\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("Kept", "firing")])
    t.body = "else 1\n"
    wait_until(lambda: world.values("hits") == [])
    world.d.sigkill()
    world.d.start()
    wait_until(lambda: world.values("other") == [1] and world.values("else") == [1])
    assert world.alert_states() == [("Kept", "firing")] and world.statuses() == ["firing"]
    t.body = "hits 1\n"
    wait_until(lambda: world.statuses() == ["firing", "resolved"])


def test_hysteresis_and_flapping_through_the_service(world, target):
    t = target("hits 9\nflips 9\n")
    world.write(job("web", t))
    world.rules("- {alert: Held, expr: hits > 5, resolve_when: 3}\n- {alert: Flips, expr: flips > 5, flapping: 2 in 1h}\n")
    world.detector()
    world.collector()
    wait_until(lambda: world.alert_states() == [("Flips", "firing"), ("Held", "firing")])
    t.body = "hits 4\nflips 1\n"
    wait_until(lambda: world.statuses("Flips") == ["firing", "resolved"])
    assert world.statuses("Held") == ["firing"]
    t.body = "hits 3\nflips 9\n"
    wait_until(lambda: world.statuses("Flips") == ["firing", "resolved", "firing"] and world.statuses("Held") == ["firing", "resolved"])
    assert world.transitions("Flips")[-1][1]["data"]["annotations"]["flapping"] == "fired 2 times within 1h"
    assert [a["flapping"] for a in world.data("alerts")["alerts"]] == [True]
    n = len(t.requests)
    t.body = "hits 3\nflips 1\n"
    wait_until(lambda: len(t.requests) > n + 2 and world.values("flips") == [1])
    assert world.statuses("Flips") == ["firing", "resolved", "firing"]


def test_only_by_interval(world, target):
    t = target("hits 9\n")
    world.write(job("web", t), evaluation_interval="1s")
    world.rules("alert: Hot\nexpr: hits > 5\n")
    world.detector(rules_eval="interval")
    world.collector()
    wait_until(lambda: world.alert_states() == [("Hot", "firing")])
    assert not world.d.metric("ops_detector_rule_evaluations_total", trigger="arrival")
    assert http_get(world.d.url + "/api/v1/rules").code == 200


# ---- a group of thousands of rules ----

HEAVY_RULES = 5000


def test_a_large_group_gives_way(service, ports, tmp_path):
    """Its evaluation takes many seconds; meanwhile samples come in, another group's alert goes out, rules are loaded
    again, and the process stops: all of it before the group is through."""
    heavy = "".join(f"  - {{record: r{i}, expr: 'count(count_over_time(vector({i})[5h:1s]))'}}\n" for i in range(HEAVY_RULES))
    rules = tmp_path / "rules.yml"
    rules.write_text(f"groups:\n- name: large\n  interval: 1h\n  rules:\n{heavy}"
                     "- name: small\n  interval: 1h\n  rules:\n  - {alert: Down, expr: up == 0}\n")
    (tmp_path / "prometheus.yml").write_text(json.dumps({"rule_files": ["rules.yml"]}))
    samples, alerts, replay = ports(3)
    d = service("ops-detector", {
        "scrape_config_file": str(tmp_path / "prometheus.yml"), "samples_listen": f"tcp://127.0.0.1:{samples}",
        "alerts_listen": f"tcp://127.0.0.1:{alerts}", "alerts_replay_listen": f"tcp://127.0.0.1:{replay}"})

    def under_way():
        return d.metric("ops_detector_rule_groups_under_way")

    def last_rule():
        groups = d.get("/api/v1/rules?rule_group[]=large&rule_name[]=r" + str(HEAVY_RULES - 1)).json["data"]["groups"]
        return groups[0]["rules"][0]["lastEvaluation"]
    wait_until(lambda: under_way() == 1, what="the large group is being evaluated")
    assert d.post("/api/v1/import/prometheus", 'up{instance="a"} 0\n').code == 204
    wait_until(lambda: [a["state"] for a in d.get("/api/v1/alerts").json["data"]["alerts"]] == ["firing"], what="the alert fires")
    assert under_way() == 1 and last_rule().startswith("0001-01-01")
    assert d.post("/-/reload").code == 200
    wait_until(lambda: under_way() == 1, what="the group that was loaded again is being evaluated")
    assert last_rule().startswith("0001-01-01")
    assert [a["state"] for a in d.get("/api/v1/alerts").json["data"]["alerts"]] == ["firing"]
    d.sigterm()
