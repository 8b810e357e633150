# SPDX-License-Identifier: Apache-2.0
"""The asynchronous driver, the outbox and the blocking helper against a real server (common/pg/test_pg_live.c)."""
import os
import subprocess

import pytest

import harness


def test_driver_and_outbox(pg, tmp_path):
    program = harness.BUILD / "tests/unit/test_pg_live"
    if not program.exists():
        pytest.skip("a build without tests (an installed prefix)")
    done = subprocess.run([program], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "OPS_TEST_DATABASE": pg.conninfo(), "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
