# SPDX-License-Identifier: Apache-2.0
"""The scenario stands on the same harness as the integration tests."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
