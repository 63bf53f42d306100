"""One command at a time works on a repository."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Waits for another command that works on it, and says so on standard error. Raises OSError."""
    # read only: one that another user made, root say, can be locked all the same
    descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"{directory}: waiting for another perceptd repo command\n")
        sys.stderr.flush()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
