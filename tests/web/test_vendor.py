"""The files of others that the page ships are those of the releases that scripts/vendor names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_vendored_files_are_as_released() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "vendor"), "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
