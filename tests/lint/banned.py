#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must not stand in a file, and what must.

Rules: banned-call, marker (unfinished work), spdx, pragma-once, file-length (900 lines), function-length (100 lines;
needs universal-ctags and says so when it is absent).
usage: banned.py [ROOT]
"""

import os
import re
import shutil
import subprocess
import sys

import source

MAX_FILE_LINES = 900
MAX_FUNCTION_LINES = 100

# name -> what to use instead
BANNED = {
    "strcpy": "ops_strbuf or snprintf", "strcat": "ops_strbuf", "stpcpy": "ops_strbuf",
    "sprintf": "snprintf or ops_strbuf_printf", "vsprintf": "vsnprintf or ops_strbuf_vprintf",
    "strtok": "strcspn", "gets": "ops_file_read", "alloca": "ops_arena", "system": "posix_spawn", "popen": "posix_spawn",
    "signal": "sigaction or the loop's signals", "rand": "ops_random_u64", "srand": "ops_random_u64",
    "localtime": "localtime_r", "gmtime": "ops_time_format", "ctime": "ops_time_format", "asctime": "ops_time_format",
    "atoi": "ops_parse_i64", "atol": "ops_parse_i64", "atoll": "ops_parse_i64", "atof": "ops_parse_double",
    "setlocale": "nothing: numbers rely on the C locale",
}
# Only the number parser may use these.
BANNED_OUTSIDE_NUMBER = {
    name: "ops_parse_* of common/base/number.h"
    for name in ("strtol", "strtoul", "strtoll", "strtoull", "strtod", "strtof", "strtold", "strtoimax", "strtoumax", "sscanf")
}
NUMBER = "common/base/number.c"
# A member of that name (loop->signal(...)) is not the C library's.
CALL = re.compile(r"(?<![\w.])(?<!->)(" + "|".join([*BANNED, *BANNED_OUTSIDE_NUMBER]) + r")\s*\(")
MARKER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SPDX = "SPDX-License-Identifier: Apache-2.0"

C_FILES = (".c", ".h")
CODE = (".c", ".h", ".py", ".sh", ".sql", ".js", ".css", ".h.in", "meson.build", "meson_options.txt")
TEXT = CODE + (".md", ".yml", ".yaml", ".html", ".json", "Dockerfile", "Makefile", ".service")
HERE = "tests/lint/"  # names the words it looks for


def calls(path, text):
    code = source.code_only(text)
    for m in CALL.finditer(code):
        name = m.group(1)
        if name in BANNED_OUTSIDE_NUMBER and path == NUMBER:
            continue
        instead = BANNED.get(name) or BANNED_OUTSIDE_NUMBER[name]
        yield path, source.line_of(code, m.start(1)), "banned-call", f"{name}(): use {instead}"


def markers(path, text):
    for m in MARKER.finditer(text):
        yield path, source.line_of(text, m.start()), "marker", f"{m.group(1)} in a finished file"


def head(path, text):
    if not any(SPDX in line for line in text.splitlines()[:3]):
        yield path, 1, "spdx", f"no {SPDX} line at the top"
    if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
        yield path, 1, "pragma-once", "header without #pragma once"


def length(path, text):
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield path, MAX_FILE_LINES, "file-length", f"{lines} lines, more than {MAX_FILE_LINES}: split by idea"


def find_ctags():
    """The universal-ctags program or None; exuberant and emacs ctags know no end of a function."""
    for name in ("ctags-universal", "ctags"):
        program = shutil.which(name)
        if program:
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
            if "Universal Ctags" in version.stdout:
                return program
    return None


def functions(root, paths, ctags):
    command = [ctags, "-x", "--language-force=C", "--kinds-C=f", "--fields=+e", "--_xformat=%{line}\t%{end}\t%N\t%F", "-L", "-"]
    run = subprocess.run(command, cwd=root, input="\n".join(paths), capture_output=True, text=True, check=True)
    for row in run.stdout.splitlines():
        line, end, name, path = row.split("\t")
        lines = int(end or line) - int(line) + 1
        if lines > MAX_FUNCTION_LINES:
            yield path, int(line), "function-length", f"{name} has {lines} lines, more than {MAX_FUNCTION_LINES}"


def check(root):
    paths = source.files(root, lambda p: p.endswith(TEXT))
    findings = []
    for path in paths:
        text = source.read(root, path)
        if path.endswith(C_FILES):
            findings += calls(path, text)
        if not path.startswith(HERE):
            findings += markers(path, text)
        if path.endswith(CODE):
            findings += head(path, text)
            findings += length(path, text)
    sources = [p for p in paths if p.endswith(C_FILES)]
    ctags = find_ctags()
    if ctags is None:
        print("lint: function-length not checked: universal-ctags is not installed")
    elif sources:
        findings += functions(root, sources, ctags)
    return findings, len(paths)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.exit(source.main(check))
