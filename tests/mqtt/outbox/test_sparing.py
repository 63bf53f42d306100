"""The disk is spared while the broker acknowledges; what is in memory alone outlives a kill, and no number repeats."""

import logging
import shutil
from pathlib import Path

import pytest

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.inbox import Inbox
from daemon.mqtt.outbox.keeper import StoreKeeper
from daemon.mqtt.outbox.queued import ACKNOWLEDGED_WITHIN_S, MOST_HELD, NOTED_WITHIN_S, Held, QueuedEvents
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.outbox.writer import RESERVED, EventWriter
from tests.mqtt.outbox.readers import Reader, numbers_agree, rows
from tests.mqtt.records import event

# the first event was written, and with it the reservation
FIRST_RESERVED = 1 + RESERVED


class Run:
    """One run of a node, without the outbox's thread. Its clock stands still, however busy the machine is."""

    def __init__(self, path: Path) -> None:
        self.now_s = 100.0
        self.path, self.reader, self.inbox = path / "state" / "outbox.sqlite3", Reader(1000), Inbox()
        self.memory = path / "memory"
        self.keeper = StoreKeeper(self.path, "node", Counters(), self.memory)
        self.writer = EventWriter(self.keeper, OutboxConfig(), Counters(), self.inbox, self.reader, self._clock)
        self.writer.keep_store()
        self.turn()

    def _clock(self) -> float:
        return self.now_s

    def publish(self, number: int, phase: str = "end", name: str | None = None) -> None:
        assert self.inbox.add("front/event", event(number, phase, name)) is None
        self.turn()

    def turn(self) -> None:
        while self.writer.handle_batch():
            pass

    def acknowledge(self) -> None:
        for entry in self.reader.got:
            self.inbox.acknowledge(entry.sequence)
        self.turn()

    def kill(self) -> None:
        """End as the kernel ends a process: only the lock is gone."""
        self.keeper.close()

    def stop(self) -> None:
        self.inbox.close()
        self.turn()
        self.writer.finish()

    @property
    def files(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.path.parent.iterdir()) if not path.name.endswith("-shm")]


def begun(path: Path) -> Run:
    """A run that has reserved numbers: it writes the first event of all."""
    run = Run(path)
    run.publish(0, "start", "first")
    run.publish(0, "end", "first")
    run.acknowledge()
    return run


def test_the_disk_is_not_written_while_the_broker_acknowledges(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = run.files
    for number in range(12):
        run.publish(number, "start", f"event {number}")
        run.publish(number, "update", f"event {number}")
        run.publish(number, "end", f"event {number}")
        run.acknowledge()
    assert run.files == before
    assert len(run.reader.got) == 2 + 3 * 12
    assert all(map(numbers_agree, run.reader.got))


def test_what_is_not_acknowledged_soon_is_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = run.files
    run.publish(1)
    run.now_s += ACKNOWLEDGED_WITHIN_S - 0.1
    run.turn()
    assert run.files == before
    run.now_s += 0.1
    run.turn()
    run.kill()
    assert [entry.sequence for entry in rows(run.path)] == [3]


def test_without_a_broker_all_is_written_at_once(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.publish(1)
    run.reader.connected = False
    run.publish(2)
    run.kill()
    assert [entry.sequence for entry in rows(run.path)] == [3, 4]


def test_more_than_a_few_steps_are_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    for number in range(MOST_HELD + 1):
        run.inbox.add("front/event", event(number))
    run.turn()
    run.kill()
    assert len(rows(run.path)) == MOST_HELD + 1


@pytest.mark.parametrize(
    ("held", "may_wait"),
    [
        (Held(0, 0.0, 0.0), True),
        (Held(MOST_HELD, ACKNOWLEDGED_WITHIN_S - 0.1, NOTED_WITHIN_S - 0.1), True),
        (Held(MOST_HELD + 1, 0.0, 0.0), False),
        (Held(1, ACKNOWLEDGED_WITHIN_S, 0.0), False),
        (Held(1, 0.0, NOTED_WITHIN_S), False),
    ],
)
def test_what_may_be_in_memory_alone(held: Held, may_wait: bool) -> None:
    assert held.may_wait is may_wait


def test_the_oldest_of_each_kind_counts() -> None:
    queued = QueuedEvents()
    queued.add([Entry(1, "t", "a", "start", b""), Entry(2, "t", "b", "start", b"")], is_saved=False, now_s=10.0)
    queued.acknowledge([1])
    queued.add([Entry(3, "t", "a", "update", b"")], is_saved=False, now_s=20.0)
    assert queued.held(25.0) == Held(2 + 2, 15.0, 15.0)
    queued.acknowledge([2])
    assert queued.held(25.0) == Held(1 + 2, 5.0, 15.0)
    queued.add([Entry(4, "t", "a", "end", b""), Entry(5, "t", "b", "end", b"")], is_saved=False, now_s=25.0)
    queued.acknowledge([3, 4, 5])
    assert queued.held(1000.0) == Held(0, 0.0, 0.0)


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = run.files
    run.publish(1, "start", "open")
    run.acknowledge()
    run.publish(2, "start", "unacknowledged")
    run.publish(2, "end", "unacknowledged")
    assert run.files == before
    run.kill()
    again = Run(tmp_path)
    assert [(entry.sequence, entry.event, entry.phase) for entry in again.reader.got] == [
        (4, "unacknowledged", "start"),
        (5, "unacknowledged", "end"),
        (6, "open", "end"),
    ]
    again.acknowledge()
    again.stop()
    assert Run(tmp_path).reader.got == []


def test_a_power_cut_repeats_no_number(tmp_path: Path) -> None:
    run = begun(tmp_path)
    for number in range(10):
        run.publish(number)
        run.acknowledge()
    run.kill()
    shutil.rmtree(run.memory)
    again = Run(tmp_path)
    again.publish(1)
    assert [entry.sequence for entry in again.reader.got] == [FIRST_RESERVED + 1]


def test_numbers_go_on_without_a_gap_after_a_stop(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.publish(1)
    run.acknowledge()
    run.stop()
    assert list(run.memory.iterdir()) == []
    shutil.rmtree(run.memory)  # the machine was restarted
    again = Run(tmp_path)
    again.publish(2)
    assert [entry.sequence for entry in again.reader.got] == [4]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"last":"x","unsaved":[],"unnoted":[]}',
        b'{"last":Infinity,"unsaved":[],"unnoted":[]}',
        b'{"last":-1,"unsaved":[],"unnoted":[]}',
        b"[1]",
        b"\xff",
        b"9" * 10,
    ],
)
def test_a_copy_that_cannot_be_read_costs_what_it_had_and_no_number(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = begun(tmp_path)
    run.publish(1)
    run.kill()
    (copy,) = run.memory.iterdir()
    copy.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        again = Run(tmp_path)
    assert str(copy) in caplog.text
    again.publish(2)
    assert [entry.sequence for entry in again.reader.got] == [FIRST_RESERVED + 1]


def test_without_room_in_memory_all_is_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    shutil.rmtree(run.memory)
    run.memory.write_text("in the place of the directory")
    run.publish(1)
    assert [entry.sequence for entry in run.reader.got] == [1, 2, 3]
    run.kill()
    assert [entry.sequence for entry in rows(run.path)] == [3]


def test_a_run_without_a_directory_in_memory_repeats_no_number(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.publish(1)
    run.kill()
    keeper = StoreKeeper(run.path, "node", Counters())
    writer = EventWriter(keeper, OutboxConfig(), Counters(), Inbox(), Reader(1000))
    writer.keep_store()
    assert writer.last == FIRST_RESERVED
    keeper.close()


def test_an_earlier_version_can_use_the_file(tmp_path: Path) -> None:
    """It knows no reserved numbers, and leaves the table of them."""
    run = begun(tmp_path)
    run.stop()
    store = OutboxStore(run.path)
    assert (store.last_sequence, store.reserved, store.count) == (2, 0, 0)
    store.close()
