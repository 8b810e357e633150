# SPDX-License-Identifier: Apache-2.0
"""opsctl check metrics: verdicts, places, advice and exit codes."""
import json

import pytest

from harness import opsctl


@pytest.mark.parametrize("text,args,code,says", [
    ("# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 1\n", [], 0, ""),
    ("# TYPE hits counter\nhits 1\n", [], 3, 'hits no help text\nhits counter metrics should have "_total" suffix\n'),
    ("# TYPE hits counter\nhits 1\n", ["--no-lint"], 0, ""),
    ("a 1\nb{c=\"d} 1\n", [], 1, "opsctl: <stdin>:2:5: the label value has no closing quote"),
    ("a 1", ["--no-lint"], 1, "<stdin>:1:4"),
    ("a 1", ["--no-lint", "--format", "prometheus"], 0, ""),
    ("a 1\n", ["--no-lint", "--format", "openmetrics"], 1, "# EOF"),
    ("# TYPE a counter\na_total -1\n# EOF\n", ["--format", "openmetrics"], 1, "<stdin>:2:9"),
    ("{\"a.b\"} 1\n", ["--no-lint"], 0, ""),
    ("{\"a.b\"} 1\n", ["--no-lint", "--legacy-names"], 1, "legacy scheme"),
    ("a 1\n", ["--format", "carbon"], 2, "no format \"carbon\""),
])
def test_verdict(text, args, code, says):
    done = opsctl("check", "metrics", *args, input=text)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""


def test_files_and_json(tmp_path):
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("# HELP a_seconds x\na_seconds 1\na_seconds{b=\"c\"} 2\n")
    bad.write_text("a 1\na 2 3 4\n")
    done = opsctl("check", "metrics", "--json", str(good), str(bad))
    assert done.returncode == 1
    first, second = json.loads(done.stdout)
    assert first == {"file": str(good), "good": True, "samples": 2, "advice": []}
    assert not second["good"] and second["error"]["line"] == 2
    assert opsctl("check", "metrics", str(tmp_path / "none.txt")).returncode == 1
