"""A child process for native code that can hang or abort, seen from the daemon.

What such code needs is started anew with it, so a child is never asked to end: it is killed, whatever it is doing.
"""

import fcntl
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
from daemon.runtime.shared_ring import Record, RingReader

log = logging.getLogger(__name__)

MAX_OUTPUT_BYTES = 64 * 1024
"""How much a child may write to each of its standard output and standard error; the rest finds no room."""

MAX_REASON_CHARS = 500
"""How much of a child's reason is told."""

ENDING_S = 1.0
"""A killed process ends in milliseconds, unless it hangs in a driver."""

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
F_SEAL_FUTURE_WRITE = 0x0010
"""From linux/fcntl.h: who maps the memory from now on cannot write it."""

BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[1].split(':'); from daemon.runtime.child_main import main; main(*sys.argv[2:])"
)
"""Isolated from the environment and the working directory, a child imports what its parent would."""


class KillCounts:
    """How many child processes were killed while they ran, and how many of them could not be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.killed = 0
        self.left_behind = 0

    def count(self, *, left_behind: bool) -> None:
        """One more was killed."""
        with self._lock:
            self.killed += 1
            self.left_behind += left_behind


kill_counts = KillCounts()
"""Of this process, from its start on."""


class Child:
    """A process that runs one function, from here on until it is closed.

    It ends with the thread that made it, even where the daemon is killed. Nothing waits for it longer than it is told.
    A context manager.
    """

    def __init__(self, target: Callable[..., None], *arguments: str, inherits: Sequence[int] = ()) -> None:
        """Start a process that imports the module of `target` and calls it with the arguments.

        `target` is a function of a module. `inherits` are the descriptors that it may use.

        The arguments go through memory: a command line is short, and shown to everybody on the machine.
        Raises ChildError when there is no room for a process.
        """
        with ExitStack() as stack:
            try:
                self._says, self._complains = (close_with(stack, shared_memory(MAX_OUTPUT_BYTES)) for _ in range(2))
                asks = close_with(stack, _written_down(arguments))
                command = [
                    sys.executable,
                    "-I",
                    "-c",
                    BOOTSTRAP,
                    ":".join(map(str, sys.path)),
                    str(os.getpid()),
                    f"{target.__module__}:{target.__qualname__}",
                    str(asks),
                ]
                self._process = subprocess.Popen(  # noqa: S603  (this program itself)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._says,
                    stderr=self._complains,
                    pass_fds=(asks, *inherits),
                    start_new_session=True,  # so that Ctrl-C on a terminal reaches the daemon alone
                )
                stack.callback(self._end)
                self._ending = close_with(stack, os.pidfd_open(self._process.pid))
            except OSError as error:
                raise ChildError(f"no process could be started: {error}") from error
            self._held = stack.pop_all()
        self._polls: dict[int, select.poll] = {}

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def check_gone(self) -> None:
        """Raises ChildError when it was killed and lives: it hangs in the system, as another one would."""
        if self._process.poll() is None:
            raise ChildError(f"its process {self.pid} hangs in the system")

    def check_running(self) -> None:
        """Raises ChildError when it has ended."""
        if _readable((self._ending,), 0):
            raise self._ending_as_error()

    def wait_for(self, descriptor: int, timeout_s: float) -> bool:
        """Whether the descriptor can be read within the time. Raises ChildError when the child has ended instead."""
        poll = self._polls.get(descriptor)
        if poll is None:
            poll = self._polls[descriptor] = _poll_of((descriptor, self._ending))
        ready = _ready(poll, timeout_s)
        if descriptor not in ready and self._ending in ready:
            raise self._ending_as_error()
        return descriptor in ready

    def has_ended(self, timeout_s: float) -> bool:
        """Whether it ends within the time, in whatever way."""
        return bool(_readable((self._ending,), timeout_s))

    def result(self, deadline_s: float) -> str:
        """What the function has written to standard output once it has returned.

        Raises ChildError when it fails, Late when it has not returned by the deadline.
        """
        if not self.has_ended(deadline_s):
            raise ChildTimeout(deadline_s)
        if self._process.wait() != 0:
            raise self._ending_as_error()
        return _written(self._says)

    def close(self) -> None:
        """Kill it; one that cannot be killed is left behind, and said to be."""
        self._held.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> None:
        if self._process.poll() is not None:
            return
        self._process.kill()
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            log.error("process %d hangs in the system, cannot be killed, and is left behind", self.pid)
            kill_counts.count(left_behind=True)
        else:
            kill_counts.count(left_behind=False)

    def _ending_as_error(self) -> ChildError:
        code = self._process.wait()  # it has ended: this only asks how
        if code == EXIT_FAILED and (reason := _written(self._says).strip()):
            return ChildError(_clean(" ".join(reason.split()))[:MAX_REASON_CHARS])
        error = ChildCrashed(_signal_name(-code)) if code < 0 else ChildError(f"its process ended with code {code}")
        complaints = "\n".join(map(_clean, _written(self._complains).splitlines()))
        log.warning("a child process: %s%s", error, f", and said:\n{complaints}" if complaints else "")
        return error


class RecordReceiver:
    """Records that a child sends as they come, without ever waiting for us: what finds no room is lost, and counted.

    A context manager; it outlives the child.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        """So many records may wait, each of `slot_bytes` less `ring.HEADER`. Raises ChildError without memory."""
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
            self._held = stack.pop_all()

    def receive(self, child: Child, timeout_s: float) -> list[Record]:
        """The records that wait, or come within the time. Raises ChildError when the child has ended, or raves."""
        if not child.wait_for(self._filled, timeout_s):
            return []
        with suppress(BlockingIOError):  # the child holds the descriptor too, and may have read from it
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
        self._held.close()


def shared_memory(size: int) -> int:
    """A descriptor of memory to share. No one can change its size: were it cut, whoever uses it would be killed."""
    return _sealed_memory(size)[0]


def _written_down(arguments: Sequence[str]) -> int:
    told = json.dumps(arguments).encode()
    descriptor = shared_memory(len(told))
    os.pwrite(descriptor, told, 0)
    return descriptor


def read_only_memory(size: int) -> tuple[int, mmap.mmap]:
    """A descriptor of memory that others may only read, and that memory, to be written by us.

    Raises ChildError without memory.
    """
    try:
        return _sealed_memory(size, F_SEAL_FUTURE_WRITE)
    except OSError as error:
        raise ChildError(f"no memory could be shared: {error}") from error


def _sealed_memory(size: int, more_seals: int = 0) -> tuple[int, mmap.mmap]:
    descriptor = os.memfd_create("perceptd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS | more_seals)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, memory


def event_counter() -> int:
    """A descriptor by which two processes wake each other, and that blocks neither."""
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def close_with(stack: ExitStack, descriptor: int) -> int:
    """The descriptor, closed when the stack is."""
    stack.callback(os.close, descriptor)
    return descriptor


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
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def _written(descriptor: int) -> str:
    """What the child has written: it shares the position with us."""
    length = min(os.lseek(descriptor, 0, os.SEEK_CUR), MAX_OUTPUT_BYTES)
    return os.pread(descriptor, length, 0).decode("utf-8", "replace")
