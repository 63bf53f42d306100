"""The file of the outbox is removed, replaced, locked or of another node while the daemon runs."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.outbox.store import OutboxStore
from tests.helpers.mosquitto import wait_until
from tests.mqtt.outbox.readers import Reader, act_until, rows
from tests.mqtt.records import event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


@contextmanager
def running(path: Path, reader: Reader, counters: Counters, node: str = "node") -> Iterator[Outbox]:
    made = Outbox(path, node, OutboxConfig(), counters, reader)
    made.start()
    try:
        yield made
    finally:
        assert made.close(10.0)


def file(path: Path) -> None:
    path.unlink()


def journal(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize("remove", [file, journal, directory])
def test_a_store_that_is_removed_is_written_again_with_what_is_unsent(
    path: Path, remove: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    reader, counters = Reader(2), Counters()
    with running(path, reader, counters) as ours:
        for number in range(6):
            ours.add("front/event", event(number))
        act_until(ours, lambda: reader.sequences == [1, 2], "two are queued")
        ours.acknowledged(1)
        act_until(ours, lambda: ours.status()["stored"] == 5, "one is acknowledged")
        remove(path)
        act_until(ours, lambda: counters.dropped == {"outbox_removed": 1}, "noticed")
        act_until(ours, lambda: ours.status()["trouble"] is None, "events are on disk again")
        ours.add("front/event", event(6, "end"))
        act_until(ours, lambda: ours.status()["stored"] == 6, "written")
        ours.acknowledged(2)
        act_until(ours, lambda: ours.status()["stored"] == 5, "the new store knows what was queued")
    assert [entry.sequence for entry in rows(path)] == [3, 4, 5, 6, 7]
    assert caplog.text.count("a new file has its 5 events") == 1
    again = Reader(100)
    with running(path, again, Counters()):
        wait_until(lambda: len(again.got) == 11, "the rest, and the ends of six that were left open")
    assert again.sequences == list(range(3, 14))


def test_while_no_store_can_be_made_again_the_old_one_goes_on_and_status_says_so(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = path.with_name("other.sqlite3")
    other = OutboxStore(taken)
    reader, counters = Reader(0), Counters()
    with running(path, reader, counters) as ours:
        ours.add("front/event", event(0))
        act_until(ours, lambda: ours.status()["stored"] == 1, "written")
        taken.rename(path)
        trouble = "was replaced by another file and cannot be made again: database is locked"
        wait_until(lambda: trouble in str(ours.status()["trouble"]), "said")
        ours.add("front/event", event(1))
        act_until(ours, lambda: ours.status()["stored"] == 2, "written where it was")
        assert ours.status()["trouble"] is not None
        other.close()
        act_until(ours, lambda: ours.status()["trouble"] is None, "made again")
    assert [entry.sequence for entry in rows(path)] == [1, 2]
    assert caplog.text.count("cannot be made again") == 1


def test_events_of_a_store_that_could_not_be_made_again_are_counted_at_the_end(path: Path) -> None:
    taken, counters = path.with_name("other.sqlite3"), Counters()
    other = OutboxStore(taken)
    with running(path, Reader(0), counters) as ours:
        ours.add("front/event", event(0))
        act_until(ours, lambda: ours.status()["stored"] == 1, "written")
        taken.rename(path)
        act_until(ours, lambda: ours.status()["trouble"] is not None, "noticed")
    other.close()
    assert counters.dropped == {"event_unwritten": 1}


def test_a_journal_is_never_taken_for_that_of_the_next_database(path: Path) -> None:
    """SQLite would apply the transactions of the old journal to the file that takes the place of the old database."""
    other = path.with_name("other.sqlite3")
    store = OutboxStore(other)
    store.write([Entry(n, "front/event", f"other {n}", "end", b"{}") for n in (1, 2)], [], queued=0)
    store.close()
    reader, counters = Reader(0), Counters()
    with running(path, reader, counters) as ours:
        for number in range(5):
            ours.add("front/event", event(number, "end"))
            wait_until(lambda number=number: ours.status()["stored"] == number + 1, "one transaction each")
        other.rename(path)
        act_until(ours, lambda: ours.status()["stored"] == 7, "those of both")
    assert [entry.event for entry in rows(path)] == ["other 1", "other 2", *(event(n).id for n in range(5))]


HOLD = (
    "import sys; from pathlib import Path; from daemon.mqtt.outbox.store import OutboxStore\n"
    "store = OutboxStore(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
)


def test_of_two_daemons_the_second_sends_its_own_events_only_until_the_first_has_ended(path: Path) -> None:
    left = b'{"schema":1,"sequence":%d,"node":"node"}'
    store = OutboxStore(path)
    store.write([Entry(n, "front/event", f"first {n}", "end", left % n) for n in (1, 2, 3)], [], queued=0)
    store.close()
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        reader = Reader(100)
        with running(path, reader, Counters()) as second:
            for number in range(2):
                second.add("front/event", event(number, "end"))
            act_until(second, lambda: reader.sequences == [1, 2], "from memory")
            second.acknowledged(1)
            assert "locked" in str(second.status()["trouble"])
            first.communicate("")
            act_until(second, lambda: second.status()["trouble"] is None, "opened")
            act_until(second, lambda: second.status()["stored"] == 4, "the first's, and one that waits")
            assert len(reader.got) == 2
            second.acknowledged(2)
            act_until(second, lambda: reader.sequences == [1, 2, 1, 2, 3], "the first's")
            assert second.last_sequence == 5


def test_the_events_of_another_node_are_never_sent(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(0)
    with running(path, reader, Counters(), "hall") as first:
        first.add("front/event", event(0).model_copy(update={"node": "hall"}))
        wait_until(lambda: first.status()["stored"] == 1, "written")
    reader = Reader(100)
    with running(path, reader, Counters(), "node") as second:
        second.add("front/event", event(1))
        act_until(second, lambda: reader.sequences == [1], "its own, from memory")
        assert "has 2 events of node hall" in str(second.status()["trouble"])  # one, and what is open
    assert [entry.event for entry in rows(path)] == [event(0).id]
    assert caplog.text.count("of node hall") == 1


def test_a_store_without_events_of_another_node_is_used(path: Path) -> None:
    reader = Reader(100)
    with running(path, reader, Counters(), "hall") as first:
        first.add("front/event", event(0, "end").model_copy(update={"node": "hall"}))
        act_until(first, lambda: reader.sequences == [1], "queued")
        first.acknowledged(1)
    reader = Reader(100)
    with running(path, reader, Counters(), "node") as second:
        second.add("front/event", event(1))
        act_until(second, lambda: reader.sequences == [2], "on disk")
        assert second.status()["trouble"] is None


def test_no_check_of_the_file_drops_the_lock_of_the_same_process(path: Path) -> None:
    """Closing any descriptor of a file drops all POSIX locks that the process has on it."""
    store = OutboxStore(path)
    with pytest.raises(Exception, match="locked"):
        OutboxStore(path)
    found = subprocess.run(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert "locked" in found.stderr
    store.close()


def test_what_is_queued_without_a_disk_is_written_when_there_is_one(path: Path) -> None:
    path.parent.write_text("in the place of the directory")
    reader = Reader(100)
    with running(path, reader, Counters()) as ours:
        for number in range(3):
            ours.add("front/event", event(number, "end"))
        act_until(ours, lambda: reader.sequences == [1, 2, 3], "queued")
        ours.acknowledged(2)
        path.parent.unlink()
        act_until(ours, lambda: ours.status()["stored"] == 2, "written")
    assert [entry.sequence for entry in rows(path)] == [1, 3]


def test_what_ends_in_memory_is_counted(path: Path) -> None:
    path.parent.write_text("in the place of the directory")
    reader, counters = Reader(2), Counters()
    with running(path, reader, counters) as ours:
        for number in range(3):
            ours.add("front/event", event(number))
        act_until(ours, lambda: reader.sequences == [1, 2], "queued")
        ours.acknowledged(1)
    assert counters.dropped == {"event_unwritten": 2}


def test_of_a_store_that_is_damaged_while_it_is_used_only_what_was_not_queued_is_lost_and_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, reader, counters = OutboxStore.write, Reader(2), Counters()

    def damaged(store: OutboxStore, *arguments, **keywords) -> int:
        monkeypatch.setattr(OutboxStore, "write", works)
        raise sqlite3.DatabaseError("database disk image is malformed")

    with running(path, reader, counters) as ours:
        for number in range(5):
            ours.add("front/event", event(number, "end"))
        act_until(ours, lambda: ours.status()["stored"] == 5 and len(reader.got) == 2, "two of five are queued")
        monkeypatch.setattr(OutboxStore, "write", damaged)
        ours.add("front/event", event(5, "end"))
        act_until(ours, lambda: counters.dropped == {"outbox_damaged": 1, "event_damaged": 3}, "counted")
        act_until(ours, lambda: ours.status()["stored"] == 3, "two that are queued, and the new one")
    assert [entry.sequence for entry in rows(path)] == [1, 2, 6]
