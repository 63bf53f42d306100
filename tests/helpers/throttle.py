"""Gives a process a part of one core, as a slow or overloaded machine does."""

import contextlib
import os
import signal
import threading
import time
from types import TracebackType

# the process runs until it has used its share of this time, as under the kernel's CPU quota
PERIOD_S = 0.1
LOOK_S = 0.002


class Throttle:
    """Stops and continues a process, so that it uses at most `share` of one core. A context manager.

    A debt is paid back before the process continues. So the share is kept on a busy machine too.
    """

    def __init__(self, pid: int, share: float) -> None:
        self._pid, self._share = pid, share
        self._clock = (~pid << 3) | 2  # the processor time of a process, as clock_getcpuclockid(3) makes it
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="throttle")

    def __enter__(self) -> "Throttle":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the process has ended
            self._throttle()
            os.kill(self._pid, signal.SIGCONT)

    def _throttle(self) -> None:
        most_s = budget_s = self._share * PERIOD_S
        is_stopped = False
        wall_s, cpu_s = time.monotonic(), time.clock_gettime(self._clock)
        while not self._stop.wait(LOOK_S):
            before_s, used_s = wall_s, cpu_s
            wall_s, cpu_s = time.monotonic(), time.clock_gettime(self._clock)
            budget_s = min(most_s, budget_s + (wall_s - before_s) * self._share - (cpu_s - used_s))
            if is_stopped != (budget_s < (0.9 * most_s if is_stopped else 0)):
                is_stopped = not is_stopped
                os.kill(self._pid, signal.SIGSTOP if is_stopped else signal.SIGCONT)
