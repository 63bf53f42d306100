"""Updates that are cut off, each in a process of its own, and what a device does after that.

Run as a program, it makes one campaign of cuts after the other and prints what it has found: see test_power_cuts.py.
All processes are forked from this one, which has everything imported, and no threads.
"""

import contextlib
import ctypes
import gc
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from daemon.updates.fetch import main as fetch
from daemon.updates.probation import ProbationPolicy
from daemon.updates.state import BundleMetrics, UpdateState
from daemon.updates.steps import Beat, Derived, Step
from daemon.updates.taught_state import TaughtState
from daemon.updates.updater import Snapshot
from tests.fakes.stage_runner import LocalRunner
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.forked import Report, in_child
from tests.helpers.plain_bundles import entries_of
from tests.helpers.tufrepo import TufRepo
from tests.updates.device import Device

OLD, NEW = "digits@0.5.0", "digits@0.6.0"
TAUGHT, DERIVED = "digits@0.5.0+taught.1", "digits@0.6.0+taught.2"
MANNERS = {"never": 0, "EIO once": 1, "EROFS from": 2, "ENOSPC from": 3, "short once": 4, "kill": 5}

Act = Callable[[Device], None]


def update(device: Device) -> None:
    """The old version runs; the new one is wanted, and confirmed."""
    state = device.install("0.6.0").state
    assert state.active is not None
    assert device.host.runs in (OLD, NEW)
    assert state.active.id == device.host.runs or device.status().trouble is not None


def go_back(device: Device) -> None:
    """The new version is installed, and fails its probation: whatever the disk does, the old one runs."""
    device.host.does = {NEW: BundleMetrics(moments=1, errors=1, p99_ms=None, mean_top_score=None)}
    device.install("0.6.0")
    assert device.host.runs == OLD


def restart(device: Device) -> None:
    """The new version is on probation already, and is confirmed."""
    device.until(lambda status: status.state.probation is None)
    assert device.host.runs in (OLD, NEW)


def teach(device: Device) -> None:
    """The old version runs; labels are taught on it. What a failing disk puts off is tried again later."""
    device.teach("1", "0.5.0")
    device.until(lambda status: status.taught.last_result and (device.is_settled(status) or _is_put_off(status)))
    assert device.host.runs in (OLD, TAUGHT)


def _is_put_off(status: Snapshot) -> bool:
    return status.taught.candidate is not None and status.taught.candidate.closed


def derive(device: Device) -> None:
    """Labels are taught on the old version; the new one is wanted, with them."""
    device.install("0.6.0")
    assert device.host.runs in (TAUGHT, DERIVED)


class FetchRunner(LocalRunner):
    """Implements Runner: bundles are fetched as they are in life, from a repository with signed metadata."""

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        if step in ("check", "selftest"):
            return super().run(step, request, deadline_s, beat, inherits)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            getattr(fetch, step)(request)
        return said.getvalue()


ACTS: dict[str, Act] = {"update": update, "go back": go_back, "restart": restart, "teach": teach, "derive": derive}

# what runs before an act, and after it
ENDS = dict.fromkeys(ACTS, (OLD, NEW)) | {"teach": (OLD, TAUGHT), "derive": (TAUGHT, DERIVED)}


@dataclass
class Campaign:
    """How many places there are to cut at, how many tries were cut, which bundle ran after how many of them.

    `problems` says what was not as it must be.
    """

    places: int = 0
    cuts: int = 0
    after: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Cuts:
    """Makes devices, cuts what they do, and looks at them afterwards."""

    def __init__(self, directory: Path, shim: ctypes.CDLL) -> None:
        self._directory = directory
        self._shim = shim
        self._template = directory / "template"
        self._try = directory / "try"
        self._make_templates()

    def by_call(self, act: str, manner: str, part: int) -> Campaign:
        """Cut at calls that change the disk, one try for each."""
        campaign = Campaign(places=self._places(act, at_boundaries=False))
        for number in _numbers(campaign.places, part, f"{act} {manner}"):
            self._begin(act)
            through = in_child(lambda report, number=number: self._act(act, report, number, MANNERS[manner]))
            self._count(campaign, act, f"{act}, {manner} at call {number}", through)
            if through == "through" and IS_CAMPAIGN:
                break
        return campaign

    def at_boundaries(self, act: str, part: int) -> Campaign:
        """Kill before and after stages, and at changes of the state, one try for each."""
        campaign = Campaign(places=self._places(act, at_boundaries=True))
        for number in _numbers(campaign.places, part, f"{act} boundaries"):
            self._begin(act)
            through = in_child(lambda report, number=number: self._act(act, report, points=number))
            self._count(campaign, act, f"{act}, killed at boundary {number}", through)
            if through == "through" and IS_CAMPAIGN:
                break
        return campaign

    def at_random(self, act: str, tries: int, part: int, seed: int) -> Campaign:
        """Kill at so many random moments of the time that it takes, or at a part of them."""
        campaign, chance = Campaign(places=tries), random.Random(seed)
        took_s = self._time(act)
        for moment_s in share([chance.uniform(0, took_s) for _ in range(tries)], part, f"{act} moments"):
            self._begin(act)
            in_child(lambda report: self._act(act, report), kill_after_s=moment_s)
            self._count(campaign, act, f"{act}, killed after {moment_s * 1000:.1f} ms", "")
        return campaign

    def log(self, act: str) -> list[list[str]]:
        """Every call that changes the disk, in order: what, path, and where to."""
        self._begin(act)
        path = self._directory / "log"
        log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        told = in_child(lambda report: self._act(act, report, 0, 0, log))
        os.close(log)
        assert told == "through", told
        return [line.split("\t") for line in path.read_text().splitlines()]

    def _make_templates(self) -> None:
        repo = TufRepo(self._template / "update" / "public")
        device = _device(self._template / "update")
        for version in ("0.5.0", "0.6.0"):
            directory = device.publish(version)
            repo.add(
                "digits",
                version,
                {entry.path: (directory / entry.path).read_bytes() for entry in entries_of(directory)},
            )
        repo.publish()
        with device:
            device.install("0.5.0")
        shutil.copytree(self._template / "update", self._template / "derive")
        device = _device(self._template / "derive", "derive")
        with device:
            device.teach("1", "0.5.0")
            device.until_runs(TAUGHT)
        shutil.copytree(self._template / "update", self._template / "restart")
        device = _device(self._template / "restart")
        device.policy = ProbationPolicy()
        device.host.does = {NEW: BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
        with device:
            device.updater.install("digits", "0.6.0")
            device.until(lambda status: status.state.probation)

    def _begin(self, act: str) -> None:
        shutil.rmtree(self._try, ignore_errors=True)
        shutil.copytree(self._template / (act if act in ("restart", "derive") else "update"), self._try)

    def _act(self, act: str, report: Report, number: int = 0, manner: int = 0, log: int = -1, points: int = 0) -> None:
        device = _device(self._try, act)
        if points:
            _kill_at(device, points)
        self._shim.cut_arm(str(device.directory).encode(), number, manner, log)
        with device:
            ACTS[act](device)
        if number == 0 or self._shim.cut_count() < number:
            report("through")

    def _places(self, act: str, at_boundaries: bool) -> int:
        """How many calls or boundaries the act has when nothing cuts it."""

        def work(report: Report) -> None:
            device = _device(self._try, act)
            passed = _kill_at(device, 0)
            self._shim.cut_arm(str(device.directory).encode(), 0, 0, -1)
            with device:
                ACTS[act](device)
            report(str(passed() if at_boundaries else self._shim.cut_count()))

        self._begin(act)
        return int(in_child(work))

    def _time(self, act: str) -> float:
        times_s = []
        for _ in range(5):
            self._begin(act)
            began_s = time.monotonic()
            assert in_child(lambda report: self._act(act, report)) == "through"
            times_s.append(time.monotonic() - began_s)
        return sorted(times_s)[2]

    def _count(self, campaign: Campaign, act: str, what: str, told: str) -> None:
        campaign.cuts += 1
        if told not in ("", "through"):
            campaign.problems.append(f"{what}: {told}")
        runs = in_child(lambda report: _afterwards(self._try, act, report))
        campaign.after[runs[:40]] = campaign.after.get(runs[:40], 0) + 1
        if runs not in ENDS[act]:
            campaign.problems.append(f"{what}, then: {runs}")


def _device(directory: Path, act: str = "update") -> Device:
    device = Device(directory, source="public")
    if act == "update":  # the others differ in what comes after it was fetched
        device.runner = FetchRunner(directory / "source")
    device.policy = ProbationPolicy(max_duration_s=0.0)
    if act == "derive":
        device.host.derives[NEW] = Derived(device.write_taught("2", "0.6.0"), DERIVED)
    return device


def _afterwards(directory: Path, act: str, report: Report) -> None:
    """The next start: which bundle runs, and that it is whole is what the start looks at; then an update is made."""
    device = _device(directory, act)
    with device:
        runs, (old, new) = device.host.runs, ENDS[act]
        assert runs in (old, new), f"runs {runs}"
        assert not [entry for entry in device.status().state.refused if entry.stage != "probation"]
        assert device.status().taught.refused is None
        device.until(device.is_settled, "never settles")
        if device.host.runs != new:
            if act == "teach":
                device.teach("1", "0.5.0")
                device.until_runs(TAUGHT)
            else:
                device.install("0.6.0")
        assert device.host.runs == new, f"no update can be made: {device.status()}"
    with device:
        assert device.host.runs == new
        status = device.status()
    _check_store(directory / "models", status.state.required_contents)
    if act in ("teach", "derive"):
        _check_store(directory / "models/taught", status.taught.required_contents)
        TaughtState.model_validate_json((directory / "models/taught/state.json").read_bytes())
    UpdateState.model_validate_json((directory / "models/state.json").read_bytes())
    report(runs)


def _check_store(directory: Path, required: Set[str]) -> None:
    assert {path.name for path in (directory / "slots").iterdir()} == required, "something is left in the store"
    assert not list(directory.glob("trash*")), "something is left in the trash"


def _numbers(places: int, part: int, name: str) -> Iterable[int]:
    """A part of 1 to `places` that the seed chooses; in a campaign every number, until a try runs through."""
    return count(1) if IS_CAMPAIGN else share(range(1, places + 1), part, name)


def _kill_at(device: Device, points: int) -> Callable[[], int]:
    """Let it be killed at this boundary, if there are so many; gives how many it has passed."""
    passed = 0

    def point(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed == points:
            os.kill(os.getpid(), signal.SIGKILL)

    run = device.runner.run

    def between(*arguments: object) -> str:
        point()
        answer = run(*arguments)  # type: ignore[arg-type]
        point()
        return answer

    device.runner.run = between  # type: ignore[assignment]
    device.host.before_commit = device.host.after_commit = point
    device._count = point  # type: ignore[method-assign]
    return lambda: passed


def main(directory: str, shim: str, campaign: str, *arguments: str) -> None:
    cuts = Cuts(Path(directory), ctypes.CDLL(shim))
    gc.freeze()  # forks then share what is there
    if campaign == "log":
        print(json.dumps(cuts.log(*arguments)))
    elif campaign == "random":
        act, tries, part, seed = arguments
        print(json.dumps(asdict(cuts.at_random(act, int(tries), int(part), int(seed)))))
    elif campaign == "boundaries":
        act, part = arguments
        print(json.dumps(asdict(cuts.at_boundaries(act, int(part)))))
    else:
        act, manner, part = arguments
        print(json.dumps(asdict(cuts.by_call(act, manner, int(part)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
