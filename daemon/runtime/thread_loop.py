"""Runs the loops of the daemon's threads. An error of the operating system does not end such a thread."""

import errno
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from daemon.core.logs import rate_limited_logger
from daemon.core.text import redact
from daemon.runtime.heartbeat import Heartbeat

ResultT = TypeVar("ResultT")

log = rate_limited_logger(__name__)

# Too few descriptors or threads, too little memory, a full or failing disk: what is missing may be there again soon.
# The errors of SQLite are handled where it is used.
SYSTEM_ERRORS = (OSError, MemoryError)

# How long a loop waits after an error before it goes on.
PAUSE_S = 0.25


class SystemErrorCount:
    """The number of errors of the operating system that loops have survived."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self) -> None:
        """Count one error."""
        with self._lock:
            self.total += 1


# of this process, since its start
system_errors = SystemErrorCount()


class LoopThread:
    """A thread that runs one loop, under the name of its heartbeat."""

    def __init__(self, heartbeat: Heartbeat, loop: Callable[[], None]) -> None:
        """See `run_loop`."""
        self._thread = threading.Thread(target=run_loop, args=(heartbeat, loop), name=heartbeat.loop, daemon=True)

    def start(self) -> None:
        """Start the thread. Raises OSError where the system has room for no more threads."""
        try:
            self._thread.start()
        except RuntimeError as error:  # of pthread_create(3), whose reason Python does not tell
            raise OSError(errno.EAGAIN, str(error)) from error

    def join(self, deadline_s: float) -> bool:
        """Wait for the thread; return whether it has ended within the deadline, or was never started."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        return not self._thread.is_alive()


def run_loop(heartbeat: Heartbeat, loop: Callable[[], None]) -> None:
    """Run the calling thread's loop until it returns, see `survive`.

    An error of another kind ends the thread. The heartbeat then shows that the loop has ended too early.
    """
    heartbeat.begin()
    survive(heartbeat.loop, loop)
    heartbeat.end()


def survive(name: str, loop: Callable[[], ResultT]) -> ResultT:
    """Return what `loop` returns. After an error of the operating system it is called again, and goes on."""
    while True:
        try:
            return loop()
        except SYSTEM_ERRORS as error:
            log.error("%s: %s; the loop goes on", name, redact(f"{type(error).__name__}: {error}"))
            system_errors.add()
        time.sleep(PAUSE_S)
