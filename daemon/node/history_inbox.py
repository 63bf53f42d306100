"""What other threads give the thread `history`: fused events, and requests of people. Within bounds."""

import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError
from daemon.core.records import Counters
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import Fused
from daemon.history.records import Verdict
from daemon.history.store import HistoryStore
from daemon.node.history_following import Followed, StreamFollowing

MAX_REQUESTS = 16

BUSY = f"busy: {MAX_REQUESTS} requests about kept events wait already; try again later"
STOPPING = "the daemon is stopping"


class HistoryChange(Protocol):
    """A change of one kept event, which a person has asked for."""

    @property
    def event(self) -> str:
        """The id of the event."""

    def apply(self, store: HistoryStore) -> None:
        """Change the event in the store. Raises HistoryError."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep an event whatever the quota, or no longer."""

    event: str
    on: bool

    def apply(self, store: HistoryStore) -> None:
        """Implements HistoryChange."""
        store.keep(self.event, self.on)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an event with its files."""

    event: str

    def apply(self, store: HistoryStore) -> None:
        """Implements HistoryChange."""
        store.delete(self.event)


@dataclass(frozen=True, slots=True)
class Judge:
    """Note what a person says of an event; None takes it back. `was` is the label that it really was."""

    event: str
    verdict: Verdict | None
    was: str | None

    def apply(self, store: HistoryStore) -> None:
        """Implements HistoryChange."""
        store.judge(self.event, self.verdict, self.was)


@dataclass(slots=True)
class HistoryRequest:
    """A change that somebody waits for. `done` is set once it is on disk, or when `error` says why it is not."""

    change: HistoryChange
    done: threading.Event = field(default_factory=threading.Event)
    error: HistoryError | None = None

    def answer(self, error: HistoryError | None = None) -> None:
        """End the wait."""
        self.error = error
        self.done.set()


class HistoryInbox:
    """The events of all live streams, and the requests that wait. Callable from any thread.

    `counters` counts as dropped: `event_late`, events that ended before the thread `history` came to them, of which
    too many waited; `busy` and `stopping`, requests that were refused.
    """

    def __init__(self, streams: Collection[str], config: HistoryConfig, counters: Counters) -> None:
        excluded, hears_speech = frozenset(config.excluded), config.speech == "drop"
        self._following: Mapping[str, StreamFollowing] = {
            name: StreamFollowing(name, excluded, hears_speech=hears_speech) for name in streams
        }
        self._counters = counters
        self._changed = threading.Condition()
        self._requests: deque[HistoryRequest] = deque()
        self._is_closed = False

    def observe(self, stream: str, bundle: str, settings: EventSettings, fused: Fused, delay_ns: int) -> None:
        """Take the results of one step of fusion, on its thread. Never blocks. See StreamFollowing."""
        with self._changed:
            dropped = self._following[stream].observe(bundle, settings, fused, delay_ns)
            if dropped:
                self._counters.drop("event_late", dropped)

    def take(self) -> Sequence[Followed]:
        """Return the events that have ended since the last call, and those that are open."""
        with self._changed:
            return [event for following in self._following.values() for event in following.take()]

    def heard_speech(self, stream: str, start_ns: int, end_ns: int) -> bool:
        """Return whether speech was recognised in a stream between two instants."""
        with self._changed:
            return self._following[stream].heard_speech(start_ns, end_ns)

    def ask(self, change: HistoryChange) -> HistoryRequest:
        """Queue a change. Raises HistoryError when too many wait, or when the daemon stops. Never blocks."""
        with self._changed:
            if self._is_closed:
                self._counters.drop("stopping")
                raise HistoryError("busy", STOPPING)
            if len(self._requests) >= MAX_REQUESTS:
                self._counters.drop("busy")
                raise HistoryError("busy", BUSY)
            request = HistoryRequest(change)
            self._requests.append(request)
            self._changed.notify()
        return request

    def wait(self, timeout_s: float) -> Sequence[HistoryRequest]:
        """Return the requests that wait. Waits for the first one, for the time-out, or for the inbox to be closed."""
        with self._changed:
            if not self._requests and not self._is_closed:
                self._changed.wait(timeout_s)
            requests = list(self._requests)
            self._requests.clear()
            return requests

    def close(self) -> None:
        """Take no more requests."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    @property
    def is_closed(self) -> bool:
        """Whether no more requests are taken."""
        return self._is_closed
