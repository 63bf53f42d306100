"""Heartbeats of the program's loops, which the watchdog checks, and the switch interval of Python's threads."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.processor import ProcessorShare

# a loop with nothing to do iterates this often
IDLE_S = 1.0

# a longer iteration hangs: its work, an encoding or a fusion, takes milliseconds
HANG_AFTER_S = 4.0

# A hang is certain only after this time, because all loops seem to hang when the whole machine was suspended.
CERTAIN_S = 1.0

# Looks come several times in this time. After a longer one the program was suspended.
LONGEST_LOOK_NS = NS_PER_S // 2

# How long a disk may take. SD cards hang for tens of seconds; the kernel reports a task after 120 s.
DISK_S = 120.0

# for a loop whose progress is supervised otherwise: 30 years
NO_LIMIT_S = 1e9

# the kernel's limit for a thread's name (TASK_COMM_LEN in linux/sched.h)
COMM_CHARS = 15

# a tenth of Python's default: a frame passes several threads, and waits for its turn in each
SHORT_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """A loop's iteration at one instant: when it began, and when the next one is due."""

    loop: str
    alive: bool
    began_ns: int
    due_ns: int


class Heartbeat:
    """The iterations of one loop, marked by its own thread and checked by another. `loop` is its name."""

    def __init__(self, loop: str) -> None:
        self.loop = loop
        self._thread: threading.Thread | None = None
        self.mark()

    def begin(self) -> None:
        """Register the calling thread as the loop's. The loop is alive as long as this thread is.

        `top -H` and `ps -L` show the thread under the loop's name.
        """
        self._thread = threading.current_thread()
        with suppress(OSError):  # only people read the name
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self.loop[:COMM_CHARS])
        self.mark()

    def end(self) -> None:
        """Note that the loop has ended as it should: from now on it counts as alive."""
        self._thread = None
        self.mark(NO_LIMIT_S)

    def mark(self, within_s: float = HANG_AFTER_S) -> None:
        """Note that an iteration begins, and that the next one begins within the time."""
        now_ns = monotonic_ns()
        self._iteration_ns = now_ns, now_ns + round(within_s * NS_PER_S)

    def snapshot(self) -> HeartbeatStatus:
        """Return the current iteration; callable from any thread."""
        began_ns, due_ns = self._iteration_ns
        return HeartbeatStatus(self.loop, self._thread is None or self._thread.is_alive(), began_ns, due_ns)


def hung_loops(statuses: Iterable[HeartbeatStatus], now_ns: int) -> str | None:
    """Return a text that names the loops that have ended or hang; None when there are none."""
    found = [
        f"{loop.loop} has hung for {(now_ns - loop.began_ns) // NS_PER_S} s" if loop.alive else f"{loop.loop} has ended"
        for loop in statuses
        if not loop.alive or now_ns > loop.due_ns
    ]
    return ", ".join(found) or None


class Certainty:
    """Decides whether loops that are overdue hang, or wait for a processor. Used by one thread.

    A hung loop needs no processor or has one, so CERTAIN_S are enough. While threads of the daemon wait for a
    processor, the loop may be one of them, or wait for one of them. Then HANG_AFTER_S of processor time are enough.
    """

    def __init__(self) -> None:
        self._ns: float | None = None

    def look(self, is_overdue: bool, processor: ProcessorShare) -> bool:
        """Return whether a loop that is overdue hangs. Called at every look of the processor."""
        if not is_overdue:
            self._ns = None
        elif self._ns is None:
            self._ns = 0.0
        elif processor.is_short():
            self._ns += processor.cpu_ns * CERTAIN_S / HANG_AFTER_S
        else:
            self._ns += min(processor.wall_ns, LONGEST_LOOK_NS)
        return self._ns is not None and self._ns >= CERTAIN_S * NS_PER_S


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Make every thread give way after half a millisecond, so that long work delays the other threads less."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
