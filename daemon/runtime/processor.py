"""How much processor time the daemon gets: less than it wants when other programs or a limit take it."""

import time
from collections.abc import Callable
from pathlib import Path

from daemon.core.timing import monotonic_ns

TASKS = Path("/proc/self/task")


def runnable_threads() -> int:
    """Return how many other threads of this process run, or wait for a processor."""
    return sum(map(_is_runnable, TASKS.iterdir())) - 1


def _is_runnable(thread: Path) -> bool:
    try:
        return b") R " in (thread / "stat").read_bytes()
    except OSError:  # it has ended
        return False


class ProcessorShare:
    """What the daemon got between the latest two looks. Used by one thread, which looks several times a second.

    `wall_ns` is the time between the looks, `cpu_ns` the processor time of all threads in it.
    """

    def __init__(
        self,
        runnable: Callable[[], int] = runnable_threads,
        now_ns: Callable[[], int] = monotonic_ns,
        process_ns: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._runnable, self._now_ns, self._process_ns = runnable, now_ns, process_ns
        self._looked_ns, self._used_ns = now_ns(), process_ns()
        self._is_short: bool | None = None
        self.wall_ns = self.cpu_ns = 0

    def look(self) -> None:
        """Measure the time since the look before."""
        looked_ns, used_ns = self._now_ns(), self._process_ns()
        self.wall_ns, self.cpu_ns = looked_ns - self._looked_ns, used_ns - self._used_ns
        self._looked_ns, self._used_ns = looked_ns, used_ns
        self._is_short = None

    def is_short(self) -> bool:
        """Return whether more threads want a processor now than had one since the look before.

        A thread that is blocked wants none, and one that spins on a free processor has one.
        """
        if self._is_short is None:
            self._is_short = self._runnable() > self.cpu_ns / max(1, self.wall_ns) + 0.5
        return self._is_short
