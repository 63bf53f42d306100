"""The file of what was taught is damaged, foreign or removed, or the disk is full: words, and nothing is lost."""

import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.core.errors import TeachingError
from daemon.teaching.records import StoredMoment
from daemon.teaching.store import TeachingStore
from tests.helpers.damaged_databases import cut_off, other_version, zeros
from tests.helpers.hostile_files import HOSTILE, Foreign, Kind
from tests.teaching.records import MADE_BY, background, example, peak, same, vectors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "teaching" / "teaching.db"


@pytest.fixture
def store(path: Path) -> Iterator[TeachingStore]:
    made = TeachingStore(path)
    yield made
    made.close()


def ids(store: TeachingStore) -> list[str]:
    return [info.id for info in store.examples()]


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["teaching.db", "teaching.db-journal"])
def test_what_lies_in_the_place_of_a_file_makes_way(path: Path, tmp_path: Path, kind: Kind, name: str) -> None:
    foreign = Foreign(tmp_path / "foreign")
    TeachingStore(path).close()
    foreign.put(kind, path.with_name(name))
    store = TeachingStore(path)
    store.add_example(example())
    assert ids(store) == ["e1"]
    assert (name == "teaching.db") == (store.problem is not None and "set aside" in store.problem)
    store.close()
    foreign.check_untouched()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_place_of_the_directory_makes_way(path: Path, tmp_path: Path) -> None:
    foreign = Foreign(tmp_path / "foreign")
    path.parent.parent.mkdir()
    path.parent.symlink_to(foreign.file.parent)
    store = TeachingStore(path)
    store.add_example(example())
    assert "expected a directory" in str(store.problem)
    store.close()
    foreign.check_untouched()


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER mine AFTER INSERT ON wrong BEGIN DELETE FROM examples; END")
    database.close()


@pytest.mark.parametrize("damage", [cut_off, zeros, other_version, other_tables])
def test_a_damaged_file_is_set_aside_and_told(
    path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = TeachingStore(path)
    for number in range(5):
        first.add_example(example(f"e{number}"))
    first.close()
    damage(path)
    with pytest.raises(TeachingError) as refused:
        TeachingStore(path, read_only=True).training_data(MADE_BY)
    assert refused.value.kind == "damaged"
    store = TeachingStore(path)
    assert "was damaged" in str(store.problem) and "teach again, or import a copy" in str(store.problem)
    assert "and a new one begins" in caplog.text
    store.add_example(example())
    assert ids(store) == ["e1"]
    assert path.with_suffix(".damaged").exists()
    store.close()


def test_a_file_of_a_later_version_stays_as_it_is(path: Path) -> None:
    TeachingStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = path.read_bytes()
    for read_only in (True, False):
        with pytest.raises(TeachingError, match="a later version of perceptd has written it") as refused:
            TeachingStore(path, read_only=read_only)
        assert refused.value.kind == "disk"
    assert path.read_bytes() == before


def test_a_file_that_is_damaged_while_it_is_open_is_set_aside(store: TeachingStore, path: Path) -> None:
    for number in range(5):
        store.add_example(example(f"e{number}"))
    damage = "import sys, pathlib; file = pathlib.Path(sys.argv[1]).open('r+b'); file.write(b'garbage' * 5000)"
    subprocess.run([sys.executable, "-c", damage, path], check=True)  # another process: SQLite's locks stay
    with pytest.raises(TeachingError, match=r"was damaged .* and set aside") as refused:
        store.add_example(example("e6"))
    assert refused.value.kind == "damaged"
    store.add_example(example("e7"))
    assert ids(store) == ["e7"]


def test_a_file_that_is_removed_while_it_is_open_is_told_of_and_made_anew(store: TeachingStore, path: Path) -> None:
    store.add_example(example())
    path.unlink()
    assert ids(store) == []
    assert "was removed while it was open" in str(store.problem)
    store.add_example(example("e2"))
    store.close()
    again = TeachingStore(path)
    assert ids(again) == ["e2"]
    again.close()


NAN = "X'0000C07F'"
BAD_ROWS = {
    "its embeddings are cut off": "moments = SUBSTR(moments, 1, LENGTH(moments) - 4)",
    "it has no embeddings, or too many": "moments = ZEROBLOB(9000000)",
    "it has no embeddings, or too many ": "moments = CAST(X'FFFFFF' AS TEXT)",
    "image has a number that": f"moments = CAST(SUBSTR(moments, 1, LENGTH(moments) - 4) || {NAN} AS BLOB)",
    "its embeddings have no header": "moments = X'020000007B7B'",
    "it has no moments, or too many": "moments = X'020000005B5D'",
    "its embeddings have a wrong header": "moments = X'050000005B5B315D5D'",
    "its encoders are no JSON": "encoders = '{'",
    "its encoders are not known": "encoders = '[]'",
    "its encoders are no JSON ": "encoders = CAST(X'FF' AS TEXT)",
}


@pytest.mark.parametrize("words", BAD_ROWS)
def test_an_example_that_cannot_be_read_is_left_out_of_a_fit_and_named(
    store: TeachingStore, path: Path, words: str
) -> None:
    store.add_example(example())
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE embedded SET {BAD_ROWS[words]}")
    database.close()
    store.add_example(example("e2"))
    data = store.training_data(MADE_BY)
    assert [found.id for found in data.examples] == ["e2"]
    (damaged,) = data.damaged
    assert damaged.startswith(f"example e1 of kettle boils: {words.strip()}")
    with pytest.raises(TeachingError, match="cannot be read in part") as refused:
        store.example("e1")
    assert refused.value.kind == "damaged"
    store.remove_example("e1")
    assert ids(store) == ["e2"]


def test_what_another_process_holds_is_waited_for_and_then_refused(path: Path) -> None:
    store = TeachingStore(path)
    store.add_example(example())
    begin = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN IMMEDIATE');"
    script = begin + "print('held', flush=True); sys.stdin.readline(); d.execute('ROLLBACK')"
    held = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdin is not None and held.stdout is not None
    assert held.stdout.readline() == b"held\n"
    assert ids(store) == ["e1"], "others read meanwhile"
    done = threading.Thread(target=store.add_example, args=[example("e2")])
    done.start()
    held.communicate(b"\n")
    done.join(60)
    assert ids(store) == ["e1", "e2"]
    store.close()


def test_a_full_disk_refuses_in_words_and_loses_nothing(store: TeachingStore, path: Path) -> None:
    store.add_example(example())
    store.add_background(background())
    _limit_files(path.stat().st_size)
    try:
        for number, act in enumerate((lambda: store.add_example(example("e2", picture=bytes(500_000))),)):
            with pytest.raises(TeachingError, match="cannot be used") as refused:
                act()
            assert refused.value.kind == "disk", number
    finally:
        _limit_files(resource.RLIM_INFINITY)
    assert same(store.example("e1"), example())
    assert store.background_counts(MADE_BY) == {"kitchen": 1}
    store.add_example(example("e2"))
    assert ids(store) == ["e1", "e2"]


def _limit_files(most_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


SMALL_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_examples_can_be_removed_from_a_small_disk_that_is_full(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.teaching.small_disk_process", str(tmp_path)]
    command = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", "12m", str(tmp_path), *program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "refused: must stay free; removed all\n"


def test_everything_that_is_stored_is_within_the_bound_of_one_moment(store: TeachingStore) -> None:
    vector = vectors(1, 16384)["image"]
    large = [StoredMoment(0, {f"encoder{n}": vector for n in range(16)}) for _ in range(64)]
    with pytest.raises(TeachingError, match="bytes; at most 8388608 are stored") as refused:
        store.add_example(example(moments=large, encoders={f"encoder{n}": "f" for n in range(16)}))
    assert refused.value.kind == "limit"
    store.add_peak(peak())
