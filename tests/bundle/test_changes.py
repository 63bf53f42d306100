import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle, load_cases
from daemon.bundle.changes import DirectoryCheck, changes_text
from daemon.bundle.release import FILE_LIST_NAME, file_list
from daemon.core.errors import DamagedBundle, Refused
from daemon.core.sealed import SealedFile
from daemon.pipeline.recogniser import load_recogniser
from tests.helpers.bundle_builder import release_of, write_bundle
from tests.helpers.hostile_files import overwrite, truncate


def replace(path: Path) -> None:
    path.with_suffix(".copying").write_bytes(b"another version")
    path.with_suffix(".copying").replace(path)


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_zero(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (truncate, "has changed"),
    (overwrite, "has changed"),
    (replace, "has changed"),
    (Path.unlink, "is missing"),
    (become_fifo, "cannot be read"),
    (link_to_zero, "cannot be read"),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def loaded(directory: Path) -> DirectoryCheck:
    recogniser = load_recogniser(load_bundle(directory))
    return DirectoryCheck(recogniser.bundle)


@pytest.mark.parametrize(("damage", "what"), DAMAGES)
def test_each_file_that_changes_is_named_until_it_is_restored(
    bundle: Path, damage: Callable[[Path], None], what: str
) -> None:
    check = loaded(bundle)
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file()]
    assert check.changes() == []
    for path in files:
        content = path.read_bytes()
        damage(path)
        assert check.changes() == [f"{path.relative_to(bundle)} {what}"]
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        assert check.changes() == []


def test_a_copy_with_equal_content_is_no_change(bundle: Path, tmp_path: Path) -> None:
    check = loaded(bundle)
    shutil.copytree(bundle, tmp_path / "copy")
    shutil.rmtree(bundle)
    assert len(check.changes()) > 3
    shutil.copytree(tmp_path / "copy", bundle)
    assert check.changes() == []


def test_the_text_names_the_directory_the_bundle_and_what_to_do(bundle: Path) -> None:
    check = loaded(bundle)
    assert changes_text(check.bundle, []) is None
    text = changes_text(check.bundle, ["a has changed", "b is missing", "c has changed", "d has changed"])
    assert text is not None and text.startswith(f"{bundle} differs from {check.bundle.manifest.id}")
    assert "a has changed, b is missing, c has changed and 1 more; restart perceptd" in text


def test_a_model_is_read_once(bundle: Path) -> None:
    opened = load_bundle(bundle)
    recogniser = load_recogniser(opened)
    for path in bundle.glob("*.tflite"):
        path.write_bytes(b"no model")
    recogniser.new_head()
    load_recogniser(opened)


def test_a_copy_cannot_be_written_or_truncated(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    copy = SealedFile(tmp_path / "file")
    with pytest.raises(PermissionError):
        os.pwrite(copy.descriptor, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(copy.descriptor, 0)
    assert copy.path.read_bytes() == b"content"


@pytest.mark.parametrize("name", ["bundle.yaml", "head.tflite", FILE_LIST_NAME])
def test_an_installed_bundle_is_compared_with_what_was_signed_as_it_is_read(bundle: Path, name: str) -> None:
    release = release_of(bundle)
    (bundle / FILE_LIST_NAME).write_bytes(file_list(release.files))
    load_recogniser(load_bundle(bundle, release.content))
    overwrite(bundle / name) if name == FILE_LIST_NAME else (bundle / name).write_bytes(b"#" + b"x" * 20)
    with pytest.raises(DamagedBundle, match=f"{name} is damaged"):
        load_recogniser(load_bundle(bundle, release.content))


@pytest.mark.parametrize("name", ["bundle.yaml", "head.tflite", "selftest/cases.yaml"])
def test_a_bundle_with_a_fifo_is_refused_and_does_not_hang(bundle: Path, name: str) -> None:
    become_fifo(bundle / name)
    with pytest.raises(Refused, match=r"is a FIFO, expected a plain file|no file head\.tflite"):
        load_cases(load_bundle(bundle))
