"""A promised time, measured on a machine that may be busy with other programs."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# however busy the machine is, only a failure takes this long
LONGEST_S = 120.0

LOOK_S, POLL_S = 0.1, 0.01


class PromisedTime:
    """Passes like the clock, but stands still while threads of this process and those below it wait for a processor.

    On a machine with an idle processor no thread waits, and this is the time of the clock.
    """

    def __init__(self) -> None:
        self._looked_s = time.monotonic()
        self._waited_s = dict(_waits_s())
        self._elapsed_s = 0.0

    def elapsed_s(self) -> float:
        """Return the time that has passed. Threads that end between two calls are not counted: call it often."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            waited_s = dict(_waits_s())
            waiting_s = sum(total_s - self._waited_s.get(thread, 0.0) for thread, total_s in waited_s.items())
            self._elapsed_s += max(0.0, now_s - self._looked_s - waiting_s)
            self._looked_s, self._waited_s = now_s, waited_s
        return self._elapsed_s


def within(promised_s: float, condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; fail with `what` when it does not hold in the promised time."""
    promised, limit_s = PromisedTime(), time.monotonic() + max(LONGEST_S, promised_s)
    while not condition():
        assert promised.elapsed_s() <= promised_s, f"not within {promised_s} s: {what}"
        assert time.monotonic() < limit_s, f"waited {LONGEST_S} s in vain: {what}"
        time.sleep(POLL_S)


def _waits_s() -> Iterator[tuple[str, float]]:
    """Yield each thread of this process and those below it, with the time that it has waited for a processor."""
    processes = [os.getpid()]
    while processes:
        with contextlib.suppress(OSError):  # the process has ended
            for task in Path(f"/proc/{processes.pop()}/task").iterdir():
                with contextlib.suppress(OSError):
                    processes += map(int, (task / "children").read_text().split())
                    yield task.name, int((task / "schedstat").read_text().split()[1]) / 1e9
