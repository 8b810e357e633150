# SPDX-License-Identifier: Apache-2.0
"""The pages say what the programs say, render without a warning, and link to what is there."""
import re
import shutil
import subprocess
import sys

import pytest

import harness
from harness import BUILD, REPO

PAGES = sorted((REPO / "docs/man").glob("*.[15]"))


def test_generated_pages_are_fresh():
    done = subprocess.run([sys.executable, REPO / "docs/reference/generate.py", BUILD, "--check"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr + "\nrun ./dev reference"


def test_there_is_a_page_for_every_program():
    names = {p.name for p in PAGES}
    assert names == {"opsctl.1", "ops-alertmanager.1", "ops-auditlog.1", "ops-collector.1", "ops-detector.1", "ops-freeze.1",
                     "ops-config.5", "ops-rules.5"}
    built = (REPO / "docs/meson.build").read_text()
    assert all(f"man/{n}'" in built for n in names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_renders_without_a_warning(page):
    checks = [c for c in (["groff", "-ww", "-mandoc", "-Tutf8", page], ["mandoc", "-Tlint", "-Wwarning", page]) if shutil.which(c[0])]
    if not checks:
        pytest.skip("neither groff nor mandoc is installed")
    for command in checks:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and not done.stderr, f"{command[0]}: {done.stdout[-500:] if command[0] == 'mandoc' else ''}{done.stderr}"
    here = {p.name for p in PAGES} | {"amtool.1"}
    for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
        assert f"{name}.{section}" in here


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md"), *(REPO / "services").glob("*/*.md"), *(REPO / "common").glob("*/*.md"),
                 *(REPO / "cli").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(REPO)}: {target}")
    assert not broken


def test_every_alert_about_ourselves_has_a_runbook():
    for file in sorted((REPO / "deploy/etc/alerts").glob("*.y*ml")):
        for named in re.findall(r"runbook: \"?([^\"\n]+)", file.read_text()):
            assert (REPO / named).exists(), f"{file.name}: {named}"
    ours = (REPO / "deploy/etc/alerts/hms_ops.yml").read_text()
    names = re.findall(r"alert: (\w+)", ours)
    assert len(names) == ours.count("runbook: ") > 5
    titles = {p.read_text().split("\n")[0].removeprefix("# ") for p in (REPO / "docs/runbooks").glob("*.md")}
    assert set(names) | {"TargetDown"} <= titles


def test_help_of_every_service_is_in_its_page():
    for name in ("alertmanager", "auditlog", "collector", "detector", "freeze"):
        text = subprocess.run([harness.binary(f"ops-{name}"), "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
        page = (REPO / f"docs/man/ops-{name}.1").read_text()
        for flag in re.findall(r"--([a-z-]+)", text.split("Signals:")[0]):
            assert f"Fl -{flag}" in page, f"--{flag} is not in ops-{name}(1)"
