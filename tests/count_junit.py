#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""count_junit.py [--names VERDICT] FILE [AGAIN]: prints "passed failed skipped" of a JUnit report.

AGAIN, where it exists, is the report of a second run of what failed in the first: its verdict replaces theirs.
With --names the names of the tests of one verdict are printed instead: "failed" or "passed only the second time".

A report that is missing, broken or empty counts as one failure: a run that died must not look like a run that passed.
"""
import argparse
import os
import sys
import xml.etree.ElementTree as ET

AGAIN = "passed only the second time"


def verdicts(path):
    """Test name -> "passed", "failed" or "skipped"; of a report that cannot be trusted, one failure named after it."""
    try:
        cases = list(ET.parse(path).getroot().iter("testcase"))
    except (OSError, ET.ParseError) as e:
        print(f"count_junit: {path}: {e}", file=sys.stderr)
        return {os.path.basename(path): "failed"}
    found = {}
    for case in cases:
        kinds = {child.tag for child in case}
        verdict = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        name = f"{case.get('classname')}.{case.get('name')}"
        if found.get(name) != "failed":  # a test that passes and then fails to clean up is listed twice
            found[name] = verdict
    return found or {os.path.basename(path): "failed"}


def judge(first, again):
    """The verdicts of both runs as one; without a second run `again` is None."""
    found = verdicts(first)
    if again is None or "failed" not in found.values():
        return found
    second = verdicts(again)
    return {name: AGAIN if verdict == "failed" and second.get(name) == "passed" else verdict
            for name, verdict in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--names", choices=["failed", AGAIN])
    parser.add_argument("file")
    parser.add_argument("again", nargs="?")
    args = parser.parse_args()
    tests = judge(args.file, args.again if args.again and os.path.exists(args.again) else None)
    if args.names:
        sys.stdout.writelines(f"{name}\n" for name, verdict in tests.items() if verdict == args.names)
    else:
        counts = list(tests.values())
        print(counts.count("passed") + counts.count(AGAIN), counts.count("failed"), counts.count("skipped"))
