"""Power cuts and failing disks: whatever is cut, the next start runs a whole bundle, and an update can be made then."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.compiled import compile_library
from tests.updates.powercut import ENDS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests/powercut/cut.c"
DEADLINE_S = 300.0
CALLS, BOUNDARIES, MOMENTS = 6, 4, 12
"""Of each, so many are cut at, unless a campaign cuts at all of them."""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("cut") / "libtestcut.so", [SOURCE], "-ldl")


@pytest.fixture
def memory() -> Iterator[str]:
    """A directory in memory, where there is one: hundreds of devices are made in it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield directory


def run(shim: Path, directory: str, *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.updates.powercut", directory, str(shim), *arguments]
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": f"{ROOT}"}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd=ROOT, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout)


ALL = ("kill", "EIO once", "EROFS from", "ENOSPC from", "short once")
# going back, most calls are an update's
MANNERS = {"update": ALL, "go back": ("kill", "EROFS from"), "restart": ALL}
MANNERS |= {"teach": ALL if IS_CAMPAIGN else ("kill", "EROFS from"), "derive": ("kill",)}


@pytest.mark.parametrize(("act", "manner"), [(act, manner) for act in MANNERS for manner in MANNERS[act]])
@pytest.mark.campaign("power-cuts")
def test_cut_at_each_call_that_changes_the_disk(shim: Path, memory: str, act: str, manner: str) -> None:
    found = run(shim, memory, "calls", act, manner, str(CALLS))
    assert found["problems"] == []
    assert found["places"] > {"update": 80, "go back": 80, "restart": 10, "teach": 40, "derive": 80}[act]  # type: ignore[operator]
    assert found["cuts"] >= (found["places"] if IS_CAMPAIGN else CALLS)  # type: ignore[operator]
    assert set(found["after"]) <= set(ENDS[act])  # type: ignore[call-overload]


@pytest.mark.parametrize("act", ["update", "go back", "restart", "teach", "derive"])
@pytest.mark.campaign("power-cuts")
def test_killed_before_and_after_each_stage(shim: Path, memory: str, act: str) -> None:
    found = run(shim, memory, "boundaries", act, str(BOUNDARIES))
    assert found["problems"] == []
    least = {"update": 20, "go back": 20, "restart": 1, "teach": 10, "derive": 20}[act]
    assert found["places"] >= least  # type: ignore[operator]
    assert found["cuts"] >= (least + 1 if IS_CAMPAIGN else min(BOUNDARIES, least))  # type: ignore[operator]


@pytest.mark.campaign("power-cuts")
def test_killed_at_random_moments(shim: Path, memory: str) -> None:
    found = run(shim, memory, "random", "update", "200", str(MOMENTS), "20261127")
    assert found["problems"] == []
    assert found["cuts"] == (200 if IS_CAMPAIGN else MOMENTS)


@pytest.mark.parametrize("act", ["update", "go back", "teach", "derive"])
def test_bundles_are_on_disk_before_the_state_that_names_them(shim: Path, memory: str, act: str) -> None:
    calls = run(shim, memory, "log", act)
    disk = Disk(memory + "/try/models")
    for what, path, to in calls:  # type: ignore[misc]
        disk.take(what, path, to)
    assert disk.states >= (4 if act == "teach" else 9) and disk.slots
    assert disk.problems == []


class Disk:
    """What a disk may have lost when the power goes: files written and names changed since they were last synced."""

    def __init__(self, root: str) -> None:
        self._root = PurePosixPath(root)
        self._unsynced: set[PurePosixPath] = set()
        self.slots: set[PurePosixPath] = set()
        self.states = 0
        self.problems: list[str] = []

    def take(self, what: str, path_text: str, to_text: str) -> None:
        path, to = PurePosixPath(path_text), PurePosixPath(to_text)
        if what == "sync":
            self._unsynced.discard(path)
            return
        if what == "rename":
            self._look(path, to)
            self._rename(path, to)
            return
        self._unsynced.add(path.parent if what in ("mkdir", "unlink") else path)
        if what == "create":
            self._unsynced.add(path.parent)

    def _rename(self, path: PurePosixPath, to: PurePosixPath) -> None:
        inside = {known for known in self._unsynced if known == path or path in known.parents}
        self._unsynced -= inside
        self._unsynced |= {to / known.relative_to(path) for known in inside} | {path.parent, to.parent}
        self.slots.discard(path)
        if to.parent.name == "slots":
            self.slots.add(to)

    def _look(self, path: PurePosixPath, to: PurePosixPath) -> None:
        if to.name == "state.json":
            self.states += 1
            needed = {path, *self.slots, *(slot.parent for slot in self.slots)}
            lost = {known for known in self._unsynced if needed & {known, *known.parents}}
            self.problems += [f"{known} is not on disk when a state is written" for known in lost]
        if path in self.slots and self._root in self._unsynced:
            self.problems.append(f"{path} goes before the state that does not need it is on disk")
