"""Temporary files and directories. What a killed process has left of them is removed by the next one."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.core.files import remove

# removing a directory must not follow a link, and opening a FIFO must not wait
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def temporary_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a block a new directory in `parent`, which is removed after it. Raises OSError.

    First the directories of this prefix that killed processes have left there are removed.
    """
    remove_leftovers(parent, prefix)
    while True:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
            descriptor = _hold(Path(name))
            if descriptor is None:
                continue  # another process took it for a leftover before it was held
            try:
                yield Path(name)
            finally:
                os.close(descriptor)
            return


def remove_leftovers(directory: Path, prefix: str) -> None:
    """Remove the entries of this prefix that belong to this user and that no process holds.

    What cannot be removed stays.
    """
    with suppress(OSError):
        for path in [path for path in directory.iterdir() if path.name.startswith(prefix)]:
            with suppress(OSError):
                _remove_unless_held(path)


def _remove_unless_held(path: Path) -> None:
    descriptor = os.open(path, READ)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
    finally:
        os.close(descriptor)


def _hold(path: Path) -> int | None:
    """Hold a new directory until the descriptor is closed; None: it is gone."""
    try:
        descriptor = os.open(path, READ)
    except FileNotFoundError:
        return None
    # where a file system cannot lock a directory, as NFS, no other process can take it for a leftover either
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if path.exists():
        return descriptor
    os.close(descriptor)
    return None
