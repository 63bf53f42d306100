"""Reads a secret, such as a password, from a file of its own."""

import logging
import stat
from pathlib import Path

from daemon.core.errors import Refused
from daemon.core.files import read_bounded

log = logging.getLogger(__name__)

MAX_SECRET_BYTES = 4096


def read_secret(path: Path, key: str) -> str:
    """Return the first line of a file. A file that everybody can read is logged as a warning.

    `key` is the option or the key of the config that names the file. Raises Refused; the message never quotes the file.
    """
    try:
        raw = read_bounded(path, MAX_SECRET_BYTES + 1)
        if len(raw) > MAX_SECRET_BYTES:
            raise Refused(f"{key} = {path}: larger than {MAX_SECRET_BYTES} bytes")
        warn_if_public(path, key)
        return raw.decode().split("\n")[0].rstrip("\r")
    except OSError as error:
        raise Refused(f"{key} = {path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{key} = {path}: not UTF-8 at byte {error.start}") from error


def warn_if_public(path: Path, key: str) -> None:
    """Log a warning if every user of the machine can read the file. Raises OSError."""
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("%s = %s: every user of this machine can read it; chmod o-r %s", key, path, path)
