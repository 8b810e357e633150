# SPDX-License-Identifier: Apache-2.0
"""opsctl as people and scripts use it: help, mistakes, exit codes, JSON, completion, files, the database."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import uuid

import pytest

import harness
from harness import REPO, opsctl

FAILED, USAGE, CONFIG, FROZEN, CHECK_USAGE, UNREACHABLE = 1, 2, 3, 10, 64, 69
URLS = ["OPS_DETECTOR_URL", "OPS_COLLECTOR_URL", "OPS_ALERTMANAGER_URL", "OPS_FREEZE_URL", "OPS_AUDITLOG_URL"]
COMMANDS = ["alerts", "silence add", "silence list", "silence expire", "note", "freeze status", "freeze check", "freeze set",
            "freeze clear", "query", "query instant", "query range", "query series", "query labels", "targets", "discovery", "debug relabel", "audit verify",
            "audit tail", "audit export", "audit record", "timeline", "check", "check metrics", "check rules", "check config", "test rules",
            "tsdb list", "tsdb verify", "tsdb analyze", "tsdb dump", "tsdb create-blocks-from",
            "reload", "top", "db migrate", "completion"]


@pytest.fixture
def nobody():
    """An environment in which no service answers."""
    return {name: f"http://127.0.0.1:{harness.free_port()}" for name in URLS}


@pytest.fixture
def freeze(service, ports):
    s = service("ops-freeze", {"freeze_listen": f"tcp://127.0.0.1:{ports()}", "alerts_url": "",
                               "freeze_replay_listen": f"tcp://127.0.0.1:{ports()}"})
    s.opsctl_env = {"OPS_FREEZE_URL": s.url}
    return s


# ---- help, mistakes ----

def test_the_list_of_commands_is_complete():
    text = opsctl("--help", check=0).stdout
    listed = re.findall(r"^  ([a-z]+(?: [a-z-]+)?)  ", text.split("flags for every command")[0], re.M)
    assert sorted(listed) == sorted(COMMANDS)
    assert opsctl("help", check=0).stdout == text and opsctl(check=USAGE).stdout == text
    assert re.match(r"opsctl \d+\.\d+\.\d+ \(.+\)$", opsctl("--version", check=0).stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    text = opsctl(*command.split(), "--help", check=0).stdout
    assert text.startswith(f"usage: opsctl {command}") and "--json" in text
    assert opsctl("--help", *command.split(), check=0).stdout == text, "the flag may stand first"
    done = opsctl(*command.split(), "--no-such-flag", check=CHECK_USAGE if command == "freeze check" else USAGE)
    assert "--no-such-flag" in done.stderr and not done.stdout


@pytest.mark.parametrize("args,code,says", [
    (["frobnicate"], USAGE, "frobnicate"),
    (["freeze"], USAGE, "opsctl freeze check"),
    (["freeze", "check"], CHECK_USAGE, "--scope"),
    (["freeze", "check", "claims"], CHECK_USAGE, "--scope"),
    (["freeze", "check", "--scope"], CHECK_USAGE, "--scope needs a value"),
    (["freeze", "set", "--scope", "claims"], USAGE, "--reason"),
    (["freeze", "clear", "--scope", "a", "--id", "b", "--reason", "x"], USAGE, "either"),
    (["freeze", "clear", "--id", "../x", "--reason", "x"], USAGE, "not an id"),
    (["freeze", "status", "claims"], USAGE, "unexpected argument 'claims'"),
    (["silence", "add", "alertname=X"], USAGE, "--comment"),
    (["silence", "add", "alertname", "--comment", "x"], USAGE, "matcher"),
    (["silence", "add", "a=b", "--comment", "x", "--duration", "soon"], USAGE, "duration"),
    (["silence", "expire"], USAGE, "which silence"),
    (["silence", "expire", "a/b"], USAGE, "not an id"),
    (["note", "text"], USAGE, "which alert"),
    (["query"], USAGE, "expression"),
    (["query", "a", "b"], USAGE, "expression"),
    (["top", "now"], USAGE, "unexpected argument"),
    (["reload", "everything"], USAGE, "everything"),
    (["reload", "freeze", "everything"], USAGE, "everything"),
    (["check", "x.yml", "--service", "nothing"], USAGE, "nothing"),
    (["audit", "record", "--action", "x"], USAGE, "--object"),
    (["timeline", "--database", "dbname=x"], USAGE, "incident"),
    (["db", "migrate"], USAGE, "OPS_DATABASE"),
    (["completion", "fish"], USAGE, "shell"),
    (["--timeout", "soon", "top"], USAGE, "duration"),
    (["alerts", *["a=b"] * 70], USAGE, "arguments"),
    (["freeze"], USAGE, "opsctl freeze check --scope"),
    (["freeze", "chekc", "--scope", "a"], USAGE, "no command 'freeze chekc'"),
    (["alert"], USAGE, "is it 'alerts'?"),
    (["-x"], USAGE, "no command '-x'"),
    (["alerts", "--jsn"], USAGE, "is it --json?"),
    (["freeze", "check", "--scpe", "a"], 64, "is it --scope?"),
    (["audit", "tail", "--lines", "many"], USAGE, "1 to 1000"),
    (["audit", "export", "--from", "0"], USAGE, "--from"),
])
def test_mistakes_are_named(nobody, args, code, says):
    done = opsctl(*args, env={**nobody, "OPS_DATABASE": ""}, check=code)
    assert says in done.stderr and done.stderr.startswith("opsctl: "), done.stderr


@pytest.mark.parametrize("args", [
    ["alerts"], ["silence", "list"], ["silence", "expire", "4f8a8f35-4ea5-4a8c-a7f0-000000000000"],
    ["silence", "add", "a=b", "--comment", "x"], ["note", "--alert", "00000000000000aa", "text"], ["freeze", "status"],
    ["freeze", "set", "--scope", "a", "--reason", "x"], ["freeze", "clear", "--scope", "a", "--reason", "x"], ["query", "up"],
    ["targets"], ["audit", "tail"], ["audit", "record", "--action", "a", "--object", "b"], ["reload", "freeze"], ["top"]])
def test_nobody_answers(nobody, args):
    done = opsctl(*args, env=nobody, check=UNREACHABLE)
    assert "127.0.0.1" in done.stdout + done.stderr


@pytest.mark.parametrize("args", [["audit", "verify"], ["audit", "export"], ["timeline", "00000000000000aa"], ["db", "migrate"]])
def test_no_database_answers(nobody, args):
    database = f"host=127.0.0.1 port={harness.free_port()} dbname=ops user=x connect_timeout=2"
    done = opsctl(*args, env={**nobody, "OPS_DATABASE": database}, check=UNREACHABLE)
    assert "refused" in done.stderr


def test_a_token_file_that_is_not_there_is_named(freeze):
    done = opsctl("freeze", "status", "--token-file", "/nonexistent/token", env=freeze.opsctl_env, check=UNREACHABLE)
    assert "/nonexistent/token" in done.stderr


def test_a_server_that_says_nothing_does_not_hold_us(nobody):
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        env = {"OPS_FREEZE_URL": f"http://127.0.0.1:{s.getsockname()[1]}"}
        opsctl("freeze", "status", "--timeout", "200ms", env=env, check=UNREACHABLE)
        opsctl("freeze", "check", "--scope", "a", "--timeout", "200ms", env=env, check=20)


# ---- output ----

def test_json_is_json(freeze, nobody):
    env = {**nobody, **freeze.opsctl_env}

    def parsed(*args, check=0):
        return json.loads(opsctl(*args, env=env, check=check).stdout)
    assert parsed("freeze", "status", "--json") == []
    record = parsed("--json", "freeze", "set", "--scope", "claims", "--reason", 'quo"te \u00e9\n')
    assert record["reason"] == 'quo"te \u00e9\n'
    assert parsed("freeze", "check", "--scope", "claims", "--json", check=FROZEN)["decision"] == "frozen"
    assert [f["id"] for f in parsed("freeze", "status", "--json")] == [record["id"]]
    assert parsed("freeze", "clear", "--scope", "claims", "--reason", "x", "--json") == {"scope": "claims", "cleared": 1}
    top = parsed("top", "--json", check=UNREACHABLE)
    assert top["freeze"]["status"] == "healthy" and top["detector"]["status"] == "unreachable"
    assert parsed("reload", "freeze", "--json") == {"freeze": True}
    rules = REPO / "deploy/etc/alerts/portal.yml"
    assert parsed("check", rules, "--json") == [{"file": str(rules), "kind": "rules", "good": True}]


def test_tables_keep_what_people_typed_in_its_cell(freeze):
    opsctl("freeze", "set", "--scope", "claims", "--reason", "one\n\x1b[31mtwo", env=freeze.opsctl_env, check=0)
    text = opsctl("freeze", "status", env=freeze.opsctl_env, check=0).stdout
    assert len(text.splitlines()) == 2 and "\x1b" not in text
    assert "manual freeze of claims" in opsctl("freeze", "check", "--scope", "claims", env=freeze.opsctl_env, check=FROZEN).stdout


def test_top_tells_who_answers(freeze, nobody):
    text = opsctl("top", env={**nobody, **freeze.opsctl_env}, check=UNREACHABLE).stdout
    rows = {line.split()[0]: line.split()[1] for line in text.splitlines()[1:]}
    assert rows == {"detector": "unreachable", "collector": "unreachable", "alertmanager": "unreachable", "freeze": "healthy",
                    "auditlog": "unreachable"}
    assert opsctl("top", env={name: freeze.url for name in URLS}, check=0).stdout.count("healthy") == 5


def test_hms_ops_reload(freeze, nobody, tmp_path):
    hms = tmp_path / "hms"
    hms.symlink_to(harness.binary("opsctl"))

    def run(*args):
        return subprocess.run([hms, *args], env={**os.environ, **nobody, **freeze.opsctl_env}, capture_output=True, text=True, timeout=30)
    done = run("ops", "reload", "freeze")
    assert (done.returncode, done.stdout.split()) == (0, ["freeze", "reloaded"]), done.stderr
    assert run("reload", "ops-freeze").returncode == 0
    good = freeze.config_file.read_text()
    freeze.config_file.write_text(good + "nonsense: 1\n")
    done = run("ops", "reload", "freeze")
    assert done.returncode == FAILED and "nonsense" in done.stderr and "not reloaded" in done.stdout
    assert run("ops", "reload").returncode != 0, "the others do not answer"


# ---- completion ----

def complete(line, point=None):
    """What bash would offer for the last word of line."""
    script = """
source <("$1" completion bash) || exit 1
COMP_WORDS=($2); [ "${2: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_opsctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "--norc", "-eu", "-c", script, "bash", harness.binary("opsctl"), line], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_completion():
    assert set(complete("opsctl ")) == {c.split()[0] for c in COMMANDS}
    assert complete("opsctl fr") == ["freeze"]
    assert set(complete("opsctl freeze ")) == {"status", "check", "set", "clear"}
    assert "--scope" in complete("opsctl freeze check --") and "--fail-open" in complete("opsctl freeze check --fa")
    assert complete("hms ops rel") == ["reload"]
    assert "--json" in complete("opsctl top --")
    assert "--json" in complete("opsctl --")
    assert "freeze" in complete("opsctl --json fr")
    assert "--reason" in complete("opsctl freeze set --scope claims --")
    assert complete("opsctl reload fr") == ["freeze"] and complete("opsctl completion ") == ["bash", "zsh"]
    assert complete("opsctl freeze check --action ") == ["deploy", "rollback"]
    assert complete("opsctl check --service col") == ["collector"] and complete("opsctl tsdb ver") == ["verify"]
    zsh = opsctl("completion", "zsh", check=0).stdout
    assert zsh.startswith("#compdef opsctl hms") or "bashcompinit" in zsh


# ---- files ----

def test_good_files_are_good(tmp_path):
    env = {"OPS_STATE_DIR": str(tmp_path), "OPS_BUS_KEY_FILE": str(tmp_path / "key"), "OPS_SECRETS_DIR": str(tmp_path)}
    (tmp_path / "key").write_text("00" * 32 + "\n")
    (tmp_path / "key").chmod(0o600)
    rules = sorted((REPO / "deploy/etc/alerts").glob("*.y*ml"))
    done = opsctl("check", *rules, check=0)
    assert done.stdout.count("good") == len(rules)
    assert opsctl("check", "rules", rules[0], check=0).stdout.count("good") == 1
    opsctl("check", REPO / "deploy/etc/ops-freeze.yml", env=env, check=0)
    opsctl("check", env={**env, "OPS_CONFIG_DIR": str(REPO / "deploy/etc")}, check=0)
    done = opsctl("check", env={"OPS_CONFIG_DIR": str(tmp_path)}, check=CONFIG)
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize("name,text,where,what", [
    ("ops-freeze.yml", "listen: 127.0.0.1:0\nautomatic_ttl: soon\n", "2:16", "soon"),
    ("ops-freeze.yml", "listen: 127.0.0.1:0\nout_of_ban: thaw\n", "2:1", "out_of_band"),
    ("ops-freeze.yml", "listen: 127.0.0.1:0\nout_of_band: perhaps\n", "2:14", "restore or thaw"),
    ("ops-freeze.yml", "listen: a\nlisten: b\n", "2:1", "listen"),
    ("ops-freeze.yml", "listen: [\n", "2:1", ""),
    ("ops-auditlog.yml", "checkpoint_interval: [1]\n", "1:22", "checkpoint_interval"),
    ("rules.yml", "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: rate(x[5m]\n", "5:21", "parenthesis"),
    ("rules.yml", "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: nosuch(x)\n", "5:11", "nosuch"),
    ("rules.yml", "groups:\n- name: g\n  rule: []\n", "3:3", "rule"),
    ("rules.yml", "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    for: -1m\n", "6:10", "-1m"),
    ("rules.yml", "a: b: c\n", "1:", ""),
])
def test_bad_files_are_placed(tmp_path, name, text, where, what):
    file = tmp_path / name
    file.write_text(text)
    done = opsctl("check", file, check=CONFIG)
    assert f"{file}:{where}" in done.stderr and what in done.stderr, done.stderr
    assert re.search(re.escape(str(file)) + r":\d+:\d+: ", done.stderr), done.stderr
    report = json.loads(opsctl("check", file, "--json", check=CONFIG).stdout)
    assert report[0]["good"] is False
    good = REPO / "deploy/etc/alerts/portal.yml"
    assert [f["good"] for f in json.loads(opsctl("check", good, file, "--json", check=CONFIG).stdout)] == [True, False]


@pytest.mark.parametrize("text,code,says", [
    ("global: {scrape_interval: 1s}\nscrape_configs: []\n", 0, "good, and so are the rule files"),
    ("scrape_configs: 5\n", CONFIG, "must be a list"),
    ("route: {receiver: r}\nreceivers: [{name: r}]\n", 0, "good"),
    ("route: {receiver: x}\nreceivers: [{name: r}]\n", CONFIG, 'receiver "x"'),
    ("groups: []\n", 0, "0 groups"),
    ("listen: 127.0.0.1:1\n", CONFIG, "--service SERVICE"),
    ("rule_files: [x]\ntests: []\n", CONFIG, "opsctl test rules"),
])
def test_check_knows_a_file_by_what_it_says(tmp_path, text, code, says):
    file = tmp_path / "some.yml"
    file.write_text(text)
    for command in (["check"], ["check", "config"]):
        done = opsctl(*command, file, check=code)
        assert says in done.stdout + done.stderr


@pytest.mark.parametrize("args,says", [
    (["help", "freeze", "check"], "usage: opsctl freeze check --scope"), (["freeze", "-h"], "opsctl freeze set"),
    (["help"], "commands:"), (["-h"], "commands:"), (["--json", "tsdb", "--help"], "opsctl tsdb dump")])
def test_help_is_about_what_was_asked(args, says):
    done = opsctl(*args, check=0)
    assert says in done.stdout and not done.stderr


def test_a_file_that_is_not_there():
    assert "/nonexistent/rules.yml" in opsctl("check", "/nonexistent/rules.yml", check=CONFIG).stderr
    assert "/nonexistent/ops-freeze.yml" in opsctl("check", "/nonexistent/ops-freeze.yml", check=CONFIG).stderr


# ---- the database ----

def test_migrating_twice_changes_nothing_the_second_time(pg_cluster):
    import psycopg2
    connection = psycopg2.connect(pg_cluster.conninfo("postgres"))
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE opsctl_migrate")
    try:
        base = ["db", "migrate", "--database", pg_cluster.conninfo("opsctl_migrate"), "--dir", REPO / "deploy/sql"]
        files = sorted(p.name for p in (REPO / "deploy/sql").glob("*.sql"))
        dry = json.loads(opsctl(*base, "--dry-run", "--json", check=0).stdout)
        assert {x["state"] for x in dry} == {"would be applied"} and len(dry) == len(files)
        first = opsctl(*base, check=0).stdout.splitlines()
        assert len(first) == len(files) and all(x.endswith("  applied") for x in first)
        second = json.loads(opsctl(*base, "--json", check=0).stdout)
        assert {x["state"] for x in second} <= {"was applied"}
        opsctl("timeline", "00000000000000aa", "--database", pg_cluster.conninfo("opsctl_migrate"), "--json", check=0)
        done = opsctl("db", "migrate", "--database", pg_cluster.conninfo("opsctl_migrate"), "--dir", "/nonexistent")
        assert done.returncode != 0 and "/nonexistent" in done.stderr
    finally:
        connection.cursor().execute("DROP DATABASE opsctl_migrate WITH (FORCE)")
        connection.close()


def test_timeline_shows_the_latest_occurrence(pg):
    """A fingerprint comes back as often as its alert: its story is the last one, the others are asked for."""
    fp, at = "00000000000000aa", "2026-01-01 00:%02d:00Z"
    for minute, status in enumerate(("pending", "firing", "resolved", "pending", "resolved", "pending", "firing", "resolved")):
        pg.query("INSERT INTO alerts.transitions (id, fingerprint, status, alertname, labels, at) VALUES (%s, %s, %s, 'A', '{}', %s)",
                 (str(uuid.uuid4()), fp, status, at % (10 + minute)), user="ops_alertmanager")
    pg.query("INSERT INTO alerts.notes (id, fingerprint, author, action, at) VALUES (%s, %s, 'me', 'wrote', %s)",
             (str(uuid.uuid4()), fp, at % 30), user="ops_alertmanager")

    def shown(*flags):
        done = opsctl("timeline", fp, *flags, "--json", "--database", pg.conninfo("ops_reader"), check=0)
        return [row["at"][14:16] for row in json.loads(done.stdout)]
    assert shown() == ["15", "16", "17", "30"]
    assert shown("--all") == ["10", "11", "12", "13", "14", "15", "16", "17", "30"]
    done = opsctl("timeline", fp, "--database", pg.conninfo("ops_reader"), check=0)
    assert "2 times" in done.stderr and "A is pending" in done.stdout


def test_it_finds_what_was_installed_beside_it(tmp_path, pg):
    """PREFIX/bin/opsctl looks into PREFIX/share and PREFIX/etc, wherever PREFIX is."""
    (tmp_path / "bin").mkdir()
    for name in ("opsctl", "ops-freeze"):
        shutil.copy(harness.binary(name), tmp_path / "bin" / name)
    (tmp_path / "share/hms-ops").mkdir(parents=True)
    shutil.copytree(REPO / "deploy/sql", tmp_path / "share/hms-ops/sql")
    (tmp_path / "etc/hms-ops").mkdir(parents=True)
    (tmp_path / "etc/hms-ops/ops-freeze.yml").write_text("listen: 127.0.0.1:0\nout_of_band: perhaps\n")
    env = {**os.environ, "OPS_DATABASE": pg.conninfo()}

    def run(*args):
        return subprocess.run([tmp_path / "bin/opsctl", *args], capture_output=True, text=True, env=env, timeout=60, cwd="/")
    done = run("db", "migrate", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)) == len(list(pathlib.Path(REPO / "deploy/sql").glob("*.sql"))), done
    done = run("check")
    assert done.returncode == CONFIG and "etc/hms-ops/ops-freeze.yml" in done.stderr and "perhaps" in done.stderr
    done = subprocess.run([tmp_path / "bin/ops-freeze", "--check"], capture_output=True, text=True, timeout=30, cwd="/")
    assert done.returncode == CONFIG and "perhaps" in done.stderr, "a service finds its file, too"


# ---- blocks of the detector's store ----

SAMPLES = 'a_total{x="1"} 1 0\na_total{x="1"} 2.5 15\na_total{x="1"} 3 9000\nb NaN 15.25\n# EOF\n'


def test_blocks_from_a_document_and_back(tmp_path):
    source, store = tmp_path / "samples.txt", tmp_path / "store"
    source.write_text(SAMPLES)
    made = json.loads(opsctl("tsdb", "create-blocks-from", "openmetrics", source, store, "--json", check=0).stdout)
    assert [(b["samples"], b["series"]) for b in made] == [(3, 2), (1, 1)]
    listed = json.loads(opsctl("tsdb", "list", store, "--json", check=0).stdout)
    assert [b["ulid"] for b in listed] == [b["ulid"] for b in made]
    assert "good" in opsctl("tsdb", "verify", store, check=0).stdout
    assert opsctl("tsdb", "dump", store, "--format", "openmetrics", check=0).stdout == SAMPLES.replace("15.25", "15.250")
    assert opsctl("tsdb", "dump", store, "--match", '{x="1"}', "--mint", "1", "--maxt", "1970-01-01T01:00:00Z",
                  check=0).stdout == 'a_total{x="1"} 2.5 15000\n'
    top = json.loads(opsctl("tsdb", "analyze", store, made[0]["ulid"], "--json", check=0).stdout)
    assert top["seriesByPair"] == [{"name": "x", "value": "1", "n": 1}] and top["labelNames"] == 2
    assert opsctl("tsdb", "dump", store, "--match", "a{", check=USAGE).stderr


def test_a_damaged_block_is_told(tmp_path):
    source, store = tmp_path / "samples.txt", tmp_path / "store"
    source.write_text(SAMPLES)
    made = json.loads(opsctl("tsdb", "create-blocks-from", "openmetrics", source, store, "--json", check=0).stdout)
    segments = store / made[0]["ulid"] / "segments"
    data = bytearray(segments.read_bytes())
    data[len(data) // 2] ^= 4
    segments.write_bytes(data)
    verdicts = json.loads(opsctl("tsdb", "verify", store, "--json", check=FAILED).stdout)
    assert [v["good"] for v in verdicts] == [False, True]
    done = opsctl("tsdb", "dump", store, check=FAILED)
    whole = ['a_total{x="1"} 1 0', 'a_total{x="1"} 2.5 15000', 'a_total{x="1"} 3 9000000', "b NaN 15250"]
    assert set(done.stdout.splitlines()) < set(whole) and "left out" in done.stderr
    (store / made[1]["ulid"] / "index").write_bytes(b"")
    assert "index" in opsctl("tsdb", "list", store, check=FAILED).stderr


@pytest.mark.parametrize("args,text,code,says", [
    (["tsdb", "create-blocks-from", "openmetrics", "FILE"], "a 1\n# EOF\n", CONFIG, "no time"),
    (["tsdb", "create-blocks-from", "openmetrics", "FILE"], "", CONFIG, "empty"),
    (["tsdb", "create-blocks-from", "openmetrics"], "", USAGE, "which file"),
    (["tsdb", "create-blocks-from", "influx", "FILE"], "", USAGE, "openmetrics"),
    (["tsdb", "list", "/no/such/folder"], "", FAILED, "/no/such/folder"),
    (["tsdb", "dump", "--mint", "yesterday"], "", USAGE, "yesterday"),
])
def test_mistakes_with_blocks(tmp_path, args, text, code, says):
    source = tmp_path / "samples.txt"
    source.write_text(text)
    done = opsctl(*[str(source) if a == "FILE" else a for a in args], *([str(tmp_path / "out")] if "FILE" in args else []), check=code)
    assert says in done.stderr
