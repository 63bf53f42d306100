"""Changes of what was taught that are cut off, each in a process of its own, and what the next start finds.

usage: python -m tests.teaching.powercut DIRECTORY SHIM calls PART
       python -m tests.teaching.powercut DIRECTORY SHIM random KILLS SEED

Prints as JSON how many cuts there were and what was not as it must be. All processes are forked from this one.
"""

import contextlib
import ctypes
import gc
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from daemon.core.errors import TeachingError
from daemon.teaching.records import Example, StoredMoment
from daemon.teaching.store import TeachingStore
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.forked import Report, in_child
from tests.helpers.power_cuts import MANNERS
from tests.teaching.records import MADE_BY, background, example, vectors, wrong

KEPT = 6

Step = Callable[[TeachingStore], object]


def taught(number: int) -> Example:
    """An example whose content follows from its number."""
    picture = bytes([number % 256]) * 20_000
    return example(f"e{number}", picture=picture, moments=[StoredMoment(0, vectors(number, 600))])


STEPS: Sequence[Step] = (
    lambda store: store.add_example(taught(2)),
    lambda store: store.remove_example("e1"),
    lambda store: store.add_wrong(wrong(), "event1"),
    lambda store: store.add_background(background()),
    lambda store: store.undo(),
    lambda store: store.add_embedding("e2", {"image": "f" * 64}, [StoredMoment(0, {"image": vectors(9)["image"]})]),
    lambda store: store.set_everywhere("kettle boils"),
    lambda store: store.forget_label("kettle boils"),
    lambda store: store.add_example(taught(3)),
)


@dataclass
class Found:
    """How many tries were cut, how many places there are to cut at, and what was not as it must be."""

    cuts: int = 0
    places: int = 0
    problems: list[str] = field(default_factory=list)


class Cuts:
    """Makes stores, cuts what changes them, and looks at them afterwards."""

    def __init__(self, directory: Path, shim: ctypes.CDLL) -> None:
        self._shim = shim
        self._template, self._try = directory / "template", directory / "try"
        first = TeachingStore(self._template / "teaching" / "teaching.db")
        first.add_example(taught(1))
        first.close()
        self._states = self._uncut_states()

    def by_call(self, manner: str, part: int) -> Found:
        """Cut at calls that change the disk, one try for each."""
        self._begin()
        found = Found(places=int(in_child(self._count_calls)))
        numbers = range(1, found.places + 1)
        for number in numbers if IS_CAMPAIGN else share(numbers, part, f"teaching {manner}"):
            self._begin()
            told = in_child(lambda report, number=number: self._change(report, number, MANNERS[manner]))
            found.cuts += 1
            done = told.count("done")
            problem = told if "Traceback" in told else in_child(lambda report, done=done: report(self._look(done)))
            if problem:
                found.problems.append(f"{manner} at call {number}, after step {done}: {problem}")
        return found

    def at_random(self, kills: int, chance: random.Random) -> Found:
        """Kill one process after the other at random moments while it adds and removes examples of one store."""
        found = Found(places=kills)
        self._begin()
        expected = {1}
        for first in range(2, 2 + kills * 1000, 1000):
            after_s = chance.uniform(0.0, 0.08)
            told = in_child(
                lambda report, first=first: self._add_and_remove(report, first), after_s, from_first_report=True
            )
            found.cuts += 1
            unsure: set[int] = set()
            for line in told.splitlines():
                what, number = line.split()
                unsure = {int(number)} if what in ("adds", "removes") else set()
                if what == "added":
                    expected.add(int(number))
                elif what == "removed":
                    expected.discard(int(number))
            seen = in_child(lambda report: report(json.dumps(self._whole())))
            if seen.startswith("Traceback"):
                found.problems.append(f"killed after {after_s * 1000:.1f} ms: {seen}")
                break
            if (set(json.loads(seen)) ^ expected) - unsure:
                found.problems.append(f"killed after {after_s * 1000:.1f} ms: has {seen}, expected {sorted(expected)}")
            expected = set(json.loads(seen))
        return found

    def _begin(self) -> None:
        shutil.rmtree(self._try, ignore_errors=True)
        shutil.copytree(self._template, self._try)

    def _open(self) -> TeachingStore:
        return TeachingStore(self._try / "teaching" / "teaching.db")

    def _uncut_states(self) -> list[str]:
        """What is in the store before the first step and after each."""
        self._begin()
        store = self._open()
        states = [_state(store)]
        for step in STEPS:
            step(store)
            states.append(_state(store))
        store.close()
        assert len(set(states)) == len(states)
        return states

    def _change(self, report: Report, number: int, manner: int) -> None:
        """Do the steps until one is refused; report each that is done."""
        self._shim.cut_arm(str(self._try).encode(), number, manner, -1)
        with contextlib.suppress(TeachingError):
            store = self._open()
            for step in STEPS:
                step(store)
                report("done\n")

    def _count_calls(self, report: Report) -> None:
        self._change(lambda _text: None, 0, 0)
        report(str(self._shim.cut_count()))

    def _look(self, done: int) -> str:
        """What is wrong with the store after so many steps; nothing when it is whole and takes another example."""
        store = self._open()
        if store.problem is not None:
            return store.problem
        state = _state(store)
        # the step that was cut off may be done, or not; forgetting is done bit by bit, but nobody sees that
        if state not in self._states[done : done + 2]:
            where = self._states.index(state) if state in self._states else "none"
            return f"the store is as after step {where}"
        store.add_example(taught(99))
        return ""

    def _add_and_remove(self, report: Report, first: int) -> None:
        store = self._open()
        present = [info.id for info in store.examples()]
        for number in count(first):
            if len(present) >= KEPT:
                oldest = present.pop(0)
                report(f"removes {oldest[1:]}\n")
                store.remove_example(oldest)
                report(f"removed {oldest[1:]}\n")
            report(f"adds {number}\n")
            store.add_example(taught(number))
            report(f"added {number}\n")
            present.append(f"e{number}")

    def _whole(self) -> list[int]:
        """The numbers of the examples, each of which is as it was added."""
        store = self._open()
        assert store.problem is None, store.problem
        numbers = sorted(int(info.id[1:]) for info in store.examples())
        for number in numbers:
            assert repr(store.example(f"e{number}")) == repr(taught(number)), f"e{number} is half there"
        return numbers


def _state(store: TeachingStore) -> str:
    """All that can be read of a store."""
    data = store.training_data(MADE_BY)
    held = [store.example(info.id) for info in store.examples()]
    others = store.training_data({"image": "f" * 64}).examples
    return repr((held, data, others, store.everywhere(), store.background_counts(MADE_BY), store.changes()))


def main(directory: str, shim: str, campaign: str, *arguments: str) -> None:
    cuts = Cuts(Path(directory), ctypes.CDLL(shim))
    gc.freeze()  # forks then share what is there
    if campaign == "calls":
        (part,) = arguments
        print(json.dumps([asdict(cuts.by_call(manner, int(part))) for manner in MANNERS]))
    else:
        kills, seed = arguments
        print(json.dumps([asdict(cuts.at_random(int(kills), random.Random(seed)))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
