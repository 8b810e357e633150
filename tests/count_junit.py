#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""count_junit.py FILE [AGAIN]: prints "passed failed skipped" of a JUnit report.

AGAIN, where it exists, is the report of a second run of what failed in the first: its verdict replaces theirs.

A report that is missing, broken or empty counts as one failure: a run that died must not look like a run that passed.
"""
import os
import sys
import xml.etree.ElementTree as ET


def count(path):
    passed = failed = skipped = 0
    try:
        cases = list(ET.parse(path).getroot().iter("testcase"))
    except (OSError, ET.ParseError) as e:
        print(f"count_junit: {path}: {e}", file=sys.stderr)
        return 0, 1, 0
    for case in cases:
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return (passed, failed, skipped) if cases else (0, 1, 0)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: count_junit.py FILE [AGAIN]")
    passed, failed, skipped = count(sys.argv[1])
    if failed > 0 and len(sys.argv) == 3 and os.path.exists(sys.argv[2]):
        still = count(sys.argv[2])[1]
        passed, failed = passed + failed - still, still
    print(passed, failed, skipped)
