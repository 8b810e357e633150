# SPDX-License-Identifier: Apache-2.0
"""Third-party cases, read where they are: $OPS_CONFORMANCE, else shared/conformance beside the repository.

A file passes when no case of it is lost: at least as many pass as expected.json says for it, and as many cases are
counted as when that was recorded. A file that is new to expected.json must pass whole. After an improvement:

    OPS_BUILD=build/test /usr/bin/python3 tests/conformance/test_conformance.py --record

which only ever raises a number; lowering one is an edit by hand, with its reason in the commit.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("OPS_BUILD", REPO / "build")).resolve()
CASES = pathlib.Path(os.environ.get("OPS_CONFORMANCE", REPO.parent / "shared" / "conformance"))
EXPECTED = HERE / "expected.json"

# kind of the runner -> its files below CASES; a kind that the runner does not have yet is not here
FILES = {
    "promql": ["promql/core/*.test", "promql/stretch/*.test"],
    "promql_parser": ["promql_parser/*.json"],
    "durations": ["durations/*.json"],
    "exposition": ["exposition/openmetrics.json", "exposition/prom_*.json", "exposition/expfmt_*.json"],
    "exposition_payload": ["exposition/payloads/*.txt"],
    "relabel": ["relabel/*.json"],
    "rules": ["rules/files.json", "rules/unit.json"],
    "templates": ["templates/prometheus.json"],
    "matchers": ["alertmanager/matcher_*.json", "alertmanager/label_names.json"],
    "am_config": ["alertmanager/config_files/index.json", "alertmanager/config_inline.json",
                  "alertmanager/config_receiver_fragments.json"],
    "am_inhibition": ["alertmanager/inhibition.json"],
    "am_intervals": ["alertmanager/time_interval*.json"],
    "am_routes": ["alertmanager/routing*.json"],
    "am_silences": ["alertmanager/silence*.json"],
    "am_templates": ["alertmanager/templates.json"],
}


def case_files():
    return [(kind, path.relative_to(CASES).as_posix())
            for kind, patterns in FILES.items() for pattern in patterns for path in sorted(CASES.glob(pattern))]


def run(kind, name):
    """(passed, failed, output) of one file."""
    program = BUILD / "tests/conformance/ops-conformance"
    done = subprocess.run([program, kind, CASES / name], capture_output=True, text=True, errors="replace", timeout=600)
    last = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    assert last and done.returncode in (0, 1), f"{program} {kind} {name}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[-4000:]
    return int(last[1]), int(last[2]), done.stdout


def expected():
    return json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}


ABSENT = pytest.mark.skip(reason=f"no case collection at {CASES} (set OPS_CONFORMANCE): its cases were not run")


@pytest.mark.parametrize("kind,name", case_files() or [pytest.param("all", "absent", marks=ABSENT)])
def test_file(kind, name):
    passed, failed, output = run(kind, name)
    want = expected().get(f"{kind} {name}")
    if want is None:
        assert failed == 0, f"{failed} cases fail:\n{output[-6000:]}"
        return
    assert passed + failed >= want["cases"], f"{passed + failed} cases counted, {want['cases']} were known"
    assert passed >= want["passed"], f"{passed} cases pass, {want['passed']} did:\n{output[-6000:]}"


def record():
    table = expected()
    for kind, name in case_files():
        passed, failed, _ = run(kind, name)
        old = table.get(f"{kind} {name}", {"passed": 0, "cases": 0})
        table[f"{kind} {name}"] = {"passed": max(passed, old["passed"]), "cases": max(passed + failed, old["cases"])}
        print(f"{passed:5d} of {passed + failed:5d}  {kind} {name}{'' if passed >= old['passed'] else '  LOST SOME'}")
    lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items())]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"] or not CASES.is_dir():
        sys.exit("usage: test_conformance.py --record  (with the case collection in $OPS_CONFORMANCE)")
    record()
