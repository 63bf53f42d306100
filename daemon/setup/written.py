"""Writes a config and the password beside it, after a backup of each. Either all of it is written, or nothing."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.core.document import MAX_DOCUMENT_BYTES
from daemon.core.errors import Refused
from daemon.core.files import read_bounded, replace_file
from daemon.setup.choices import PASSWORD_FILE
from daemon.setup.interrupts import interrupts

OWN_MODE = 0o600
SERVICE_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Place:
    """Where a config lies. `group` is that of the service, which reads it; None: only its owner does."""

    config: Path
    group: int | None = None

    @property
    def mode(self) -> int:
        """Return the permissions of the config, and of the password beside it."""
        return OWN_MODE if self.group is None else SERVICE_MODE

    @property
    def password_file(self) -> Path:
        """Return the file with the password of the broker. Paths in a config are relative to it."""
        return self.config.resolve().parent / PASSWORD_FILE


def check_writable(place: Place) -> None:
    """Raise Refused if the config could not be written at the end of all questions, or not safely."""
    directory = place.config.resolve().parent
    if not os.access(nearest(directory), os.W_OK | os.X_OK):
        raise Refused(f"{directory}: this user may not write there; run: sudo perceptd setup")
    if os.geteuid() == 0 and (foreign := _foreign(directory) or _foreign(place.config.parent)) is not None:
        raise Refused(
            f"{foreign}: somebody else than root may write there, and could replace what setup writes as root. "
            "Run setup as that user, or name a config in a directory of root"
        )


def nearest(directory: Path) -> Path:
    """Return a directory, or the first one above it that is there."""
    return next(each for each in (directory, *directory.parents) if each.exists())


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Run a block while no other setup writes into the directory of the config. Raises Refused."""
    directory = nearest(place.config.resolve().parent)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"{directory}: another perceptd setup is running for it; end that one first") from error
        except OSError:
            pass  # NFS locks no directory: there people see to it themselves
        yield
    finally:
        os.close(descriptor)


def _foreign(directory: Path) -> Path | None:
    """Return what leads to a directory and belongs to another user than root, or may be changed by every user."""
    last = nearest(directory)
    for each in (last, *last.parents):
        status = each.stat()
        # in a sticky directory nobody can replace what belongs to root
        is_sticky = each != last and status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or (status.st_mode & stat.S_IWOTH and not is_sticky):
            return each
    return None


def write(place: Place, text: str, password: str | None, stamp: str) -> list[Path]:
    """Write the config, and a new password. Return the backups of what was there and differs. Raises Refused.

    `stamp` is a part of their names.
    """
    files = {} if password is None else {place.password_file: f"{password}\n".encode()}
    files[place.config.resolve()] = text.encode()
    try:
        with interrupts.held():
            return _write(place, files, stamp)
    except OSError as error:
        raise Refused(f"{error.filename or place.config}: {error.strerror or error}; nothing was changed") from error


def _write(place: Place, files: dict[Path, bytes], stamp: str) -> list[Path]:
    backups: dict[Path, Path] = {}
    fresh = [path for path in files if not path.exists()]
    try:
        for path, content in files.items():
            if path not in fresh and (before := read_bounded(path, MAX_DOCUMENT_BYTES)) != content:
                backups[path] = _back_up(path, before, stamp)
        for path, content in files.items():
            replace_file(path, content, place.mode, place.group)
    except OSError:
        # one that was replaced, and one whose replacement is not yet on the disk
        for path in fresh:
            path.unlink(missing_ok=True)
        for path, backup in backups.items():
            backup.replace(path)
        raise
    return list(backups.values())


def _back_up(path: Path, content: bytes, stamp: str) -> Path:
    """Copy a file beside itself, for the same readers; return the copy."""
    status = path.stat()
    names = (f"{path.name}.before-setup-{stamp}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    backup = next(each for each in map(path.with_name, names) if not os.path.lexists(each))
    replace_file(
        backup, content, stat.S_IMODE(status.st_mode) & SERVICE_MODE, status.st_gid if os.geteuid() == 0 else None
    )
    return backup
