"""The config of the node, where its file is writable for the page: read, kept as a backup, replaced."""

import hashlib
import os
import stat
from pathlib import Path

from daemon.core.files import read_bounded, replace_file
from daemon.web.answers import Problem

MOST_BYTES = 256 * 1024


def is_writable(path: Path) -> bool:
    """Return whether this process may replace the file, and keep the one before beside it.

    It is also of this process's user and group: the daemon must be able to read what replaces it.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    is_own = stat.S_ISREG(status.st_mode) and (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    return is_own and os.access(path, os.R_OK | os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def read(path: Path) -> tuple[str, str]:
    """Return the text, and a tag that changes with it. Raises Problem."""
    try:
        raw = read_bounded(path, MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise Problem(409, f"{path} has more than {MOST_BYTES} bytes; edit it on the device")
        return raw.decode(), _tag(raw)
    except OSError as error:
        raise Problem(409, f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Problem(409, f"{path} is not UTF-8; edit it on the device") from error


def write(path: Path, text: str, tag: str | None) -> Path:
    """Replace the text, and return the file that has the one before. Raises Problem.

    `tag` is that of the text that was edited: what somebody else has written meanwhile is not overwritten.
    """
    before, present_tag = read(path)
    if tag is not None and tag != present_tag:
        raise Problem(409, f"{path} has changed since it was read; read it again")
    real = path.resolve()
    backup = real.with_name(f"{real.name}.before")
    mode = stat.S_IMODE(real.stat().st_mode)
    try:
        replace_file(backup, before.encode(), mode)
        replace_file(real, text.encode(), mode)
    except OSError as error:
        raise Problem(409, f"{path} cannot be written: {error.strerror or error}") from error
    return backup


def _tag(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]
