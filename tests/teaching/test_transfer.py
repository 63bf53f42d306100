"""Examples go to another device in a folder. A folder of somebody else is checked, and taken whole or not."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import TeachingError
from daemon.teaching.pictures import picture_bytes
from daemon.teaching.sounds import sound_bytes
from daemon.teaching.store import TeachingStore
from daemon.teaching.transfer import Imported, export_examples, import_examples
from tests.helpers.hostile_files import FOREIGN, Foreign, Kind
from tests.teaching.records import example, same

SEEN = picture_bytes(np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (48, 1, 3)))
HEARD = sound_bytes(np.sin(np.arange(800, dtype=np.float32)), 16_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TeachingStore]:
    made = TeachingStore(tmp_path / "teaching" / "teaching.db")
    yield made
    made.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a first device has exported."""
    directory = tmp_path_factory.mktemp("first")
    first = TeachingStore(directory / "teaching" / "teaching.db")
    first.add_example(example("a", picture=SEEN, sound=HEARD))
    first.add_example(example("b", "bell"))
    assert export_examples(first, directory / "exported") == 2
    first.close()
    return directory / "exported"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "exported"))


def take(store: TeachingStore, folder: Path, stream: str | None = None) -> Imported:
    return import_examples(store, folder, pictures=True, sounds=True, stream=stream)


def ids(store: TeachingStore) -> list[str]:
    return [info.id for info in store.examples()]


def test_another_device_has_the_same_examples_and_can_undo_that(store: TeachingStore, folder: Path) -> None:
    assert take(store, folder) == Imported(2, 0)
    assert same(store.example("a"), example("a", picture=SEEN, sound=HEARD, origin="import"))
    assert same(store.example("b"), example("b", "bell", origin="import"))
    assert take(store, folder) == Imported(0, 2)
    assert store.undo() == "the import of 2 examples"
    assert ids(store) == []
    take(store, folder)
    store.remove_example("a")
    assert take(store, folder) == Imported(1, 1)


def test_pictures_and_sound_are_kept_only_where_they_may_be(store: TeachingStore, folder: Path) -> None:
    import_examples(store, folder, pictures=False, sounds=False, stream="hall")
    assert [(info.stream, info.has_picture, info.has_sound) for info in store.examples()] == [
        ("hall", False, False)
    ] * 2


def test_only_the_owner_reads_what_is_exported(folder: Path) -> None:
    assert all(path.stat().st_mode & 0o77 == 0 for path in [folder, *folder.rglob("*")])
    names = {path.name for path in (folder / "a").iterdir()}
    assert names == {"example.json", "picture.jpg", "sound.wav", "embeddings-audio.npy", "embeddings-image.npy"}
    assert np.load(folder / "a" / "embeddings-image.npy").shape == (2, 8)


def test_nothing_is_written_into_a_folder_that_is_not_empty(store: TeachingStore, folder: Path) -> None:
    with pytest.raises(TeachingError, match="is not empty: name a new folder"):
        export_examples(store, folder)


def test_only_some_labels_are_exported(store: TeachingStore, folder: Path, tmp_path: Path) -> None:
    take(store, folder)
    assert export_examples(store, tmp_path / "some", ["bell"]) == 1
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["b"]


def test_a_folder_that_cannot_be_written_is_told(store: TeachingStore, folder: Path, tmp_path: Path) -> None:
    take(store, folder)
    (tmp_path / "file").touch()
    with pytest.raises(TeachingError, match="cannot be written to") as refused:
        export_examples(store, tmp_path / "file" / "below")
    assert refused.value.kind == "disk"


def document(**changes: object) -> Callable[[Path], None]:
    """Change keys of the second example."""

    def change(folder: Path) -> None:
        path = folder / "b" / "example.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def array(value: np.ndarray, **options: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        np.save(folder / "b" / "embeddings-image.npy", value, **options)

    return change


def content(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "b" / name).write_bytes(data)

    return change


def header(text: str) -> bytes:
    padded = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


CHANGES: dict[str, Callable[[Path], None]] = {
    "password: unknown key|password: extra inputs": document(password="x"),
    "format: expected 1": document(format=2),
    "label: string should have at most": document(label="k" * 65),
    "printable text without": document(label="../bell"),
    "stream: string should": document(stream=""),
    "its stream needs a name": document(stream="a\nb"),
    "origin: expected": document(origin="magic"),
    "taken_s": document(taken_s=float("inf")),
    "its time is no time": document(taken_s=1e300),
    "moments: list should have at most 64": document(moments=[{"time_ms": 0, "encoders": ["image"]}] * 65),
    "a moment has no embedding of image": document(moments=[{"time_ms": n, "encoders": ["image"]} for n in range(3)]),
    "2 embeddings of audio, expected 0": document(moments=[{"time_ms": n, "encoders": ["image"]} for n in range(2)]),
    "encoders": document(encoders={"../../x": "f"}),
    "example.json: invalid JSON|Invalid JSON": content("example.json", b"[" * 60_000),
    "has 70000 bytes, at most 65536": content("example.json", b" " * 70_000),
    "picture.jpg: no such file": document(picture=True),
    "sound.wav: no such file": document(sound=True),
    "not finite": array(np.full((2, 8), np.nan, np.float32)),
    "expected float32": array(np.zeros((2, 8), np.float64)),
    "shape \\(moments, numbers\\)": array(np.zeros(16, np.float32)),
    "no array of numpy|expected float32 of": array(np.array([{"a": 1}], object), allow_pickle=True),
    "its numbers are cut off": content(
        "embeddings-image.npy", header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }")
    ),
    "expected float32 of shape": content(
        "embeddings-image.npy", header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 999999999999), }")
    ),
    "no array of numpy": content("embeddings-image.npy", header("__import__('os').system('true')")),
    "no array of numpy: ": content("embeddings-image.npy", b""),
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_folder_of_somebody_else_is_taken_whole_or_not(store: TeachingStore, folder: Path, words: str) -> None:
    store.add_example(example("own"))
    CHANGES[words](folder)
    with pytest.raises(TeachingError, match=f"(?i){words}") as refused:
        take(store, folder)
    assert refused.value.kind == "invalid"
    assert "\n" not in str(refused.value)
    assert ids(store) == ["own"]
    assert str(store.undo()).startswith("example own of kettle boils in kitchen at ")


@pytest.mark.parametrize("name", ["picture.jpg", "sound.wav"])
def test_a_picture_or_sound_that_is_something_else_is_refused(store: TeachingStore, folder: Path, name: str) -> None:
    (folder / "a" / name).write_bytes(b"root:x:0:0")
    with pytest.raises(TeachingError, match=r"nothing was imported: .*the (picture|sound) is no"):
        take(store, folder)


@pytest.mark.parametrize(
    "kind", [kind for kind in FOREIGN if kind.__name__ != "of_stranger"], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("name", ["a", "a/example.json", "a/picture.jpg", "a/embeddings-image.npy"])
def test_links_and_the_like_are_refused(
    store: TeachingStore, folder: Path, tmp_path: Path, kind: Kind, name: str
) -> None:
    foreign = Foreign(tmp_path / "foreign")
    foreign.put(kind, folder / name)
    with pytest.raises(TeachingError, match="nothing was imported"):
        take(store, folder)
    assert ids(store) == []
    foreign.check_untouched()


@pytest.mark.parametrize("name", ["..x", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_id_is_refused(store: TeachingStore, folder: Path, name: str) -> None:
    (folder / "a").rename(folder / name)
    with pytest.raises(TeachingError, match="expected nothing but the folders of examples"):
        take(store, folder)


def test_a_folder_of_too_many_or_of_none_is_refused(store: TeachingStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeachingError, match="has no examples"):
        take(store, tmp_path / "empty")
    for number in range(1001):
        (tmp_path / "many" / f"e{number}").mkdir(parents=True)
    with pytest.raises(TeachingError, match="has more than 1000 entries"):
        take(store, tmp_path / "many")
    with pytest.raises(TeachingError, match="no such file or directory"):
        take(store, tmp_path / "absent")
