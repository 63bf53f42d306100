"""Events as the outbox writes and sends them, and what the outbox tells and asks others."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict

# What a row takes besides its payload: topic, id, times, and entries in two trees. Measured on full stores.
ROW_BYTES = 160

# `sequence` comes before every text of an event's payload, so the first match is the field
_SEQUENCE = re.compile(rb'"sequence":\d+')


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of an event as it is sent to the broker; `topic` is the part after the node's name."""

    sequence: int
    topic: str
    event: str
    phase: str
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """About how much room it takes in the store."""
        return len(self.payload) + ROW_BYTES

    def shifted(self, offset: int) -> "Entry":
        """Return the same step with a number that is higher by `offset`, in the payload too."""
        if offset == 0:
            return self
        sequence = self.sequence + offset
        payload = _SEQUENCE.sub(b'"sequence":%d' % sequence, self.payload, count=1)
        return replace(self, sequence=sequence, payload=payload)


def leading(entries: Iterable[Entry], most_bytes: int) -> list[Entry]:
    """Return the first entries, about `most_bytes` of them, but at least one if there is one."""
    found: list[Entry] = []
    for entry in entries:
        most_bytes -= entry.size_bytes
        if found and most_bytes < 0:
            break
        found.append(entry)
    return found


class EventQueue(Protocol):
    """Takes the events that may be sent now. The methods run on the outbox's thread."""

    def room(self) -> int:
        """Return how many more events can be queued."""

    def is_connected(self) -> bool:
        """Return whether there is a broker, as far as anybody knows."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue events to be sent, in order; there are at most `room()`."""


class OutboxStatus(TypedDict):
    """The events that wait for the broker; `trouble` says why they are not safe from a power cut."""

    waiting: int
    stored: int
    stored_bytes: int
    coalesced: int
    trouble: str | None
