"""The directory with TUF's cached metadata: what may lie there, and reads of it. Nothing here is trusted.

The cache is expendable but for the protection against older metadata. So whatever has no business there is removed.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from daemon.core.errors import shortage_behind
from daemon.core.files import ForeignFile, check_own_directory, create_own, open_own, read_own, remove

# in the order in which TUF checks them, and their expiry dates
ROLES = ("root", "timestamp", "snapshot", "targets")

HISTORY = "root_history"

# TUF's client accepts no larger file: of targets.json, the largest
MAX_METADATA_BYTES = 5_000_000

# python-tuf makes root.json a link to the newest root
_ROOT_LINK = re.compile(rf"{HISTORY}/[0-9]{{1,9}}\.root\.json")

_ROOT_NAME = re.compile(r"[0-9]{1,9}\.root\.json")


def clean_cache(directory: Path) -> list[str]:
    """Remove what TUF's client has not written; return a text for each removal worth a message. Raises OSError.

    Temporary files of a process that was killed are removed without one.
    """
    removed = []
    for path in sorted(directory.iterdir()):
        if path.name == HISTORY:
            removed += _remove_if(path, _directory_problem(path))
        elif path.name not in {f"{role}.json" for role in ROLES}:
            remove(path)
        elif not _is_root_link(path):
            removed += _remove_if(path, _file_problem(path))
    history = directory / HISTORY
    for path in sorted(history.iterdir()) if history.exists() else ():
        removed += _remove_if(path, _file_problem(path) if _ROOT_NAME.fullmatch(path.name) else "is none of its files")
    return removed


def cached_metadata(directory: Path, role: str) -> bytes:
    """Return the cached metadata of a role. Raises OSError."""
    path = directory / f"{role}.json"
    return read_own(directory / path.readlink() if _is_root_link(path) else path, MAX_METADATA_BYTES)


def copy_cache(directory: Path, to: Path) -> None:
    """Copy the files of a cache, each with at most as many bytes as metadata has. Raises OSError."""
    (to / HISTORY).mkdir(mode=0o700, parents=True)
    for path in _files(directory):
        with create_own(to / path.relative_to(directory)) as file:
            file.write(read_own(path, MAX_METADATA_BYTES))


def valid_until(directory: Path) -> float | None:
    """Return the wall time at which the cached timestamp expires; None where there is none that can be read."""
    try:
        text = json.loads(cached_metadata(directory, "timestamp"))["signed"]["expires"]
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _files(directory: Path) -> Iterator[Path]:
    check_own_directory(directory)
    for role in ROLES:
        path = directory / f"{role}.json"
        if os.path.lexists(path) and not _is_root_link(path):
            yield path
    if os.path.lexists(directory / HISTORY):
        check_own_directory(directory / HISTORY)
        yield from sorted((directory / HISTORY).iterdir())


def _is_root_link(path: Path) -> bool:
    if path.name != "root.json" or not path.is_symlink():
        return False
    return _ROOT_LINK.fullmatch(str(path.readlink())) is not None


def _remove_if(path: Path, problem: str | None) -> list[str]:
    if problem is None:
        return []
    remove(path)
    return [f"{path} {problem}: it was removed"]


def _file_problem(path: Path) -> str | None:
    try:
        open_own(path, MAX_METADATA_BYTES).close()
    except ForeignFile as error:
        return error.strerror
    except OSError as error:
        if shortage_behind(error) is not None:
            raise
        return f"cannot be read ({error.strerror})"
    return None


def _directory_problem(path: Path) -> str | None:
    try:
        check_own_directory(path)
    except ForeignFile as error:
        return error.strerror
    return None
