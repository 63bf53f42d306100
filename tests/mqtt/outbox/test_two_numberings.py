"""A store that opens late, is removed or replaced: no row of an earlier run is lost, and nothing has two numbers."""

import shutil
import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.inbox import Inbox
from daemon.mqtt.outbox.keeper import StoreKeeper
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.outbox.writer import EventWriter
from tests.helpers.campaign import repetitions
from tests.mqtt.outbox.readers import Reader, numbers_agree, rows
from tests.mqtt.records import event

pytestmark = pytest.mark.campaign("endurance")


def earlier(numbers: list[int], prefix: str = "earlier") -> list[Entry]:
    """Rows that an earlier run of the node has left."""
    payload = b'{"schema":1,"sequence":%d,"node":"node"}'
    return [Entry(n, "front/event", f"{prefix} {n}", "end", payload % n) for n in numbers]


def fill(path: Path, entries: list[Entry], last: int) -> None:
    store = OutboxStore(path)
    store.write(entries, [], queued=0, last=last)
    store.close()


class Device:
    """The outbox of one run, without its thread, in a state directory that comes and goes."""

    def __init__(self, directory: Path, left: list[Entry], last: int, *, spares_disk: bool) -> None:
        self.state, self.aside = directory / "state", directory / "aside"
        self.path = self.state / "outbox.sqlite3"
        self.left = left
        fill(self.path, left, last)
        self.reader, self.counters, self.inbox = Reader(0), Counters(), Inbox()
        memory = directory / "memory" if spares_disk else None
        self.keeper = StoreKeeper(self.path, "node", self.counters, memory)
        self.writer = EventWriter(self.keeper, OutboxConfig(), self.counters, self.inbox, self.reader)
        self.added: list[str] = []
        self.acknowledged = 0
        self.others = count()

    def add(self) -> None:
        payload = event(len(self.added), "end")
        assert self.inbox.add("front/event", payload) is None
        self.added.append(payload.id)

    def hide(self) -> None:
        """Take the directory away, so that no store can be opened."""
        if not self.state.is_file():
            self.state.mkdir(exist_ok=True)
            self.state.rename(self.aside)
            self.state.write_text("in the place of the directory")

    def show(self) -> None:
        """Bring it back; once this run has moved to another store, an empty one."""
        if self.state.is_file():
            self.state.unlink()
            if self.keeper.store is None:
                self.aside.rename(self.state)
            else:
                shutil.rmtree(self.aside)

    def remove(self) -> None:
        if self.keeper.store is not None and self.state.is_dir():
            shutil.rmtree(self.state)

    def replace(self) -> None:
        """Put another outbox of the node in the place of the file."""
        if self.keeper.store is not None and self.state.is_dir():
            left = earlier([1, 2, 3], f"other {next(self.others)}")
            self.path.unlink(missing_ok=True)
            other = self.state / "other.sqlite3"
            fill(other, left, 3)
            other.rename(self.path)
            self.turn()  # before somebody removes this one too
            self.left += left

    def turn(self, room: int = 0) -> None:
        self.reader.free = room
        while self.writer.handle_batch():
            pass

    def acknowledge(self, most: int) -> None:
        """Acknowledge the oldest messages that were sent."""
        for entry in self.reader.got[self.acknowledged :][:most]:
            self.inbox.acknowledge(entry.sequence)
            self.acknowledged += 1

    def drain(self) -> None:
        self.show()
        for _ in range(4):
            self.turn(1000)
            self.acknowledge(1000)
        self.inbox.close()
        self.turn()
        self.writer.finish()


ACTIONS = ["add", "add", "turn", "send", "send", "acknowledge", "hide", "show", "remove", "replace"]


def steps(*actions: str) -> list[tuple[str, int]]:
    return [(action, 5) for action in actions]


@example(
    left=[1, 2, 12],
    actions=steps("add", "add", "turn", "send", "add", "show", "turn", "acknowledge"),
    is_late=True,
    spares_disk=False,
)
@example(left=[], actions=steps("add", "add", "send", "acknowledge", "remove"), is_late=False, spares_disk=False)
@given(
    st.lists(st.integers(1, 12), unique=True).map(sorted),
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 5)), max_size=25),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=repetitions(60, campaign=3000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_to_the_file_everything_is_sent_and_only_what_was_sent_is_removed(
    left: list[int], actions: list[tuple[str, int]], is_late: bool, spares_disk: bool
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        device = Device(Path(directory), earlier(left), 12, spares_disk=spares_disk)
        if is_late:
            device.hide()
        device.writer.keep_store()
        for action, number in actions:
            match action:
                case "turn" | "send":
                    device.turn(number if action == "send" else 0)
                case "acknowledge":
                    device.acknowledge(number)
                case _:
                    getattr(device, action)()
        device.drain()
        assert set(device.counters.dropped) <= {"outbox_removed"}
        sent = device.reader.events
        assert sorted(sent) == sorted([*device.added, *(entry.event for entry in device.left)])  # and nothing twice
        assert [found for found in sent if found in device.added] == device.added
        assert rows(device.path) == []
        assert all(map(numbers_agree, device.reader.got))
