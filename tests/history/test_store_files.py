"""The history is damaged, foreign, removed or cut off, or the disk is full: words, and index and files agree."""

import logging
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.core.errors import HistoryError
from daemon.history.eraser import HistoryEraser
from daemon.history.reader import HistoryReader
from daemon.history.records import Quota
from daemon.history.store import HistoryStore
from tests.helpers.damaged_databases import cut_off, other_version, zeros
from tests.helpers.hostile_files import FOREIGN, HOSTILE, Foreign, Kind
from tests.helpers.hostile_files import directory as a_directory
from tests.history.kept import LARGE, agreement, ended, ids, keep_whole, kept_event, opened, write_parts


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history"


@pytest.fixture
def store(directory: Path) -> Iterator[HistoryStore]:
    yield from opened(directory)


def keep(directory: Path, count: int = 3) -> None:
    """Keep some events, and close the history."""
    made = HistoryStore(directory, LARGE)
    for number in range(count):
        keep_whole(made, kept_event(f"e{number}"))
    made.commit()
    made.close()


PLACES = [(name, kind) for kind in HOSTILE for name in ("history.db", "history.db-wal", "clips")]


@pytest.mark.parametrize(("name", "kind"), [place for place in PLACES if place != ("clips", a_directory)])
def test_what_lies_in_the_place_of_a_file_makes_way(directory: Path, tmp_path: Path, name: str, kind: Kind) -> None:
    foreign = Foreign(tmp_path / "foreign")
    keep(directory)
    foreign.put(kind, directory / name)
    store = HistoryStore(directory, LARGE)
    keep_whole(store, kept_event("new"))
    store.commit()
    assert ids(directory)[0] == "new"
    assert agreement(directory) == []
    assert (name == "history.db-wal") == (store.problem is None)
    store.close()
    foreign.check_untouched()


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["1.mp4", "1.jpg", "1.mp4.part", "notes"])
def test_a_swapped_file_is_refused_and_removed_by_the_next_start(
    directory: Path, tmp_path: Path, kind: Kind, name: str
) -> None:
    foreign = Foreign(tmp_path / "foreign")
    keep(directory)
    foreign.put(kind, directory / "clips" / name)
    if name in ("1.mp4", "1.jpg"):
        with HistoryReader(directory) as reader, pytest.raises(HistoryError) as refused:
            reader.open_file("e0", "clip" if name == "1.mp4" else "snapshot")
        assert refused.value.kind in ("damaged", "unknown")  # a dangling link is no file
    is_file = (directory / "clips" / name).is_file() and not (directory / "clips" / name).is_symlink()
    store = HistoryStore(directory, LARGE)
    assert len(ids(directory)) == 3
    store.delete("e0")
    store.commit()
    assert sorted(path.name for path in (directory / "clips").iterdir()) == ["2.jpg", "2.mp4", "3.jpg", "3.mp4"]
    assert is_file or agreement(directory) == []
    store.close()
    foreign.check_untouched()


def test_a_file_of_another_size_is_refused(directory: Path) -> None:
    keep(directory)
    for content in (b"", b"fil", b"filmed"):
        (directory / "clips" / "1.mp4").write_bytes(content)
        with HistoryReader(directory) as reader, pytest.raises(HistoryError, match="is not the clip of event e0"):
            reader.open_file("e0", "clip")


def test_a_link_in_the_place_of_a_directory_is_not_followed(directory: Path, tmp_path: Path) -> None:
    foreign = Foreign(tmp_path / "foreign")
    keep(directory)
    (foreign.file.parent / "1.mp4").write_bytes(b"film")
    for link in (directory / "clips", directory):
        link.rename(link.with_name("moved"))
        link.symlink_to(foreign.file.parent if link.name == "clips" else link.with_name("moved"))
        with pytest.raises(HistoryError), HistoryReader(directory) as reader:
            reader.open_file("e0", "clip")
        with pytest.raises(HistoryError), HistoryEraser(directory) as eraser:
            list(eraser.delete(["e0"]))
        link.unlink()
        link.with_name("moved").rename(link)
    assert (foreign.file.parent / "1.mp4").read_bytes() == b"film"


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER mine AFTER INSERT ON age BEGIN DELETE FROM events; END")
    database.close()


@pytest.mark.parametrize("damage", [cut_off, zeros, other_version, other_tables])
def test_a_damaged_index_is_set_aside_with_its_files_and_told(
    directory: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep(directory, 40)
    damage(directory / "history.db")
    with pytest.raises(HistoryError) as refused, HistoryReader(directory) as reader:
        reader.labels()
        reader.events()
    assert refused.value.kind == "damaged"
    if damage in (other_version, other_tables):
        with pytest.raises(HistoryError, match="is damaged"):
            HistoryEraser(directory)
    store = HistoryStore(directory, Quota(10**9, 1000.0))
    assert "was damaged" in str(store.problem) and "its pictures and clips are in" in str(store.problem)
    assert "and a new one begins" in caplog.text
    assert (directory / "clips.damaged" / "1.mp4").read_bytes() == b"film"
    assert (directory / "history.damaged").exists()
    keep_whole(store, kept_event("new"))
    store.commit()
    assert ids(directory) == ["new"]
    assert agreement(directory) == []
    store.close()


def test_what_was_set_aside_goes_when_it_is_too_old_or_all_is_deleted(directory: Path) -> None:
    keep(directory)
    other_version(directory / "history.db")
    now_ns = [0]
    store = HistoryStore(directory, Quota(10**9, 1000.0), now_ns=lambda: now_ns[0])
    for seconds, is_there in ((999, True), (1001, False)):
        now_ns[0] = seconds * 10**9
        store.tidy()
        store.commit()
        assert (directory / "clips.damaged").exists() is is_there
    (directory / "clips.damaged").mkdir()
    (directory / "history.damaged").touch()
    with HistoryEraser(directory) as eraser:
        list(eraser.delete_all())
    assert sorted(path.name for path in directory.glob("*.damaged")) == []
    store.close()


def test_a_file_of_a_later_version_stays_as_it_is(directory: Path) -> None:
    keep(directory)
    with sqlite3.connect(directory / "history.db") as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    for opens in (HistoryReader, HistoryEraser, HistoryStore):
        with pytest.raises(HistoryError, match="a later version of perceptd has written it") as refused:
            opens(directory)
        assert refused.value.kind == "disk"
    assert (directory / "clips" / "1.mp4").read_bytes() == b"film"


def test_an_index_that_is_damaged_while_it_is_open_is_set_aside(store: HistoryStore, directory: Path) -> None:
    keep_whole(store, kept_event())
    store.commit()
    with sqlite3.connect(directory / "history.db") as database:
        database.execute("DELETE FROM totals")
    database.close()
    with pytest.raises(HistoryError, match=r"was damaged .* and set aside") as refused:
        store.begin(kept_event("lost"))
    assert refused.value.kind == "damaged"
    keep_whole(store, kept_event("new"))
    store.commit()
    assert ids(directory) == ["new"]
    assert agreement(directory) == []


@pytest.mark.parametrize("name", ["history.db", "clips", "."])
def test_what_is_removed_while_it_is_open_is_told_of_and_made_anew(
    store: HistoryStore, directory: Path, name: str
) -> None:
    keep_whole(store, kept_event())
    store.begin(kept_event("open"))
    store.commit()
    subprocess.run(["rm", "-rf", str((directory / name).resolve())], check=True)
    paths = store.begin(kept_event("e2"))
    write_parts(paths)
    store.finish(ended(kept_event("e2")))
    store.commit()
    assert "removed" in str(store.problem)
    assert ids(directory) == (["e2", "open", "e1"] if name == "clips" else ["e2"])
    assert agreement(directory) == []
    assert paths.number == 3


BAD_ROWS = ["label = ''", "started_s = 'x'", "peak = 9e999", "shares = '{'", "shares = '[1]'", "clip_bytes = -1"]
BAD_ROWS += ["clip_bytes = 1.5", "id = 'a/b'", "ended_by = 'never'", "begins_s = 9e99", "label = CAST(X'FF' AS BLOB)"]


@pytest.mark.parametrize("change", BAD_ROWS)
def test_a_row_that_cannot_be_read_is_left_out(directory: Path, change: str) -> None:
    keep(directory)
    with sqlite3.connect(directory / "history.db") as database:
        database.execute(f"UPDATE events SET {change} WHERE id = 'e1'")
    database.close()
    with HistoryReader(directory) as reader:
        assert [event.id for event in reader.events()] == ["e2", "e0"]
        with pytest.raises(HistoryError):
            reader.event("e1")
    store = HistoryStore(directory, LARGE)
    store.begin(kept_event("e3"))
    store.commit()
    store.close()


def test_what_a_killed_daemon_leaves_is_put_in_order(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(directory)
    store = HistoryStore(directory, LARGE)
    write_parts(store.begin(kept_event("open")))
    store.commit()
    store.close()
    clips = directory / "clips"
    (clips / "1.mp4").unlink()  # lost by the file system
    (clips / "2.mp4").rename(clips / "2.mp4.part")  # killed between transaction and renaming
    (clips / "3.mp4.part").write_bytes(b"again")
    (clips / "99.mp4").write_bytes(b"of no event")
    (clips / "003.mp4").write_bytes(b"the number of an event, but not its name")
    with caplog.at_level(logging.WARNING):
        HistoryStore(directory, LARGE).close()
    assert "1 events were open, 5 files had no event, 1 files are missing" in caplog.text
    assert agreement(directory) == []
    with HistoryReader(directory) as reader:
        event = reader.event("open")
        assert (event.ended_by, event.ended_s, event.clip) == ("restart", event.peak_s, None)
        assert (reader.event("e0").clip, reader.event("e0").snapshot_bytes) == (None, 4)
        assert reader.event("e1").clip is not None
    caplog.clear()
    HistoryStore(directory, LARGE).close()
    assert not caplog.records


def test_a_full_disk_refuses_in_words_and_goes_on_by_itself(store: HistoryStore, directory: Path) -> None:
    keep_whole(store, kept_event())
    store.commit()
    open_paths = store.begin(kept_event("e2"))
    write_parts(open_paths)
    store.commit()
    for number in range(40):
        store.begin(kept_event(f"f{number}"))
    _limit_files((directory / "history.db-wal").stat().st_size)
    try:
        store.finish(ended(kept_event("e2")))
        store.keep("e1", True)
        with pytest.raises(HistoryError, match="cannot be used") as refused:
            store.commit()
        assert refused.value.kind == "disk"
        with pytest.raises(HistoryError, match="cannot be used"):
            store.begin(kept_event("e3"))
        assert ids(directory) == ["e2", "e1"]
    finally:
        _limit_files(resource.RLIM_INFINITY)
    store.commit()
    with HistoryReader(directory) as reader:
        assert reader.event("e2").clip is not None
        assert not reader.event("e1").kept, "who asked for it was told that it was not done"
        assert reader.usage().events == 42
    store.begin(kept_event("e3"))
    store.commit()


def _limit_files(most_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


SMALL_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_on_a_small_disk_the_history_leaves_room_for_others(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.history.small_disk_process", str(tmp_path)]
    command = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", "40m", str(tmp_path), *program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "refused: must stay free; went on when there was room\n"


def test_another_process_deletes_while_the_daemon_writes(store: HistoryStore, directory: Path) -> None:
    for number in range(3):
        keep_whole(store, kept_event(f"e{number}"))
    store.keep("e1", True)
    for name in ("open1", "open2"):
        write_parts(store.begin(kept_event(name)))
    store.commit()
    store.finish(ended(kept_event("open1")))
    with HistoryEraser(directory) as eraser:
        assert sum(eraser.delete(["e0", "open1", "open2"])) == 3
        eraser.empty_journal()
        assert ids(directory) == ["e2", "e1"]
        with pytest.raises(HistoryError, match="was deleted") as refused:
            store.finish(ended(kept_event("open2")))
        assert refused.value.kind == "unknown"
        store.commit()
        assert agreement(directory) == []
        assert sum(eraser.delete_before("2999-01-01")) == 1
        assert ids(directory) == ["e1"], "it is marked to stay"
        keep_whole(store, kept_event("new"))
        store.commit()
        assert sum(eraser.delete_all()) == 2
    assert (ids(directory), agreement(directory)) == ([], [])
    assert store.usage().size_bytes == 0


def test_what_another_process_holds_is_waited_for(store: HistoryStore, directory: Path) -> None:
    begin = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN IMMEDIATE');"
    script = begin + "print('held', flush=True); sys.stdin.readline(); d.execute('ROLLBACK')"
    command = [sys.executable, "-c", script, str(directory / "history.db")]
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdin is not None and held.stdout is not None
    assert held.stdout.readline() == b"held\n"
    assert ids(directory) == [], "others read meanwhile"
    store.begin(kept_event())
    done = threading.Thread(target=store.commit)
    done.start()
    held.communicate(b"\n")
    done.join(60)
    assert ids(directory) == ["e1"]


def test_there_is_nothing_to_read_before_the_first_event(directory: Path) -> None:
    for opens in (HistoryReader, HistoryEraser):
        with pytest.raises(HistoryError, match="no event was kept yet") as refused:
            opens(directory)
        assert refused.value.kind == "unknown"
    assert not directory.exists()


def test_a_database_that_the_daemon_is_just_making_is_not_damaged(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "history.db").touch()
    with pytest.raises(HistoryError, match="no event was kept yet") as refused:
        HistoryReader(directory)
    assert refused.value.kind == "unknown"
