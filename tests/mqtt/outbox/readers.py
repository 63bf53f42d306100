"""EventQueues for tests of the outbox, and what a file of the outbox holds."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.outbox.store import OutboxStore
from tests.helpers.mosquitto import wait_until


class Reader:
    """An EventQueue with room for as many events as a test sets free."""

    def __init__(self, free: int) -> None:
        self.free, self.connected = free, True
        self.got: list[Entry] = []

    def room(self) -> int:
        return self.free

    def is_connected(self) -> bool:
        return self.connected

    def put(self, entries: Sequence[Entry]) -> None:
        assert len(entries) <= self.free
        self.free -= len(entries)
        self.got += entries

    @property
    def sequences(self) -> list[int]:
        return [entry.sequence for entry in self.got]

    @property
    def events(self) -> list[str]:
        """The ids of the events, in order."""
        return [entry.event for entry in self.got]


def rows(path: Path) -> list[Entry]:
    """The events that a new run finds."""
    store = OutboxStore(path)
    found = store.read(0, 1_000_000)
    store.close()
    return found


def numbers_agree(entry: Entry) -> bool:
    """Whether the payload has the number of its row."""
    return json.loads(entry.payload)["sequence"] == entry.sequence


def act_until(outbox: Outbox, condition: Callable[[], object], what: str) -> None:
    """Make the outbox act at once, where it would do so once a second, until the condition holds."""

    def holds() -> object:
        outbox.wake()
        return condition()

    wait_until(holds, what)
