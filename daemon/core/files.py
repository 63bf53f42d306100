"""Reads and writes files: bounded reads, replacement that survives a power cut, and files that nobody else may supply.

The functions with `own` in their names serve the state directory. Its files are written by this program alone. Other
files are refused there with `ForeignFile`. Such a file is not plain (a link, FIFO, socket, device or directory),
belongs to another user, has a second name, or is too large.
"""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# neither a FIFO nor a device may block the caller
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

# what an open without following links answers for a link, and for a socket
REFUSED_KINDS = {errno.ELOOP: "a symbolic link", errno.ENXIO: "a socket or a device"}


# of renameat2(2): from fcntl.h and stdio.h
AT_FDCWD = -100
RENAME_EXCHANGE = 2

# what it answers where the file system or the kernel cannot exchange names
NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS)


class ForeignFile(OSError):
    """A file in the state directory is not one that this program has written; `strerror` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EPERM, reason, str(path))


def replace_file(path: Path, content: bytes, mode: int | None = None, group: int | None = None) -> None:
    """Replace a file atomically; `mode` sets its permissions, None leaves them to the umask. Raises OSError.

    `group` is the number of its group; None: that of this process. A directory in the place of the file is set aside.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with removed_on_error(new):
        # who opens it before its permissions are set could read it later
        with create_own(new, 0o666 if mode is None else 0o600) as file:
            if group is not None:
                os.fchown(file.fileno(), -1, group)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            new.replace(path)
        except IsADirectoryError:
            set_aside(path)
            new.replace(path)
    sync_directory(path.parent)


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Remove the file when the block fails; an OSError without a file name gets this one."""
    try:
        yield
    except BaseException as error:
        if not path.is_dir():
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


def open_regular(path: Path) -> BinaryIO:
    """Open a file that an operator names, for reading. Links are followed. Raises OSError for any other kind."""
    descriptor = os.open(path, READ_FLAGS)
    if problem := _kind_problem(os.fstat(descriptor)):
        os.close(descriptor)
        raise OSError(errno.EINVAL, problem, str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return at most the first `most_bytes` of a file that an operator names. Raises OSError."""
    with open_regular(path) as file:
        return file.read(most_bytes)


def read_foreign(path: Path, most_bytes: int) -> bytes:
    """Return a file of a folder that somebody else has made. Raises OSError.

    A link is not followed: it could lead to a file that only this program may read.
    """
    try:
        descriptor = os.open(path, READ_FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if (kind := REFUSED_KINDS.get(error.errno or 0)) is not None:
            raise OSError(errno.EINVAL, _expected(f"is {kind}"), str(path)) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if problem := _kind_problem(status):
            raise OSError(errno.EINVAL, problem, str(path))
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"has {status.st_size} bytes, at most {most_bytes} are read", str(path))
        return file.read(most_bytes)


def open_own(path: Path, most_bytes: int) -> BinaryIO:
    """Open a file of the state directory for reading. Raises ForeignFile, and OSError when it cannot be opened."""
    try:
        descriptor = os.open(path, READ_FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if (kind := REFUSED_KINDS.get(error.errno or 0)) is not None:
            raise ForeignFile(path, _expected(f"is {kind}")) from error
        raise
    if problem := own_file_problem(path, os.fstat(descriptor), most_bytes):
        os.close(descriptor)
        raise ForeignFile(path, problem)
    return os.fdopen(descriptor, "rb")


def read_own(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file of the state directory. Raises as `open_own` does."""
    with open_own(path, most_bytes) as file:
        return file.read(most_bytes)


def create_own(path: Path, mode: int = 0o666) -> BinaryIO:
    """Create a file of the state directory for writing. Whatever had its name is removed first. Raises OSError.

    Nothing is written through a link, because the name is new. A directory of that name is left, and is an error.
    `mode` is its permissions, less those that the umask takes.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, mode), "wb")
    except FileExistsError:
        path.unlink()
        return os.fdopen(os.open(path, flags, mode), "wb")


def own_file_problem(path: Path, status: os.stat_result, most_bytes: int) -> str | None:
    """Return why a file cannot be one that this program has written; None if it can."""
    if problem := _kind_problem(status) or _owner_problem(path, status):
        return problem
    if status.st_nlink != 1:
        return _expected(f"has {status.st_nlink} names (hard links)")
    if status.st_size > most_bytes:
        return f"has {status.st_size} bytes, at most {most_bytes} are expected"
    return None


def check_own_directory(path: Path) -> None:
    """Check a directory below the state directory. Raises ForeignFile, and OSError when there is none."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise ForeignFile(path, f"is {_kind_of(status)}, expected a directory")
    if problem := _owner_problem(path, status):
        raise ForeignFile(path, problem)


def create_own_directory(path: Path) -> str | None:
    """Create a directory below the state directory, and flush its name to disk. Raises OSError.

    What lies there instead makes way: a directory of another user is set aside, a link or file is removed. Return what
    it was.
    """
    problem = None
    try:
        check_own_directory(path)
    except FileNotFoundError:
        pass
    except ForeignFile as error:
        problem = error.strerror
        if path.is_dir() and not path.is_symlink():
            set_aside(path)
        else:
            path.unlink()
    else:
        return None
    path.mkdir(mode=0o700)
    sync_directory(path.parent)
    return problem


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used to NAME.damaged, and return that path. Raises OSError.

    An older file of that name is replaced.
    """
    aside = path.with_suffix(".damaged")
    try:
        path.replace(aside)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise
        remove(aside)  # of a file and a directory, neither replaces the other
        path.replace(aside)
    if os.path.lexists(path):  # rename(2) does nothing where both are names of one file
        path.unlink()
    return aside


def remove(path: Path) -> None:
    """Remove a file, a link without what it leads to, or a directory with all that it holds. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def exchange(first: Path, second: Path) -> None:
    """Exchange the names of two files or directories, in one step. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(path) for path in (first, second)]
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) != 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number), str(second))


def replace_directory(new: Path, path: Path, swap: Callable[[Path, Path], None] = exchange) -> None:
    """Put the directory `new` in the place of the directory `path`, which is removed. Raises OSError.

    `swap` exchanges the two names: at every instant `path` is all of one of the two. Where the file system cannot do
    that, `path` is missing for a moment.
    """
    try:
        swap(new, path)
    except OSError as error:
        if error.errno not in NO_EXCHANGE:
            raise
        old = path.with_name(f"{new.name}.old")
        path.rename(old)
        new.rename(path)
        new = old
    sync_directory(path.parent)
    remove(new)


def _kind_problem(status: os.stat_result) -> str | None:
    return None if stat.S_ISREG(status.st_mode) else _expected(f"is {_kind_of(status)}")


def _owner_problem(path: Path, status: os.stat_result) -> str | None:
    if status.st_uid in (os.geteuid(), 0):
        return None
    # an operator looks at the files of the service's user, who owns the directory too
    if os.geteuid() == 0 and status.st_uid == path.parent.stat().st_uid:
        return None
    return f"belongs to user {status.st_uid}, expected user {os.geteuid()} or root"


def _kind_of(status: os.stat_result) -> str:
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")


def _expected(found: str) -> str:
    return f"{found}, expected a plain file"
