# SPDX-License-Identifier: Apache-2.0
"""What the lint programs share: the file list, C text without comments, and the report."""

import os
import re
import sys

# Alternatives in order: a comment, a string, a character constant.
_HIDDEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|/\*.*?\*/|//[^\n]*', re.S)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """C text of the same shape (lines and columns) with comments blanked."""
    return _COMMENT.sub(lambda m: m.group(1) or _blank(m.group(0)), text)


def code_only(text):
    """C text of the same shape with comments, strings and character constants blanked."""
    return _HIDDEN.sub(lambda m: _blank(m.group(0)), text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_test(path):
    """Tests stand beside the sources; they may reach further than what they test."""
    name = os.path.basename(path)
    return path.startswith("tests/") or name.startswith(("test_", "fuzz_"))


def files(root, wanted):
    """Paths below root, relative and sorted, for which wanted(path) holds; build and dot folders are left out."""
    found = []
    for folder, dirs, names in os.walk(root):
        dirs[:] = [
            d for d in dirs
            if not d.startswith(".") and d not in ("__pycache__", "node_modules")
            and not os.path.isdir(os.path.join(folder, d, "meson-private"))
        ]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if wanted(path):
                found.append(path)
    return sorted(found)


def main(check):
    """Runs check(root) -> (findings, number of files); a finding is (path, line, rule, text). Returns the exit status."""
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))
    findings, count = check(root)
    for path, line, rule, text in sorted(findings):
        print(f"{path}:{line}: {rule}: {text}")
    if count == 0:
        print(f"lint: no files below {root}: nothing was checked")
        return 1
    if not findings:
        print(f"lint: {count} files checked")
    return 1 if findings else 0
