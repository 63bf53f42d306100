"""Changes of the history that are cut off, each in a process of its own, and what the next start finds.

usage: python -m tests.history.powercut DIRECTORY SHIM calls PART
       python -m tests.history.powercut DIRECTORY SHIM order

Prints as JSON how many cuts there were and what was not as it must be, or the calls that change the disk.
All processes are forked from this one.
"""

import contextlib
import ctypes
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from daemon.core.errors import HistoryError
from daemon.history.eraser import HistoryEraser
from daemon.history.reader import HistoryReader
from daemon.history.records import Quota
from daemon.history.schema import ROW_BYTES
from daemon.history.store import HistoryStore
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.forked import Report, in_child
from tests.helpers.power_cuts import MANNERS
from tests.history.kept import BEGAN_S, Clocks, agreement, ended, keep_whole, kept_event, write_parts

# four events with their files
QUOTA = Quota(4 * (ROW_BYTES + 8) + 100, 1e9)

Step = Callable[[HistoryStore], object]


def begin(store: HistoryStore) -> None:
    write_parts(store.begin(kept_event("e2")))


def end(store: HistoryStore) -> None:
    store.finish(ended(kept_event("e2"), clip=None), clip_follows=True)


def finish(store: HistoryStore) -> None:
    store.finish(ended(kept_event("e2")))


def several(store: HistoryStore) -> None:
    keep_whole(store, kept_event("e3"))
    store.begin(kept_event("e4"))
    store.keep("e1", True)
    store.judge("e2", "was", "bell")


def without_files(store: HistoryStore) -> None:
    store.finish(ended(kept_event("e4"), snapshot=None, clip=None))
    store.delete("e3")


def more(store: HistoryStore) -> None:
    for name in ("e5", "e6", "e7"):
        keep_whole(store, kept_event(name, BEGAN_S + 86_400))


def tidy(store: HistoryStore) -> None:
    assert store.tidy() > 0


STEPS: Sequence[Step] = (begin, end, finish, several, without_files, more, tidy)


@dataclass
class Found:
    """How many tries were cut, how many places there are to cut at, and what was not as it must be."""

    cuts: int = 0
    places: int = 0
    problems: list[str] = field(default_factory=list)


class Cuts:
    """Makes histories, cuts what changes them, and looks at them afterwards."""

    def __init__(self, directory: Path, shim: ctypes.CDLL) -> None:
        self._shim = shim
        self._template, self._try = directory / "template", directory / "try"
        self._history = self._try / "history"
        first = _opened(self._template / "history")
        keep_whole(first, kept_event("e1"))
        write_parts(first.begin(kept_event("open")))
        first.commit()
        first.close()
        (self._template / "history" / "clips" / "99.mp4").write_bytes(b"of no event")
        self._states = [in_child(lambda report, done=done: report(self._uncut(done))) for done in range(len(STEPS) + 2)]
        assert len(set(self._states)) == len(self._states), self._states

    def by_call(self, manner: str, part: int) -> Found:
        """Cut at calls that change the disk, one try for each."""
        self._begin()
        found = Found(places=int(in_child(self._count_calls)))
        numbers = range(1, found.places + 1)
        for number in numbers if IS_CAMPAIGN else share(numbers, part, f"history {manner}"):
            self._begin()
            told = in_child(lambda report, number=number: self._change(report, number, MANNERS[manner]))
            found.cuts += 1
            done = told.count("done")
            problem = told if "Traceback" in told else in_child(lambda report, done=done: report(self._look(done)))
            if problem:
                found.problems.append(f"{manner} at call {number}, after step {done}: {problem}")
        return found

    def calls(self) -> list[str]:
        """The calls of all steps that change the disk, in their order."""
        self._begin()
        log = self._try.with_name("log")
        with log.open("wb") as file:
            in_child(lambda _report: self._change(_ignored, 0, 0, file.fileno()))
        return [line.replace(str(self._history), "") for line in log.read_text().splitlines()]

    def _begin(self) -> None:
        shutil.rmtree(self._try, ignore_errors=True)
        shutil.copytree(self._template, self._try)

    def _uncut(self, done: int) -> str:
        """What the next start finds after so many steps."""
        self._begin()
        self._do(STEPS[:done])
        if done > len(STEPS):
            _erase(self._history)
        return self._state()

    def _do(self, steps: Sequence[Step], report: Report | None = None) -> None:
        store = _opened(self._history)
        for step in steps:
            step(store)
            store.commit()
            if report is not None:
                report("done\n")

    def _change(self, report: Report, number: int, manner: int, log: int = -1) -> None:
        """Do the steps until one is refused; report each that is done."""
        self._shim.cut_arm(str(self._try).encode(), number, manner, log)
        with contextlib.suppress(HistoryError, OSError):  # the file of a clip is written by others
            self._do(STEPS, report)
            _erase(self._history)
            report("done\n")

    def _count_calls(self, report: Report) -> None:
        self._change(_ignored, 0, 0)
        report(str(self._shim.cut_count()))

    def _state(self) -> str:
        """All that can be read of a history after a start."""
        store = _opened(self._history)
        if store.problem is not None or (problems := agreement(self._history)):
            return f"not whole: {store.problem or problems}"
        with HistoryReader(self._history) as reader:
            return repr((reader.events(limit=1000), reader.usage(), reader.days()))

    def _look(self, done: int) -> str:
        """What is wrong with the history after so many steps; nothing when it is whole and keeps another event."""
        state = self._state()
        # the step that was cut off may be done, or not; deleting all is done bit by bit
        if state not in self._states[done : done + 2]:
            return f"it is as after step {self._states.index(state)}" if state in self._states else state
        store = _opened(self._history)
        keep_whole(store, kept_event("another"))
        store.commit()
        return "; ".join(agreement(self._history))


def _opened(directory: Path) -> HistoryStore:
    clocks = Clocks()
    return HistoryStore(directory, QUOTA, now=clocks.now, now_ns=clocks.now_ns)


def _erase(directory: Path) -> None:
    with HistoryEraser(directory) as eraser:
        list(eraser.delete_before("2023-11-16"))
        eraser.empty_journal()


def _ignored(_text: str) -> None:
    pass


def main(directory: str, shim: str, campaign: str, *arguments: str) -> None:
    cuts = Cuts(Path(directory), ctypes.CDLL(shim))
    gc.freeze()  # forks then share what is there
    if campaign == "calls":
        (part,) = arguments
        print(json.dumps([asdict(cuts.by_call(manner, int(part))) for manner in MANNERS]))
    else:
        print(json.dumps([{"calls": cuts.calls()}]))


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    main(*sys.argv[1:])
