"""Power cuts, kills and failing disks: no example is half there, and none is lost that was acknowledged."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.campaign import IS_CAMPAIGN, SEED, repetitions
from tests.helpers.compiled import compile_library

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 600.0
# of each manner, so many are cut at, unless a campaign cuts at all of them
CALLS, KILLS = 4, 10


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = ROOT / "tests/powercut/cut.c"
    return compile_library(tmp_path_factory.mktemp("cut") / "libtestcut.so", [source], "-ldl")


@pytest.fixture
def memory() -> Iterator[str]:
    """A directory in memory, where there is one: many stores are made in it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield directory


def run(shim: Path, directory: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.teaching.powercut", directory, str(shim), *arguments]
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": f"{ROOT}"}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd=ROOT, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


@pytest.mark.campaign("power-cuts")
def test_cut_at_each_call_that_changes_the_disk(shim: Path, memory: str) -> None:
    for found in run(shim, memory, "calls", str(CALLS)):
        assert found["problems"] == []
        assert found["places"] > 100
        assert found["cuts"] == (found["places"] if IS_CAMPAIGN else CALLS)


@pytest.mark.campaign("power-cuts")
def test_killed_at_random_moments(shim: Path, memory: str) -> None:
    kills = repetitions(KILLS, 200)
    (found,) = run(shim, memory, "random", str(kills), f"{SEED} kills")
    assert found["problems"] == []
    assert found["cuts"] == kills
