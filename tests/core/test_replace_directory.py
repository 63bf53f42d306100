"""A directory takes the place of another one, at once or, where the file system cannot do that, almost at once."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.core.files import exchange, replace_directory


def cannot(_first: Path, second: Path) -> None:
    """Answer as a file system does that cannot exchange two names."""
    raise OSError(errno.EINVAL, "Invalid argument", str(second))


def fails(_first: Path, second: Path) -> None:
    raise OSError(errno.EIO, "Input/output error", str(second))


def directory(path: Path, file: str) -> Path:
    path.mkdir()
    (path / file).touch()
    return path


@pytest.mark.parametrize("swap", [exchange, cannot])
def test_all_of_the_old_directory_is_gone(tmp_path: Path, swap: Callable[[Path, Path], None]) -> None:
    new, old = directory(tmp_path / "new", "a"), directory(tmp_path / "old", "b")
    replace_directory(new, old, swap)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["old", "old/a"]


def test_after_another_error_both_are_as_they_were(tmp_path: Path) -> None:
    new, old = directory(tmp_path / "new", "a"), directory(tmp_path / "old", "b")
    with pytest.raises(OSError, match="Input/output"):
        replace_directory(new, old, fails)
    assert (new / "a").exists() and (old / "b").exists()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "none", old)
