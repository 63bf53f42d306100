"""Checks of the unit file that need no guest."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.nspawn import ROOT

UNIT = ROOT / "systemd" / "perceptd.service"
PAGE = ROOT / "systemd" / "perceptd-page.service"
UNITS = sorted(path for path in (ROOT / "systemd").glob("perceptd*.*") if path.suffix in (".service", ".socket"))

# in tenths of the exposure level of `systemd-analyze security`; lower is better
THRESHOLDS = {UNIT: 20, PAGE: 5}


@pytest.mark.parametrize("unit", THRESHOLDS, ids=str)
def test_the_exposure_level_of_a_unit_is_low(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLDS[unit]}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_that_the_units_name_exists() -> None:
    assert len(UNITS) == 4
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        pages = re.findall(r"^Documentation=file:///opt/perceptd/(\S+)$", text, re.MULTILINE)
        assert pages
        assert all((ROOT / page).is_file() for page in pages)
