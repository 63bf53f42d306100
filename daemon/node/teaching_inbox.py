"""Takes commands for the thread `teaching`, within bounds and without waiting."""

import threading
from collections import deque
from dataclasses import dataclass

from daemon.core.records import Counters
from daemon.core.timing import monotonic_ns
from daemon.mqtt.commands import Arguments, InvalidCommand, Request

MAX_QUEUED = 16

BUSY = f"busy: {MAX_QUEUED} commands to teach wait already; send it again later"
STOPPING = "the daemon is stopping"


@dataclass(frozen=True, slots=True)
class TeachingCommand:
    """A command, and the instant at which it was taken."""

    request: Request
    arguments: Arguments
    taken_ns: int


class TeachingInbox:
    """The commands that wait for the thread `teaching`. Callable from any thread.

    `counters` counts as dropped what was refused: `busy` and `stopping`.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._changed = threading.Condition()
        self._queued: deque[TeachingCommand] = deque()
        self._is_closed = False

    def put(self, request: Request, arguments: Arguments) -> None:
        """Queue a command. Raises InvalidCommand when too many wait, or when the daemon stops. Never blocks."""
        with self._changed:
            if self._is_closed:
                self._counters.drop("stopping")
                raise InvalidCommand(STOPPING)
            if len(self._queued) >= MAX_QUEUED:
                self._counters.drop("busy")
                raise InvalidCommand(BUSY)
            self._queued.append(TeachingCommand(request, arguments, monotonic_ns()))
            self._changed.notify()

    def next(self, timeout_s: float) -> TeachingCommand | None:
        """Return the next command; None when none comes in time, or when the inbox is closed."""
        with self._changed:
            if not self._queued and not self._is_closed:
                self._changed.wait(timeout_s)
            return self._queued.popleft() if self._queued and not self._is_closed else None

    def close(self) -> None:
        """Take no more commands."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    @property
    def is_closed(self) -> bool:
        """Whether no more commands are taken."""
        return self._is_closed

    def drain(self) -> list[TeachingCommand]:
        """Return the commands that still wait in a closed inbox; they wait no longer."""
        with self._changed:
            waiting = list(self._queued)
            self._queued.clear()
            return waiting
