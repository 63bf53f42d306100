"""Runs a module of the tests that cuts off what it does at calls that change the disk. See tests/powercut/cut.c."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.helpers.compiled import compile_library

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 600.0

# how a call is cut off: the numbers of cut.c
MANNERS = {"EIO once": 1, "EROFS from": 2, "ENOSPC from": 3, "short once": 4, "kill": 5}


def make_shim(directory: Path) -> Path:
    """The library to preload, compiled."""
    return compile_library(directory / "libtestcut.so", [ROOT / "tests/powercut/cut.c"], "-ldl")


def in_memory() -> Iterator[str]:
    """A directory in memory, where there is one: many stores are made in it. For a fixture."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield directory


def run_cuts(module: str, shim: Path, directory: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a module with the library; return what it prints."""
    command = [sys.executable, "-m", module, directory, str(shim), *arguments]
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": f"{ROOT}"}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd=ROOT, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found
