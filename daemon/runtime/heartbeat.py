"""What a loop shows of itself: that it still goes round. Read by whoever feeds the watchdog."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.core.timing import NS_PER_S, monotonic_ns

IDLE_S = 1.0
"""A loop with nothing to do goes round this often."""

HANG_AFTER_S = 4.0
"""A round that lasts longer hangs: what is done in one, an encoding or a fusion, takes milliseconds."""

COMM_CHARS = 15
"""The kernel keeps no more of a thread's name (TASK_COMM_LEN in linux/sched.h)."""


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """The round a loop was in when it was looked at: when it began, and by when the next was to begin."""

    loop: str
    alive: bool
    began_ns: int
    due_ns: int


class Heartbeat:
    """The rounds of one loop, marked by its own thread and looked at by another."""

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self._thread: threading.Thread | None = None
        self.mark()

    def begin(self) -> None:
        """Called by the loop's thread, which `top -H` and `ps -L` then show by name: the loop lives as long as it."""
        self._thread = threading.current_thread()
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self._loop[:COMM_CHARS])
        self.mark()

    def mark(self, within_s: float = HANG_AFTER_S) -> None:
        """A round begins; the next will within the time."""
        now_ns = monotonic_ns()
        self._round_ns = now_ns, now_ns + round(within_s * NS_PER_S)

    def snapshot(self) -> HeartbeatStatus:
        """The present round; callable from any thread."""
        began_ns, due_ns = self._round_ns
        return HeartbeatStatus(self._loop, self._thread is None or self._thread.is_alive(), began_ns, due_ns)


def hung_loops(rounds: Iterable[HeartbeatStatus], now_ns: int) -> str | None:
    """Which loops have ended or hang, in words; None while all go round."""
    found = [
        f"{loop.loop} has hung for {(now_ns - loop.began_ns) // NS_PER_S} s" if loop.alive else f"{loop.loop} has ended"
        for loop in rounds
        if not loop.alive or now_ns > loop.due_ns
    ]
    return ", ".join(found) or None


SHORT_S = 0.0005
"""A tenth of Python's own: a frame passes several threads on its way, and waits for its turn in each."""


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Meanwhile every thread gives way after half a millisecond: for long work beside threads that must not wait."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
