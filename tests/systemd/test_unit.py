"""What can be said of the unit without a guest."""

import re
import subprocess

from tests.helpers.nspawn import ROOT

UNIT = ROOT / "systemd" / "perceptd.service"
THRESHOLD = 20
"""Tenths of the exposure level that `systemd-analyze security` gives; lower is better."""


def test_the_sandbox_is_tight() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLD}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_that_it_names_is_there() -> None:
    pages = re.findall(r"^Documentation=file:///opt/perceptd/(\S+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)
