"""The inbox of the outbox: events to write and acknowledgements, which other threads add."""

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial

from daemon.mqtt.payloads import EventPayload

# Events that wait in memory while the disk is slow or fails.
MAX_UNWRITTEN = 1000

# Acknowledged events are removed as soon as there are this many, or after this time.
REMOVE_COUNT, REMOVE_WITHIN_S = 100, 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event without a number; `topic` is the part after the node's name."""

    topic: str
    payload: EventPayload


class Inbox:
    """Bounded and thread-safe. Events and acknowledgements stay until the outbox's thread has dealt with them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._acknowledged: list[int] = []
        self._is_woken = False
        self.is_closing = False

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._waiting)

    def add(self, topic: str, payload: EventPayload) -> str | None:
        """Add an event. Never blocks; return why it was dropped, or None."""
        with self._changed:
            if self.is_closing:
                return "event_stopped"
            if len(self._waiting) >= MAX_UNWRITTEN:
                return "event_unwritten"
            self._waiting.append(Waiting(topic, payload))
            self._changed.notify()
            return None

    def acknowledge(self, sequence: int) -> None:
        """Add the number of an event that the broker has, or never accepts."""
        with self._changed:
            self._acknowledged.append(sequence)
            self._changed.notify()

    def wake(self) -> None:
        """End the wait of the outbox's thread."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def close(self) -> None:
        """Refuse further events, and end the wait."""
        with self._changed:
            self.is_closing = True
            self._changed.notify()

    def wait(self, *, takes_events: bool) -> None:
        """Wait for something to do, for at most a second. New events count only where `takes_events`."""
        with self._changed:
            self._changed.wait_for(partial(self._has_work, takes_events), REMOVE_WITHIN_S)
            self._is_woken = False

    def events(self) -> list[Waiting]:
        """Return the events that wait, oldest first."""
        with self._changed:
            return list(self._waiting)

    def forget_events(self, count: int) -> None:
        """Remove the first events."""
        with self._changed:
            for _ in range(count):
                self._waiting.popleft()

    def acknowledged(self) -> list[int]:
        """Return the numbers of acknowledged events."""
        with self._changed:
            return list(self._acknowledged)

    def forget_acknowledged(self, count: int) -> None:
        """Remove the first numbers."""
        with self._changed:
            del self._acknowledged[:count]

    def _has_work(self, takes_events: bool) -> bool:
        has_events = bool(self._waiting) or len(self._acknowledged) >= REMOVE_COUNT
        return (has_events and takes_events) or self._is_woken or self.is_closing
