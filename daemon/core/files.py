"""Writes files so that a power cut leaves the old content or the new, never half of it; bounded reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int | None = None) -> None:
    """Replace a file atomically; `mode` sets its permissions, None leaves them to the umask. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with removed_on_error(new):
        with new.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    sync_directory(path.parent)


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Remove the file when the block fails; an OSError without a file name gets this one."""
    try:
        yield
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def sync_directory(path: Path) -> None:
    """Write a directory's entries to disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return at most the first `most_bytes` of a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(most_bytes)
