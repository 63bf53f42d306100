"""Checks of the unit file that need no guest."""

import re
import subprocess

from tests.helpers.nspawn import ROOT

UNIT = ROOT / "systemd" / "perceptd.service"

# in tenths of the exposure level of `systemd-analyze security`; lower is better
THRESHOLD = 20


def test_the_exposure_level_of_the_unit_is_low() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLD}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_that_the_unit_names_exists() -> None:
    pages = re.findall(r"^Documentation=file:///opt/perceptd/(\S+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)
