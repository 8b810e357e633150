#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over what is shipped, side by side, and only over what changed since it last passed.

A file is looked at again when its own text, a header that it includes, its compiler flags, .clang-tidy or the
program changed; ninja knows the headers of the last build. Tests and fuzz targets are left out.
usage: tidy.py BUILD-DIRECTORY [FILE...]
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

FOLDERS = ("common/", "services/", "cli/", "examples/")
LEFT_OUT = re.compile(r"/(test|fuzz)_[^/]*$")
PROGRAM = os.environ.get("CLANG_TIDY", "clang-tidy")


def wanted(path):
    return path.startswith(FOLDERS) and path.endswith(".c") and not LEFT_OUT.search(path)


def jobs(build, root):
    """path from the root -> entry of the compilation database; a file that is built twice is looked at once."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
        if wanted(path):
            found.setdefault(path, entry)
    return found


def headers(build):
    """object -> the files it was made of, from ninja's log."""
    out = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found, name = {}, None
    for line in out.splitlines():
        if line.startswith("    "):
            found[name].append(line.strip())
        elif ":" in line:
            name = line.split(":", 1)[0]
            found[name] = []
    return found


class Keys:
    """What a verdict depends on, as one hash per file."""

    def __init__(self, build, root):
        self.build = build
        self.headers = headers(build)
        version = subprocess.run([PROGRAM, "--version"], capture_output=True, check=True).stdout
        self.common = version + (root / ".clang-tidy").read_bytes()
        self.seen = {}

    def _file(self, path):
        if path not in self.seen:
            self.seen[path] = hashlib.sha256((self.build / path).read_bytes()).digest()
        return self.seen[path]

    def of(self, entry):
        digest = hashlib.sha256(self.common + entry["command"].encode())
        for path in [entry["file"], *sorted(self.headers.get(entry.get("output"), []))]:
            digest.update(path.encode() + b"\0" + self._file(path))
        return digest.hexdigest()


def look(build, path):
    run = subprocess.run([PROGRAM, "--quiet", "-p", str(build), path], capture_output=True, text=True, check=False)
    return run.returncode == 0, run.stdout if run.stdout.strip() else run.stderr


def main(build, only):
    root = pathlib.Path.cwd()
    build = pathlib.Path(build).resolve()
    passed = build / "tidy"
    passed.mkdir(exist_ok=True)
    keys = Keys(build, root)
    todo = {}
    every = jobs(build, root)
    for path, entry in every.items():
        stamp = passed / keys.of(entry)
        if (not only or path in only) and not stamp.exists():
            todo[path] = stamp
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, (good, text) in zip(todo, pool.map(lambda p: look(build, p), todo)):
            if good:
                todo[path].touch()
            else:
                bad += 1
                print(text, flush=True)
    print(f"tidy: {len(every)} files, {len(todo)} looked at, {bad} with findings")
    return 1 if bad or not every else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: tidy.py BUILD-DIRECTORY [FILE...]")
    sys.exit(main(sys.argv[1], set(sys.argv[2:])))
