"""Events on disk: complete however the process ends, bounded, in order."""

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.outbox import store as module
from daemon.mqtt.outbox.entries import ROW_BYTES, Entry
from daemon.mqtt.outbox.store import OutboxStore


def entry(sequence: int, event: str = "e", phase: str = "start", size: int = 10) -> Entry:
    return Entry(sequence, "front/event", event, phase, bytes(size))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "outbox.sqlite3"


def sequences(store: OutboxStore, after: int = 0) -> list[int]:
    return [found.sequence for found in store.read(after, 1000)]


def test_what_was_written_is_there_after_opening_again_and_numbers_go_on(path: Path) -> None:
    first = OutboxStore(path)
    first.write([entry(1), entry(2, phase="end"), entry(3, "f")], [], queued=0)
    first.write([], [1, 2, 3], queued=3)
    first.write([entry(4, "g", size=7)], [], queued=3)
    first.close()
    again = OutboxStore(path)
    assert again.read(0, 10) == [entry(4, "g", size=7)]
    assert (again.last_sequence, again.count, again.size_bytes) == (4, 1, 7 + ROW_BYTES)
    again.write([], [4], queued=4)
    again.close()
    assert OutboxStore(path).last_sequence == 4


def test_directory_and_files_are_for_their_owner_alone(path: Path) -> None:
    OutboxStore(path).close()
    path.chmod(0o644)  # as an earlier version has left it
    store = OutboxStore(path)
    store.write([entry(1)], [], queued=0)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    store.close()


def test_a_later_step_coalesces_updates_that_were_not_queued(path: Path) -> None:
    store = OutboxStore(path)
    store.write([entry(1), entry(2, phase="update"), entry(3, "other", "update")], [], queued=0)
    assert store.write([entry(4, phase="update")], [], queued=2) == 0
    assert store.write([entry(5, phase="update"), entry(6, phase="end")], [], queued=2) == 2
    assert sequences(store) == [1, 2, 3, 6]


def test_what_is_written_again_after_a_failure_is_there_once(path: Path) -> None:
    store = OutboxStore(path)
    entries = [entry(1), entry(2, phase="update"), entry(3, "other")]
    for _ in range(2):
        store.write(entries, [], queued=0)
    assert sequences(store) == [1, 2, 3]
    assert (store.count, store.size_bytes) == (3, 3 * (10 + ROW_BYTES))


def test_what_went_out_without_being_written_ends_events_and_takes_numbers(path: Path) -> None:
    store = OutboxStore(path)
    store.write([entry(1, "a")], [], queued=0)
    store.write([], [1], queued=1, unnoted=[entry(2, "a", "end"), entry(3, "b")], last=3)
    assert [found.event for found in store.open_events()] == ["b"]
    assert (store.last_sequence, store.count) == (3, 0)


def test_open_events_are_those_without_an_end(path: Path) -> None:
    store = OutboxStore(path)
    store.write(
        [entry(1, "a"), entry(2, "b", size=1), entry(3, "a", "end"), entry(4, "b", "update", size=2)], [], queued=0
    )
    store.write([], [1, 2, 3, 4], queued=4)
    store.close()
    again = OutboxStore(path)
    assert [(found.event, len(found.payload)) for found in again.open_events()] == [("b", 2)]
    again.write([], [], queued=4, unnoted=[entry(0, "b", "end")])
    assert again.open_events() == []


@given(st.lists(st.integers(0, 3000), max_size=30), st.integers(0, 20_000), st.integers(0, 30))
def test_beyond_the_bound_the_oldest_go_that_were_not_queued(sizes: list[int], max_bytes: int, queued: int) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        _check_bound(OutboxStore(Path(directory) / "outbox.sqlite3"), sizes, max_bytes, queued)


def _check_bound(store: OutboxStore, sizes: list[int], max_bytes: int, queued: int) -> None:
    store.write([entry(n, str(n), size=size) for n, size in enumerate(sizes, 1)], [], queued=0)
    dropped = store.drop_beyond(max_bytes, queued=queued)
    remaining = sequences(store)
    free = [n for n in range(1, len(sizes) + 1) if n > queued]
    assert remaining == [n for n in range(1, len(sizes) + 1) if n <= queued] + free[dropped:]
    assert store.size_bytes == sum(sizes[n - 1] + ROW_BYTES for n in remaining)
    assert store.size_bytes <= max_bytes or all(n <= queued for n in remaining)
    if dropped:  # not one more than necessary
        assert store.size_bytes + sizes[free[dropped - 1] - 1] + ROW_BYTES > max_bytes
    store.close()


def test_what_is_too_old_goes_by_the_clock_that_can_be_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_boot_id", lambda: "before")
    store = OutboxStore(path)
    store.write([entry(1, "a")], [], queued=0)
    store.close()
    monkeypatch.setattr(module, "_boot_id", lambda: "now")
    store = OutboxStore(path)
    store.write([entry(2, "b")], [], queued=0)
    day = 86_400
    later_s, later_ns = time.time() + day, time.monotonic_ns()
    monkeypatch.setattr(module.time, "time", lambda: later_s)  # the clock was set: a day ahead, within a second
    monkeypatch.setattr(module, "monotonic_ns", lambda: later_ns)
    assert store.drop_old(day / 2, queued=1) == 0
    assert store.drop_old(day / 2, queued=0) == 1
    assert sequences(store) == [2]
    monkeypatch.setattr(module, "monotonic_ns", lambda: later_ns + day * 10**9)
    assert store.drop_old(day / 2, queued=0) == 1


@pytest.mark.parametrize(
    ("clock_s", "is_set_later", "is_kept"),
    [
        (0.0, False, True),  # a board without a battery whose clock was never set
        (0.0, True, True),
        (1.8e9 - 30 * 86_400, True, True),  # one that continues with the time of its latest stop
        (1.8e9 - 30 * 86_400, False, False),
        (1.8e9, False, True),
    ],
)
def test_an_event_of_a_boot_with_a_wrong_clock_is_not_taken_for_an_old_one(
    clock_s: float, is_set_later: bool, is_kept: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"wall_s": clock_s, "ns": 10**9}
    monkeypatch.setattr(module.time, "time", lambda: clock["wall_s"])
    monkeypatch.setattr(module, "monotonic_ns", lambda: clock["ns"])
    monkeypatch.setattr(module, "_boot_id", lambda: "before")
    store = OutboxStore(path)
    store.write([entry(1, "a")], [], queued=0)
    clock["ns"] += 60 * 10**9
    clock["wall_s"] = 1.8e9 if is_set_later else clock_s + 60
    assert store.drop_old(86_400, queued=0) == 0
    store.close()
    clock["wall_s"] = 1.8e9 + 300
    monkeypatch.setattr(module, "_boot_id", lambda: "now")
    store = OutboxStore(path)
    assert store.drop_old(86_400, queued=0) == (0 if is_kept else 1)
    store.close()


def test_a_second_user_of_the_file_is_refused(path: Path) -> None:
    first = OutboxStore(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        OutboxStore(path)
    first.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_raises_a_database_error(path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(sqlite3.DatabaseError) as found:
        OutboxStore(path)
    assert not isinstance(found.value, sqlite3.OperationalError)


def test_a_killed_process_leaves_complete_transactions(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from daemon.mqtt.outbox.entries import Entry\n"
        "from daemon.mqtt.outbox.store import OutboxStore\n"
        f"store = OutboxStore(Path({str(path)!r}))\n"
        "for n in range(1, 100_000):\n"
        "    store.write([Entry(n, 't', str(n), 'start', b'x' * 500)], [], queued=n)\n"
        "    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.kill()
        last_printed = [50, *map(int, process.stdout.read().split())][-1]
    store = OutboxStore(path)
    assert sequences(store) == list(range(1, store.last_sequence + 1))
    assert store.last_sequence in (last_printed, last_printed + 1)
