"""The user's cache of files, named by their hashes. Nothing in it is trusted: each file is hashed at each use."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from daemon.config.places import xdg_directory
from daemon.core.files import own_file_problem, remove, sync_directory
from daemon.core.sealed import SealedFile
from daemon.recipes.leftovers import remove_leftovers

# of the system, for root
SYSTEM_CACHE = Path("/var/cache")

# an unfinished download
PARTIAL_SUFFIX = ".part"

# of a file that no other process goes on with
TEMPORARY_PREFIX = "tmp-"

# what opening a file to write answers for a link, a directory, a socket or a FIFO, and a file of somebody else
NOT_PLAIN = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES)


def cache_directory(environment: Mapping[str, str] = os.environ, *, is_root: bool | None = None) -> Path:
    """Return the directory of the cache of the user who runs this program."""
    if os.geteuid() == 0 if is_root is None else is_root:
        return SYSTEM_CACHE / "perceptd" / "sources"
    return xdg_directory(environment, "XDG_CACHE_HOME", ".cache") / "perceptd" / "sources"


@dataclass(frozen=True)
class Unfinished:
    """A file of the cache that is being written; `path` is its name until it is stored."""

    file: BinaryIO
    path: Path


class SourceCache:
    """Files by hash in one directory. Several processes may use it at once. Every method may raise OSError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, sha256: str, size: int) -> SealedFile | None:
        """Return a copy of the file with this hash; None: the cache has none. A wrong file of that name is removed."""
        path = self.directory / sha256
        if not os.path.lexists(path):
            return None
        copy = sealed_if(path, sha256, size)
        if copy is None:
            remove(path)
        return copy

    @contextmanager
    def partial(self, name: str, most_bytes: int) -> Iterator[Unfinished]:
        """Yield the unfinished download of this name to go on with, or an empty file. It stays for the next time.

        While another process writes it, the file is another one, which does not stay.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / f"{name}{PARTIAL_SUFFIX}"
        file = _lock_partial(path, most_bytes)
        if file is None:
            with self.temporary() as own:
                yield own
        else:
            with file:
                yield Unfinished(file, path)

    @contextmanager
    def temporary(self) -> Iterator[Unfinished]:
        """Yield an empty file that is removed afterwards, unless it is stored."""
        remove_leftovers(self.directory, TEMPORARY_PREFIX)
        unfinished = self._new_temporary()
        with unfinished.file:
            try:
                yield unfinished
            finally:
                unfinished.path.unlink(missing_ok=True)

    def _new_temporary(self) -> Unfinished:
        while True:
            descriptor, name = tempfile.mkstemp(dir=self.directory, prefix=TEMPORARY_PREFIX, suffix=PARTIAL_SUFFIX)
            file = os.fdopen(descriptor, "w+b")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.lexists(name):  # else another process took it for a leftover before it was locked
                return Unfinished(file, Path(name))
            file.close()

    def store(self, unfinished: Unfinished, sha256: str) -> None:
        """Give a file whose content has this hash its final name."""
        unfinished.file.flush()
        os.fsync(unfinished.file.fileno())
        unfinished.path.replace(self.directory / sha256)
        sync_directory(self.directory)


def sealed_if(path: Path, sha256: str, size: int) -> SealedFile | None:
    """Return a copy of the file if it is a plain one of this size and hash, else None."""
    with suppress(OSError):
        copy = SealedFile(path, size)
        if copy.size == size and copy.sha256 == sha256:
            return copy
    return None


def _lock_partial(path: Path, most_bytes: int) -> BinaryIO | None:
    """Open and lock an unfinished download, or begin one; None: another process has it. Raises OSError."""
    try:
        file = _open_locked(path, 0)
    except OSError as error:
        if error.errno not in NOT_PLAIN:
            raise
    else:
        if file is None or own_file_problem(path, os.fstat(file.fileno()), most_bytes) is None:
            return file
        file.close()
    remove(path)
    return _open_locked(path, os.O_EXCL)


def _open_locked(path: Path, flags: int) -> BinaryIO | None:
    """Open and lock a file that may be new; None: another process has it, or has given it another name meanwhile."""
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "is a FIFO or a device", str(path))
    file = os.fdopen(descriptor, "r+b")
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
            return file
    file.close()
    return None
