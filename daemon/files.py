"""Small files that a power cut must not leave half written."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the names in the directory on disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The file's first `most_bytes`. Raises OSError."""
    with path.open("rb") as file:
        return file.read(most_bytes)
