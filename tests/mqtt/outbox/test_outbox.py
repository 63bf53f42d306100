"""The outbox: events are written before they are sent, in order, and publishers never wait."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.core.timing import monotonic_ns
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.inbox import MAX_UNWRITTEN
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.payloads import EventPayload
from daemon.runtime.heartbeat import hung_loops
from tests.helpers.mosquitto import wait_until
from tests.mqtt.outbox.readers import Reader, rows
from tests.mqtt.records import event


class Failing(Reader):
    """An EventQueue that raises an error before, or after, it takes events, as often as it has errors left."""

    def __init__(self, *errors: Exception, takes_first: bool = False) -> None:
        super().__init__(1000)
        self.errors, self.takes_first = list(errors), takes_first

    def put(self, entries: list[Entry]) -> None:
        if self.takes_first:
            super().put(entries)
        if self.errors:
            raise self.errors.pop()
        if not self.takes_first:
            super().put(entries)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@contextmanager
def outbox(path: Path, reader: Reader, **config: float) -> Iterator[Outbox]:
    made = Outbox(path, "node", OutboxConfig(**config), Counters(), reader)
    made.start()
    try:
        yield made
    finally:
        assert made.close(10.0)


def failing(monkeypatch: pytest.MonkeyPatch, method: str, reason: str) -> threading.Event:
    """While the event is set, the store's method fails as it does on a bad disk."""
    fails, works = threading.Event(), getattr(OutboxStore, method)

    def sometimes(store: OutboxStore, *arguments, **keywords):
        if fails.is_set():
            raise sqlite3.OperationalError(reason)
        return works(store, *arguments, **keywords)

    monkeypatch.setattr(OutboxStore, method, sometimes)
    return fails


def stored(path: Path) -> list[int]:
    """The numbers of the events that a new run finds."""
    return [entry.sequence for entry in rows(path)]


def test_events_are_on_disk_before_they_are_queued_to_be_sent(path: Path) -> None:
    on_disk: list[bool] = []

    class Checking(Reader):
        def put(self, entries: list[Entry]) -> None:
            # another process must not open the file, but may read it
            raw = b"".join(part.read_bytes() for part in path.parent.iterdir() if not part.name.endswith("-shm"))
            on_disk.extend(entry.payload in raw for entry in entries)
            super().put(entries)

    reader = Checking(1000)
    with outbox(path, reader) as ours:
        for number in range(100):
            assert ours.add("front/event", event(number))
        wait_until(lambda: len(reader.got) == 100, "all queued")
    assert on_disk == [True] * 100
    assert reader.sequences == list(range(1, 101))


def test_what_is_acknowledged_is_removed_and_the_rest_comes_again(path: Path) -> None:
    reader = Reader(1000)
    with outbox(path, reader) as ours:
        for number in range(10):
            ours.add("front/event", event(number, "start"))
        wait_until(lambda: len(reader.got) == 10, "all queued")
        for sequence in range(1, 8):
            ours.acknowledged(sequence)
        wait_until(lambda: ours.status()["stored"] == 3, "removed within a second")
    again = Reader(1000)
    with outbox(path, again) as ours:
        wait_until(lambda: len(again.got) == 13, "three, and the ends of ten that were left open")
    assert again.sequences == list(range(8, 21))
    assert [entry.payload for entry in again.got[:3]] == [entry.payload for entry in reader.got[7:]]


def test_what_was_open_when_the_daemon_ended_is_ended_by_restart_once(path: Path) -> None:
    reader = Reader(1000)
    with outbox(path, reader) as ours:
        ours.add("front/event", event(1, "start", "a"))
        ours.add("back/event", event(2, "start", "b"))
        ours.add("front/event", event(1, "end", "a"))
        ours.add("back/event", event(3, "update", "b"))
        wait_until(lambda: len(reader.got) == 4, "all queued")
    again = Reader(1000)
    with outbox(path, again):
        wait_until(
            lambda: len(again.got) == 4, "what was not acknowledged, and an end, which makes the update needless"
        )
    assert again.sequences == [1, 2, 3, 5]
    end = again.got[-1]
    payload = EventPayload.model_validate_json(end.payload)
    assert (end.topic, payload.id, payload.phase, payload.ended_by) == ("back/event", "b", "end", "restart")
    assert payload.label == "3"
    third = Reader(1000)
    with outbox(path, third):
        wait_until(lambda: third.sequences == again.sequences, "no end more")


def test_an_open_event_of_another_version_is_counted_and_forgotten(path: Path) -> None:
    store = OutboxStore(path)
    store.write([Entry(1, "front/event", "x", "start", b'{"schema":99}')], [1], queued=1)
    store.close()
    counters = Counters()
    for count in (1, 1):
        made = Outbox(path, "node", OutboxConfig(), counters, Reader(0))
        made.start()
        assert made.close(10.0)
        assert counters.dropped == {"event_unreadable": count}


def test_while_nobody_takes_them_updates_are_coalesced_and_all_others_kept(path: Path) -> None:
    reader = Reader(1)
    with outbox(path, reader) as ours:
        ours.add("front/event", event(0, "start", "first"))
        wait_until(lambda: reader.sequences == [1], "the first is queued")
        for number in range(500):
            ours.add("front/event", event(number, "update", "first"))
            if number % 100 == 99:
                wait_until(lambda: ours.status()["waiting"] == 0, "written")
        ours.add("front/event", event(500, "start", "second"))
        wait_until(lambda: ours.status()["waiting"] == 0, "written")
        assert ours.status()["stored"] == 3
        assert ours.status()["coalesced"] == 499
        reader.free = 10
        ours.wake()
        wait_until(lambda: len(reader.got) == 3, "the rest")
        assert not ours.is_behind
    assert reader.sequences == [1, 501, 502]


def test_room_is_never_exceeded_and_a_long_backlog_comes_in_order(path: Path) -> None:
    reader = Reader(0)
    with outbox(path, reader) as ours:
        for number in range(700):
            assert ours.add("front/event", event(number))
        for _ in range(70):
            before = len(reader.got)
            reader.free = 10
            ours.wake()
            wait_until(lambda before=before: len(reader.got) == before + 10, "ten more")
    assert reader.sequences == list(range(1, 701))


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(path: Path) -> None:
    reader, counters = Reader(0), Counters()
    ours = Outbox(path, "node", OutboxConfig(max_mb=1), counters, reader)
    ours.start()
    count = 3000
    for number in range(count):
        wait_until(lambda: ours.add("front/event", event(number)), "room in memory")  # noqa: B023
    wait_until(lambda: ours.status()["waiting"] == 0, "written")
    assert ours.close(10.0)
    remaining = stored(path)
    assert remaining == list(range(remaining[0], remaining[-1] + 1))
    assert counters.dropped["event_overflow"] == remaining[0] - 1
    assert 0.95 < ours.status()["stored_bytes"] / (1 << 20) <= 1


def test_a_damaged_store_is_set_aside_and_counted_and_a_new_one_begins(path: Path, caplog) -> None:
    path.write_bytes(b"scribbled over" * 1000)
    reader, counters = Reader(10), Counters()
    ours = Outbox(path, "node", OutboxConfig(), counters, reader)
    ours.start()
    ours.add("front/event", event(1))
    wait_until(lambda: reader.sequences == [1], "queued")
    assert ours.close(10.0)
    assert counters.dropped == {"outbox_damaged": 1}
    assert ours.status()["trouble"] is None
    assert path.with_suffix(".damaged").read_bytes() == b"scribbled over" * 1000
    assert stored(path) == [1]
    assert "is damaged" in caplog.text


def test_without_a_disk_events_are_sent_from_memory_and_status_says_so(tmp_path: Path, caplog) -> None:
    (tmp_path / "a file").write_text("no directory")
    reader = Reader(10)
    with outbox(tmp_path / "a file" / "outbox.sqlite3", reader) as ours:
        for number in range(3):
            ours.add("front/event", event(number))
        wait_until(lambda: reader.sequences == [1, 2, 3], "queued all the same")
        assert "cannot be opened" in str(ours.status()["trouble"])
    assert caplog.text.count("cannot be opened") == 1


def test_a_disk_that_fails_for_a_while_costs_neither_events_nor_their_order(path: Path, monkeypatch, caplog) -> None:
    fails = failing(monkeypatch, "write", "database or disk is full")
    reader = Reader(0)
    with outbox(path, reader) as ours:
        for number in range(5):
            ours.add("front/event", event(number))
        wait_until(lambda: ours.status()["stored"] == 5, "written")
        fails.set()
        for number in range(5, 10):
            ours.add("front/event", event(number))
        wait_until(lambda: ours.status()["trouble"] is not None, "the failure is seen")
        reader.free = 8
        ours.wake()
        wait_until(lambda: len(reader.got) == 8, "from the disk, then from memory")
        fails.clear()
        wait_until(lambda: ours.status()["trouble"] is None, "the disk works again")
        reader.free = 8
        ours.wake()
        wait_until(lambda: len(reader.got) == 10, "the rest")
    assert reader.sequences == list(range(1, 11))
    assert caplog.text.count("disk is full") == 1


def test_while_the_disk_hangs_nobody_waits_and_what_is_too_much_is_counted(path: Path, monkeypatch) -> None:
    hangs = threading.Event()
    write = OutboxStore.write

    def hanging(store: OutboxStore, *arguments, **keywords) -> int:
        hangs.wait(60)
        return write(store, *arguments, **keywords)

    monkeypatch.setattr(OutboxStore, "write", hanging)
    reader, counters = Reader(2 * MAX_UNWRITTEN), Counters()
    ours = Outbox(path, "node", OutboxConfig(), counters, reader)
    ours.start()
    taken = sum(ours.add("front/event", event(number)) for number in range(MAX_UNWRITTEN + 5))
    assert taken == MAX_UNWRITTEN
    assert counters.dropped == {"event_unwritten": 5}
    hangs.set()
    wait_until(lambda: len(reader.got) == MAX_UNWRITTEN, "all that were taken")
    assert ours.close(10.0)


def test_a_read_that_fails_once_skips_nothing(path: Path, monkeypatch) -> None:
    fails = failing(monkeypatch, "read", "disk I/O error")
    reader = Reader(0)
    with outbox(path, reader) as ours:
        for number in range(5):
            ours.add("front/event", event(number))
        wait_until(lambda: ours.status()["stored"] == 5, "written")
        fails.set()
        reader.free = 100
        ours.wake()
        wait_until(lambda: ours.status()["trouble"] is not None, "the failure is seen")
        fails.clear()
        ours.add("front/event", event(5))
        wait_until(lambda: len(reader.got) == 6, "all of them")
    assert reader.sequences == list(range(1, 7))


def test_an_event_that_ended_while_the_disk_failed_does_not_end_again(path: Path, monkeypatch) -> None:
    fails = failing(monkeypatch, "write", "database or disk is full")
    reader = Reader(100)
    with outbox(path, reader) as ours:
        ours.add("front/event", event(1, "start", "a"))
        wait_until(lambda: reader.sequences == [1], "the start")
        fails.set()
        ours.add("front/event", event(1, "end", "a"))
        wait_until(lambda: reader.sequences == [1, 2], "the end, from memory")
        fails.clear()
        wait_until(lambda: ours.status()["trouble"] is None, "the disk works again")
        for sequence in (1, 2):
            ours.acknowledged(sequence)
        wait_until(lambda: ours.status()["stored"] == 0, "all acknowledged")
    again = Reader(100)
    with outbox(path, again) as ours:
        ours.add("front/event", event(2))
        wait_until(lambda: len(again.got) == 1, "nothing but what is new")
    assert again.sequences == [3]


def test_a_store_that_was_taken_is_used_as_soon_as_it_is_free(path: Path) -> None:
    other = OutboxStore(path)
    other.write([Entry(1, "front/event", "x", "end", b"from before")], [], queued=0)
    reader = Reader(100)
    with outbox(path, reader) as ours:
        assert "locked" in str(ours.status()["trouble"])
        for sequence in range(1000, 1200):
            ours.acknowledged(sequence)
        other.close()
        wait_until(lambda: ours.status()["trouble"] is None, "opened after all")
        ours.add("front/event", event(1))
        wait_until(lambda: len(reader.got) == 2, "what was there, and what is new")
        assert ours.status()["stored"] == 2
    assert reader.sequences == [1, 2]


def test_what_an_earlier_run_left_open_is_ended_also_when_the_store_could_be_opened_only_later(path: Path) -> None:
    first = Reader(100)
    with outbox(path, first) as ours:
        ours.add("front/event", event(1, "start", "a"))
        wait_until(lambda: first.sequences == [1], "the start")
        ours.acknowledged(1)
    other = OutboxStore(path)
    reader = Reader(100)
    with outbox(path, reader):
        other.close()
        wait_until(lambda: reader.sequences == [2], "its end")
    assert reader.got[0].phase == "end"


NO_DESCRIPTORS = OSError(24, "Too many open files")


@pytest.mark.parametrize(("error", "takes_first"), [(NO_DESCRIPTORS, False), (MemoryError(), True)])
def test_an_error_of_the_operating_system_costs_no_event(path: Path, error: Exception, takes_first: bool) -> None:
    reader = Failing(error, takes_first=takes_first)
    with outbox(path, reader) as queued:
        for number in (1, 2, 3):
            assert queued.add("door/event", event(number))
        wait_until(lambda: not reader.errors and {1, 2, 3} <= set(reader.sequences), "all events, maybe twice")
        for sequence in (1, 2, 3):
            queued.acknowledged(sequence)
        wait_until(lambda: queued.status()["stored"] == 0, "the acknowledged events are removed")
        assert queued.progress.snapshot().alive
    assert stored(path) == []


def test_events_that_an_error_delays_until_the_end_are_on_disk(path: Path) -> None:
    reader = Failing(*[NO_DESCRIPTORS] * 3)
    with outbox(path, reader) as queued:
        assert queued.add("door/event", event(1))
    assert stored(path) == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_heartbeat_shows_that_the_thread_has_ended_by_an_error_of_the_program(path: Path) -> None:
    reader = Failing(AssertionError("a fault in a port"))
    with outbox(path, reader) as queued:
        assert hung_loops([queued.progress.snapshot()], monotonic_ns()) is None
        assert queued.add("door/event", event(1))
        wait_until(lambda: not queued.progress.snapshot().alive, "the thread has ended")
        assert hung_loops([queued.progress.snapshot()], monotonic_ns()) == "outbox has ended"
