"""All packages: two builds in two checkouts give the same bytes, each is small enough, and lintian finds no error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packages.targets import TARGETS, Target

from tests.helpers.packages import ROOT, WHEELS

pytestmark = [pytest.mark.campaign("packages", part=0), pytest.mark.xdist_group("package")]

LARGEST = 400_000_000
BUILD = """
import sys
from pathlib import Path
from packages.deb import build_deb
from packages.targets import target_named
print(build_deb(target_named(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
"""


def build(checkout: Path, target: Target, out: Path, umask: int) -> Path:
    command = [sys.executable, "-c", BUILD, target.name, str(out), str(WHEELS)]
    environment = {**os.environ, "PYTHONPATH": f"{checkout / 'scripts'}:{checkout}"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, umask=umask)
    return Path(done.stdout.strip())


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_two_builds_are_the_same_bytes_and_good_for_debian(target: Target, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "checkout"
    subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", ROOT, other], check=True)
    first = build(ROOT, target, tmp_path / "first", 0o022)
    second = build(other, target, tmp_path / "second", 0o077)
    assert first.read_bytes() == second.read_bytes()
    second.unlink()
    shutil.rmtree(other)

    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", first, root], check=True)
    # Any Python's bytecode is about as large as that of the target. An older one cannot compile a few files.
    subprocess.run([sys.executable, "-m", "compileall", "-q", root], check=False, capture_output=True)
    used = subprocess.run(["du", "--summarize", "--block-size=1", root], check=True, capture_output=True)
    assert int(used.stdout.split()[0]) < LARGEST

    checked = subprocess.run(["lintian", "--fail-on", "error", first], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
