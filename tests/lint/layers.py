#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. The table of layers is read from docs/architecture.md, so page and check cannot drift apart.

Rules: layer (common/ points down only), service (no service and not the command line into a service),
include-path (from the repository root, and the file exists), third-party (one folder per library).
usage: layers.py [ROOT]
"""

import os
import re
import sys

import source

TABLE = "docs/architecture.md"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)
ROW = re.compile(r"^\|\s*(\d+)\s*\|([^|]*)\|([^|]*)\|\s*$")
ALSO = re.compile(r"`(\w+)` also ((?:`\w+`(?:, | and )?)+)")
GENERATED = ("ops_version.h",)

# First match decides: the header's pattern, the folders that may include it.
THIRD_PARTY = [
    (re.compile(r"^nng/"), ("common/bus/",)),
    (re.compile(r"^(postgresql/)?(libpq-fe|libpq-events|pg_config\w*|postgres_ext)\.h$"), ("common/pg/",)),
    (re.compile(r"^yaml\.h$"), ("common/conf/",)),
    (re.compile(r"^curl/"), ("common/net/",)),
    (re.compile(r"^snappy(-c)?\.h$"), ("common/remote/",)),
    (re.compile(r"^(event2/http\w*\.h|evhttp\.h)$"), ("common/net/", "examples/")),
    (re.compile(r"^(event2/\w+\.h|event\.h|evutil\.h)$"), ("common/loop/", "common/net/", "common/pg/", "examples/")),
]


def read_table(text):
    """{module: set of modules it may include} from the table of the architecture page."""
    layer, rows = {}, []
    for line in text.splitlines():
        m = ROW.match(line)
        if m:
            number, modules = int(m.group(1)), re.findall(r"`(\w+)`", m.group(2))
            rows.append((number, modules, m.group(3)))
            layer.update((name, number) for name in modules)
    allowed = {}
    for number, modules, may in rows:
        limits = [int(n) for n in re.findall(r"\d+", may.split(";")[0])]
        highest = min(max(limits), number - 1) if limits else -1
        below = {name for name, n in layer.items() if n <= highest}
        for name in modules:
            allowed[name] = below | {name}
        for name, others in ALSO.findall(may):
            allowed[name] |= set(re.findall(r"`(\w+)`", others))
    return allowed


def check_common(path, target, allowed):
    own = path.split("/")[1]
    if own not in allowed:
        return "layer", f"common/{own} is not in the layer table of {TABLE}"
    if not target.startswith("common/"):
        return "layer", f"common must not include {target}"
    if source.is_test(path):
        return None
    other = target.split("/")[1]
    if other not in allowed[own]:
        return "layer", f"{own} must not include {other} ({target}); see the layer table of {TABLE}"
    return None


def check_local(root, path, target, allowed):
    """One #include "target" of path: (rule, text) or None."""
    if target in GENERATED:
        return None
    if "/" not in target or ".." in target.split("/") or not os.path.isfile(os.path.join(root, target)):
        return "include-path", f'"{target}" is no file below the repository root'
    if path.startswith("common/"):
        return check_common(path, target, allowed)
    if target.startswith("services/") and not path.startswith("tests/"):
        service = target.split("/")[1]
        if not path.startswith(f"services/{service}/"):
            return "service", f"{target} belongs to {service}; what two need goes to common"
    return None


def check_third_party(path, target):
    if path.startswith("tests/"):
        return None
    for pattern, folders in THIRD_PARTY:
        if pattern.match(target):
            if path.startswith(folders):
                return None
            return "third-party", f"<{target}> may be included in {' '.join(folders)} only"
    return None


def check_file(root, path, allowed):
    text = source.without_comments(source.read(root, path))
    for m in INCLUDE.finditer(text):
        local, system = m.groups()
        found = check_third_party(path, local or system)
        if found is None and local and not check_is_library(local):
            found = check_local(root, path, local, allowed)
        if found:
            yield (path, source.line_of(text, m.start(0)), *found)


def check_is_library(target):
    """A third-party header in quotes is judged as such only."""
    return any(pattern.match(target) for pattern, _ in THIRD_PARTY)


def check(root):
    table = os.path.join(root, TABLE)
    allowed = read_table(source.read(root, TABLE)) if os.path.isfile(table) else {}
    if "base" not in allowed:
        return [(TABLE, 1, "layer", "no layer table found")], 1
    paths = source.files(root, lambda p: p.endswith((".c", ".h")))
    return [f for p in paths for f in check_file(root, p, allowed)], len(paths)


if __name__ == "__main__":
    sys.exit(source.main(check))
