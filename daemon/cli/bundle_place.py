"""The directory of the bundles of `bundle get`: a new bundle replaces the one before as a whole."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from daemon.core.errors import Refused
from daemon.core.files import replace_directory, sync_directory
from daemon.recipes.directory import obstacle_at
from daemon.recipes.leftovers import temporary_directory

# bundles are no secret, and the user of the service is neither their owner nor in their group
DIRECTORY_MODE = 0o755

# in the directory of all bundles; who works there holds it
LOCK_FILE = ".lock"

# what has become of the directory of a bundle
Outcome = Literal["new", "replaced", "unchanged"]


def check_directory(directory: Path) -> None:
    """Check that a bundle may take the place of what lies there. Raises Refused."""
    if (obstacle := obstacle_at(directory)) is not None:
        raise Refused(f"{directory}: {obstacle}; remove it or move it to another place, and get the bundle again")


@contextmanager
def workspace(directory: Path, *, of_root: bool) -> Iterator[Path]:
    """Give a block a new directory beside the bundle's own, in which the bundle is made; it is removed after the block.

    `of_root` gives the directory of all bundles to root, for everybody to read. Only one process at a time is let in.
    Raises Refused, and OSError.
    """
    place = directory.parent
    place.mkdir(parents=True, exist_ok=True)
    if of_root:
        os.chown(place, 0, 0)
        place.chmod(DIRECTORY_MODE)
    with _locked(place), temporary_directory(place, f".{directory.name}-") as temporary:
        temporary.chmod(DIRECTORY_MODE)
        yield temporary


def put(new: Path, directory: Path) -> Outcome:
    """Move a bundle to its directory, unless an equal one is there; that one is not touched. Raises OSError."""
    if not directory.exists():
        new.rename(directory)
        sync_directory(directory.parent)
        return "new"
    if _contents(new) == _contents(directory):
        return "unchanged"
    replace_directory(new, directory)
    return "replaced"


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    # flock(2): over NFS only a file that is open for writing can be locked, so no directory
    descriptor = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, place)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, place: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Refused(f"{place}: another `perceptd bundle get` is at work there; wait until it has ended") from error


def _contents(directory: Path) -> dict[str, tuple[int, int, str]]:
    """Return mode, owner and SHA-256 of a bundle's directory and of all in it, by path; only files have a hash."""
    found = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_uid, sha256)
    return found
