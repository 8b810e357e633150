# SPDX-License-Identifier: Apache-2.0
"""The commands of the detector's README work as they stand there, and print what it says."""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from harness import REPO, Service, binary

README = REPO / "services/detector/README.md"
NOT_HERE = ("./dev ", "python3 -m pytest ")  # of minutes, and run by the suites themselves
PORTS = ("9090", "7401", "7402", "7502")


def commands():
    """(command, what it prints or None) of the section, in order."""
    section = re.split(r"^## ", README.read_text(), flags=re.M)
    lines = next(s for s in section if s.startswith("By commands\n")).splitlines()
    for line in lines:
        if line.startswith("    ") and not line.strip().startswith(NOT_HERE):
            command, _, prints = line.strip().partition("  # => ")
            yield command, prints or None


@pytest.fixture
def folder(tmp_path, ports):
    """A place that looks like the repository's root, with ports of its own."""
    mine = dict(zip(PORTS, map(str, ports(len(PORTS)))))
    shutil.copytree(REPO / "examples/detector", tmp_path / "examples/detector")
    config = tmp_path / "examples/detector/ops-detector.yml"
    config.write_text(re.sub(r"127\.0\.0\.1:(\d+)", lambda m: f"127.0.0.1:{mine[m[1]]}", config.read_text()))
    (tmp_path / "var").mkdir()
    return tmp_path, mine["9090"], config


def works(command, prints, root, env):
    deadline = time.monotonic() + float(os.environ.get("README_PATIENCE", 20))
    while True:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=root, env=env, capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        if done.returncode == 0 and (prints is None or prints in said):
            return True
        if time.monotonic() > deadline:  # rules are evaluated a moment after their samples came
            print(f"{command}\n  exit {done.returncode}, wanted {prints!r}: {said[-1500:]}")
            return False
        time.sleep(0.2)


def test_the_commands_of_the_readme(folder):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    root, port, config = folder
    path = os.pathsep.join(str(pathlib.Path(binary(x)).parent) for x in ("opsctl", "ops-detector")) + os.pathsep + os.environ["PATH"]
    env = {**os.environ, "PATH": path, "OPS_DETECTOR_URL": f"http://127.0.0.1:{port}", "NO_COLOR": "1"}
    detector, failed, n = None, [], 0
    try:
        for command, prints in commands():
            n += 1
            if command.endswith(" &"):
                detector = Service("ops-detector", config.parent, config.read_text(), port=int(port))
                detector.start()
                continue

            if not works(command.replace("localhost:9090", f"127.0.0.1:{port}"), prints, root, env):
                failed.append(command)
        assert not failed
        assert detector.wait_exit() == 0
    finally:
        if detector and detector.running():
            detector.close()
    assert n > 50
