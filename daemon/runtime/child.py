"""The parent's side of a child process for native code that can hang or abort.

A child is never asked to end. It is killed, whatever it does: its native library starts anew with the next child.
"""

import json
import logging
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType

from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout
from daemon.core.text import redact
from daemon.runtime.child_main import EXIT_FAILED
from daemon.runtime.shared_memory import close_with, event_counter, memory_with, shared_memory
from daemon.runtime.shared_ring import Record, RingReader

log = logging.getLogger(__name__)

# of a child's standard output, and of its standard error; a child cannot write more
MAX_OUTPUT_BYTES = 64 * 1024

# of a child's reason in a message
MAX_REASON_CHARS = 500

# a killed process ends in milliseconds, unless it hangs in a driver
KILL_WAIT_S = 1.0

# isolated from environment and working directory, a child imports the same modules as its parent
BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[1].split(':'); from daemon.runtime.child_main import main; main(*sys.argv[2:])"
)


class KillCounts:
    """The number of children killed while they ran, and of those that could not be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.killed = 0
        self.left_behind = 0

    def count(self, *, left_behind: bool) -> None:
        """Count one killed child."""
        with self._lock:
            self.killed += 1
            self.left_behind += left_behind


# of this process, since its start
kill_counts = KillCounts()


class Child:
    """A process that runs one function, until it is closed. A context manager.

    It also ends with the thread that started it, even when the daemon is killed. What its native libraries fork ends
    with it, unless that has left the process group. No call waits longer than its timeout.
    """

    def __init__(self, target: Callable[..., None], *arguments: str, inherits: Sequence[int] = ()) -> None:
        """Start a process that imports the module of `target` and calls it with the arguments.

        `target` is a function of a module, `inherits` the descriptors that it may use. Raises ChildError when no
        process can be started.
        """
        with ExitStack() as stack:
            try:
                self._stdout, self._stderr = (close_with(stack, shared_memory(MAX_OUTPUT_BYTES)) for _ in range(2))
                # not on the command line, which is short and visible to every user of the machine
                passed = close_with(stack, memory_with(json.dumps(arguments).encode()))
                lifeline, held = os.pipe2(os.O_CLOEXEC)  # see child_main: it ends the group when the daemon ends
                close_with(stack, held)
                close_with(stack, lifeline)
                command = [
                    sys.executable,
                    "-I",
                    "-c",
                    BOOTSTRAP,
                    ":".join(map(str, sys.path)),
                    str(os.getpid()),
                    f"{target.__module__}:{target.__qualname__}",
                    str(passed),
                    str(lifeline),
                ]
                self._process = subprocess.Popen(  # noqa: S603  (this program itself)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._stdout,
                    stderr=self._stderr,
                    pass_fds=(passed, lifeline, *inherits),
                    # Ctrl-C on a terminal reaches the daemon only, and the child has a process group of its own
                    start_new_session=True,
                )
                stack.callback(self._kill)
                self._pidfd = close_with(stack, os.pidfd_open(self._process.pid))
            except OSError as error:
                raise ChildError(f"no process could be started: {error}") from error
            self._resources = stack.pop_all()
        self._polls: dict[int, select.poll] = {}

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def check_gone(self) -> None:
        """Raise ChildError when the process still exists after it was killed: a new one would hang too."""
        if self._process.poll() is None:
            raise ChildError(f"its process {self.pid} hangs in the system")

    def check_running(self) -> None:
        """Raise ChildError when the process has ended."""
        if _readable((self._pidfd,), 0):
            raise self._exit_error()

    def wait_for(self, descriptor: int, timeout_s: float) -> bool:
        """Return whether the descriptor becomes readable in time. Raises ChildError when the child ends instead."""
        poll = self._polls.get(descriptor)
        if poll is None:
            poll = self._polls[descriptor] = _poll_of((descriptor, self._pidfd))
        ready = _ready(poll, timeout_s)
        if descriptor not in ready and self._pidfd in ready:
            raise self._exit_error()
        return descriptor in ready

    def has_ended(self, timeout_s: float) -> bool:
        """Return whether the process ends within the time, in any way."""
        return bool(_readable((self._pidfd,), timeout_s))

    def result(self, deadline_s: float) -> str:
        """Return the standard output of the function once it has returned.

        Raises ChildError when it fails, ChildTimeout when it has not returned by the deadline.
        """
        if not self.has_ended(deadline_s):
            raise ChildTimeout(deadline_s)
        if self._reap() != 0:
            raise self._exit_error()
        return _output(self._stdout)

    def close(self) -> None:
        """Kill the process; one that cannot be killed is left behind, logged and counted."""
        self._resources.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _kill(self) -> None:
        if self._process.returncode is not None:
            return
        was_running = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        self._kill_group()
        try:
            self._process.wait(KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            log.error("process %d hangs in the system and cannot be killed; it is left behind", self.pid)
            kill_counts.count(left_behind=True)
        else:
            if was_running:
                kill_counts.count(left_behind=False)

    def _kill_group(self) -> None:
        """Kill the process, and what it has forked; only before it is reaped: its number may then be another's."""
        with suppress(PermissionError):  # a fork that runs as another user
            os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> int:
        """Return the exit code of the process, which has ended, and kill what it has left behind."""
        if self._process.returncode is None:
            self._kill_group()
        return self._process.wait()

    def _exit_error(self) -> ChildError:
        code = self._reap()
        if code == EXIT_FAILED and (reason := _output(self._stdout).strip()):
            return ChildError(_clean(" ".join(reason.split()))[:MAX_REASON_CHARS])
        error = ChildCrashed(_signal_name(-code)) if code < 0 else ChildError(f"its process ended with code {code}")
        stderr = "\n".join(map(_clean, _output(self._stderr).splitlines()))
        log.warning("a child process failed: %s%s", error, f"; its standard error:\n{stderr}" if stderr else "")
        return error


class RecordReceiver:
    """Receives records from a child, which never waits: records without a free slot are lost and counted.

    A context manager; it outlives the child.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        """Allocate slots for records of at most `slot_bytes` less `shared_ring.HEADER`. Raises ChildError."""
        with ExitStack() as stack:
            try:
                descriptor = close_with(stack, shared_memory(slots * slot_bytes))
                memory = mmap.mmap(descriptor, slots * slot_bytes)
                self._filled, self._freed = (close_with(stack, event_counter()) for _ in range(2))
            except OSError as error:
                raise ChildError(f"no memory could be shared: {error}") from error
            self._ring = RingReader(memoryview(memory), slot_bytes)
            self.descriptors = (descriptor, self._filled, self._freed)
            self.address = ":".join(map(str, (slot_bytes, *self.descriptors)))
            self._resources = stack.pop_all()

    def receive(self, child: Child, timeout_s: float) -> list[Record]:
        """Return the waiting records, or those that arrive in time.

        Raises ChildError when the child has ended or sends invalid data.
        """
        if not child.wait_for(self._filled, timeout_s):
            return []
        with suppress(BlockingIOError):  # the child has the descriptor too, and may have read from it
            self._ring.filled(os.eventfd_read(self._filled))
        records = []
        while (record := self._ring.read()) is not None:
            records.append(record)
        if records:
            os.eventfd_write(self._freed, len(records))
        return records

    def __enter__(self) -> "RecordReceiver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()


def _readable(descriptors: Sequence[int], timeout_s: float) -> set[int]:
    return _ready(_poll_of(descriptors), timeout_s)


def _poll_of(descriptors: Sequence[int]) -> select.poll:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def _ready(poll: select.poll, timeout_s: float) -> set[int]:
    return {descriptor for descriptor, _ in poll.poll(timeout_s * 1000)}


def _clean(line: str) -> str:
    return redact("".join(char if char.isprintable() else " " for char in line))


def _signal_name(number: int) -> str:
    return next((each.name for each in signal.Signals if each == number), f"signal {number}")


def _output(descriptor: int) -> str:
    """Return what the child has written: the file position is shared with it."""
    length = min(os.lseek(descriptor, 0, os.SEEK_CUR), MAX_OUTPUT_BYTES)
    return os.pread(descriptor, length, 0).decode("utf-8", "replace")
