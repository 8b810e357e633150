# SPDX-License-Identifier: Apache-2.0
"""Each lint rule is shown to fail on a tree that breaks it, and to be quiet on the nearest tree that does not."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import banned  # noqa: E402
import source  # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
TABLE = """| layer | modules of `common/` | may include |
|---|---|---|
| 0 | `base` | libc |
| 1 | `log`, `model`, `metrics` | layer 0; `metrics` also `log` |
| 2 | `loop` | layers 0–1 |
| 3 | `net`, `pg` | layers 0–2 |
| 4 | `bus` | layers 0–3 |
"""
HEADERS = [
    "common/base/def.h", "common/log/log.h", "common/model/labels.h", "common/metrics/metrics.h", "common/loop/loop.h",
    "common/net/http.h", "common/pg/pg.h", "common/bus/bus.h", "services/freeze/gate.h", "services/detector/store.h",
    "cli/cli.h",
]


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    def put(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("docs/architecture.md", TABLE)
    for path in HEADERS:
        put(path, SPDX + "#pragma once\n")
    put.root = tmp_path
    return put


def run(program, root):
    return subprocess.run([sys.executable, os.path.join(HERE, program), str(root)], capture_output=True, text=True, check=False)


def expect_clean(program, tree):
    done = run(program, tree.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("lint: ")
    assert done.stdout.splitlines()[-1].endswith(" files checked")


def expect(program, tree, *findings):
    done = run(program, tree.root)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("lint:")]
    assert len(lines) == len(findings), done.stdout
    for line, start in zip(lines, findings):
        assert line.startswith(start), line


def test_clean_tree(tree):
    expect_clean("layers.py", tree)
    expect_clean("banned.py", tree)


@pytest.mark.parametrize("program", ["layers.py", "banned.py"])
def test_empty_tree_is_a_failure(program, tmp_path):
    assert run(program, tmp_path).returncode == 1


@pytest.mark.parametrize("path, target, rule", [
    # down, own module, and the named exception
    ("common/log/a.c", "common/base/def.h", None),
    ("common/log/a.c", "common/log/log.h", None),
    ("common/metrics/a.c", "common/log/log.h", None),
    ("common/bus/a.c", "common/loop/loop.h", None),
    # up, sideways, and the exception backwards
    ("common/base/a.c", "common/log/log.h", "layer"),
    ("common/log/a.c", "common/model/labels.h", "layer"),
    ("common/log/a.c", "common/metrics/metrics.h", "layer"),
    ("common/net/a.c", "common/pg/pg.h", "layer"),
    ("common/loop/a.h", "common/bus/bus.h", "layer"),
    ("common/unknown/a.c", "common/base/def.h", "layer"),
    ("common/bus/a.c", "services/freeze/gate.h", "layer"),
    ("common/bus/a.c", "cli/cli.h", "layer"),
    # tests beside the sources may reach up, but not into services
    ("common/base/test_a.c", "common/log/log.h", None),
    ("common/base/fuzz_a.c", "services/freeze/gate.h", "layer"),
    # services and the command line
    ("services/freeze/a.c", "services/freeze/gate.h", None),
    ("services/freeze/a.c", "common/bus/bus.h", None),
    ("services/freeze/a.c", "services/detector/store.h", "service"),
    ("services/freeze/test_a.c", "services/detector/store.h", "service"),
    ("cli/a.c", "common/bus/bus.h", None),
    ("cli/a.c", "services/freeze/gate.h", "service"),
    ("examples/x/a.c", "services/freeze/gate.h", "service"),
    ("tests/conformance/a.c", "services/detector/store.h", None),
    # paths
    ("common/log/a.c", "ops_version.h", None),
    ("common/log/a.c", "log.h", "include-path"),
    ("common/log/a.c", "common/base/missing.h", "include-path"),
    ("common/log/a.c", "common/log/../base/def.h", "include-path"),
])
def test_local_include(tree, path, target, rule):
    tree(path, SPDX + ("#pragma once\n" if path.endswith(".h") else "\n") + f'#include "{target}"\n')
    if rule is None:
        expect_clean("layers.py", tree)
    else:
        expect("layers.py", tree, f"{path}:3: {rule}: ")


@pytest.mark.parametrize("header, good, bad", [
    ("nng/nng.h", "common/bus/a.c", "services/freeze/a.c"),
    ("nng/protocol/pubsub0/pub.h", "common/bus/test_a.c", "common/net/a.c"),
    ("libpq-fe.h", "common/pg/a.c", "cli/a.c"),
    ("postgresql/libpq-fe.h", "common/pg/a.c", "services/freeze/a.c"),
    ("yaml.h", "common/conf/a.c", "services/detector/a.c"),
    ("curl/curl.h", "common/net/a.c", "services/collector/test_a.c"),
    ("event2/http.h", "common/net/a.c", "common/loop/a.c"),
    ("event2/event.h", "common/loop/a.c", "common/bus/a.c"),
    ("event2/bufferevent.h", "examples/x/a.c", "services/freeze/a.c"),
    ("event2/buffer.h", "common/pg/a.c", "cli/a.c"),
])
def test_third_party(tree, header, good, bad):
    tree(good, SPDX + f"#include <{header}>\n")
    expect_clean("layers.py", tree)
    tree(bad, SPDX + f"#include <{header}>\n")
    expect("layers.py", tree, f"{bad}:2: third-party: ")
    tree(bad, SPDX + f'#  include "{header}"\n')
    expect("layers.py", tree, f"{bad}:2: third-party: ")


def test_commented_include_is_none(tree):
    tree("common/base/a.c", SPDX + '/*\n#include "common/log/log.h"\n*/\n// #include <nng/nng.h>\n')
    expect_clean("layers.py", tree)


def test_missing_table(tree):
    tree("docs/architecture.md", "nothing here\n")
    expect("layers.py", tree, "docs/architecture.md:1: layer: ")


@pytest.mark.parametrize("name", [*banned.BANNED, *banned.BANNED_OUTSIDE_NUMBER])
def test_banned_call(tree, name):
    tree("common/log/a.c", SPDX + f"int f(void)\n{{\n\treturn {name} (x);\n}}\n")
    expect("banned.py", tree, f"common/log/a.c:4: banned-call: {name}(): use ")


def test_number_parser_may(tree):
    tree("common/base/number.c", SPDX + "double f(void)\n{\n\treturn strtod(x, NULL);\n}\n")
    expect_clean("banned.py", tree)
    tree("common/base/number.c", SPDX + "double f(void)\n{\n\treturn atof(x);\n}\n")
    expect("banned.py", tree, "common/base/number.c:4: banned-call: ")


@pytest.mark.parametrize("code", [
    "/* strcpy(a, b) */", "// strcpy(a, b)", 'char *s = "system(1)";', "x->signal(1);", "x.signal(1);", "ops_rand(1);",
    "int strcpy;", "snprintf(a, 1, b);", "localtime_r(a, b);", 'f("\\"", "atoi(x)");', "char c = '\"'; /* atoi(x) */",
])
def test_not_a_banned_call(tree, code):
    tree("common/log/a.c", SPDX + code + "\n")
    expect_clean("banned.py", tree)


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "HACK"])
@pytest.mark.parametrize("path", ["common/log/a.c", "docs/page.md", "deploy/a.yml"])
def test_marker(tree, path, word):
    tree(path, SPDX + f"\n/* {word}: later */\n")
    expect("banned.py", tree, f"{path}:3: marker: {word}")
    tree(path, SPDX + f"/* {word}LIST */\n")
    expect_clean("banned.py", tree)


@pytest.mark.parametrize("path", ["common/log/a.c", "cli/a.h", "dev/a.py", "dev/a.sh", "deploy/sql/a.sql", "cli/meson.build"])
def test_spdx(tree, path):
    tree(path, "#pragma once\n")
    expect("banned.py", tree, f"{path}:1: spdx: ")
    tree(path, "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n#pragma once\n")
    expect_clean("banned.py", tree)


def test_pragma_once(tree):
    tree("cli/a.h", SPDX)
    expect("banned.py", tree, "cli/a.h:1: pragma-once: ")
    tree("cli/a.h", SPDX + "/* #pragma once */\n")
    expect("banned.py", tree, "cli/a.h:1: pragma-once: ")


def test_file_length(tree):
    tree("cli/a.c", SPDX + "\n" * (banned.MAX_FILE_LINES - 1))
    expect_clean("banned.py", tree)
    tree("cli/a.c", SPDX + "\n" * banned.MAX_FILE_LINES)
    expect("banned.py", tree, f"cli/a.c:{banned.MAX_FILE_LINES}: file-length: ")


@pytest.mark.skipif(banned.find_ctags() is None, reason="universal-ctags is not installed")
def test_function_length(tree):
    body = "\tx++;\n" * (banned.MAX_FUNCTION_LINES - 3)
    tree("cli/a.c", SPDX + "void f(void)\n{\n" + body + "}\n")
    expect_clean("banned.py", tree)
    tree("cli/a.c", SPDX + "int a;\nvoid f(void)\n{\n\n" + body + "}\n")
    expect("banned.py", tree, "cli/a.c:3: function-length: f has 101 lines")


def test_absent_ctags_is_said(tree, monkeypatch, capsys):
    monkeypatch.setattr(banned.shutil, "which", lambda name: None)
    findings, count = banned.check(str(tree.root))
    assert findings == [] and count > 0
    assert "universal-ctags is not installed" in capsys.readouterr().out


def test_build_folders_are_left_out(tree):
    tree("out/meson-private/x", "")
    tree("out/a.c", "atoi(x);\n")
    tree(".hidden/a.c", "atoi(x);\n")
    expect_clean("banned.py", tree)


def test_shape_is_kept():
    text = 'a /* b\nc */ "d\\"e" \'"\' // f\ng'
    assert source.code_only(text) == "a     \n                    \ng"
    assert source.without_comments(text) == 'a     \n     "d\\"e" \'"\'     \ng'


@pytest.fixture
def tidied(tmp_path, monkeypatch):
    """A tree with one file that includes one header; run(verdict) is tidy.py with a stand-in for clang-tidy."""
    (tmp_path / "cli").mkdir()
    build = tmp_path / "build"
    build.mkdir()
    (tmp_path / ".clang-tidy").write_text("Checks: '*'\n")
    (tmp_path / "cli/a.h").write_text("int x;\n")
    (tmp_path / "cli/a.c").write_text('#include "cli/a.h"\n')
    (build / "build.ninja").write_text(
        "rule cc\n command = cc -I.. -MMD -MF $out.d -c $in -o $out\n deps = gcc\n depfile = $out.d\n"
        "build a.o: cc ../cli/a.c\n")
    (build / "compile_commands.json").write_text(json.dumps([
        {"directory": str(build), "command": "cc -I.. -c ../cli/a.c", "file": "../cli/a.c", "output": "a.o"},
        {"directory": str(build), "command": "cc -c ../cli/test_a.c", "file": "../cli/test_a.c", "output": "t.o"}]))
    program = tmp_path / "stand-in"

    def run(verdict):
        program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || exit 0\necho "finding in $4"; exit {verdict}\n')
        program.chmod(0o755)
        subprocess.run(["ninja", "-C", str(build)], check=True, stdout=subprocess.DEVNULL)
        return subprocess.run([sys.executable, os.path.join(HERE, "tidy.py"), "build"], cwd=tmp_path, text=True,
                              capture_output=True, env={**os.environ, "CLANG_TIDY": str(program)}, check=False)

    run.root = tmp_path
    return run


def test_tidy_fails_until_mended(tidied):
    for _ in range(2):  # a finding is not remembered as passed
        run = tidied(1)
        assert run.returncode == 1
        assert "finding in cli/a.c" in run.stdout and "1 files, 1 looked at, 1 with findings" in run.stdout
    assert tidied(0).returncode == 0


@pytest.mark.parametrize("changed", ["cli/a.c", "cli/a.h", ".clang-tidy"])
def test_tidy_looks_again_at_what_changed(tidied, changed):
    assert "1 looked at, 0 with" in tidied(0).stdout
    run = tidied(1)
    assert run.returncode == 0 and "0 looked at" in run.stdout
    with open(tidied.root / changed, "a", encoding="utf-8") as f:
        f.write("\n")
    run = tidied(1)
    assert run.returncode == 1 and "1 looked at, 1 with" in run.stdout
