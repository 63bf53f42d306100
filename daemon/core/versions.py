"""The version of each state file. A file that a later version of this program has written is set aside, not destroyed.

Somebody who goes back to an older version of the program may go forward again, and rename the file then.
"""

import errno
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from daemon.core.errors import shortage_behind
from daemon.core.files import read_own, sync_directory

log = logging.getLogger(__name__)

# of the largest JSON file, which has what was announced to Home Assistant
MAX_BYTES = 8_000_000

# the keys that hold the version of a JSON file
KEYS = ("version", "format")

TEXT_VERSION = re.compile(rb"version ([0-9]{1,9})\b")


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file at `path`, relative to its state directory. `newest` is the latest version that this program reads.

    `read` returns the version of a file, None where it has none or is damaged. It raises OSError where the system lacks
    descriptors, and with EBUSY where another process uses the file. `directory` is set aside as a whole where it is
    given: its other files belong to the file.
    """

    path: str
    newest: int
    read: Callable[[Path], int | None]
    directory: str | None = None

    @property
    def renamed(self) -> str:
        """What is renamed to set it aside, relative to the state directory."""
        return self.directory or self.path


def set_later_aside(state: Path, files: Iterable[StateFile]) -> None:
    """Rename each file that a later version has written to NAME.version-N, and log it.

    Where another process uses one of them, nothing is renamed from there on. Raises OSError where the system lacks
    descriptors for a moment.
    """
    for file in files:
        path = state / file.path
        try:
            found = file.read(path) if os.path.lexists(path) else None
        except OSError as error:
            if error.errno == errno.EBUSY:
                return
            raise
        if found is not None and found > file.newest:
            _rename(state / file.renamed, found, file.newest)


def set_aside_in(state: Path, files: Iterable[StateFile]) -> list[str]:
    """Return what was set aside and lies there still, relative to the state directory."""
    found = (path for file in files for path in aside_of(state / file.renamed))
    return [str(path.relative_to(state)) for path in found]


def aside_of(path: Path) -> list[Path]:
    """Return the names under which a file was set aside because a later version has written it."""
    name = re.compile(re.escape(path.name) + r"\.version-[0-9]+(\.[0-9]+)?")
    try:
        return sorted(other for other in path.parent.iterdir() if name.fullmatch(other.name))
    except OSError:  # there is no such directory
        return []


def later_problem(path: Path, found: int, newest: int) -> str:
    """Return that a later version has written a file, in words."""
    return f"a later version of perceptd has written {path} (version {found}, this one reads {newest})"


def json_version(path: Path) -> int | None:
    """Return the version of a JSON file."""
    try:
        document = json.loads(read_own(path, MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        return None
    named = [document.get(key) for key in KEYS] if isinstance(document, dict) else []
    return next((each for each in named if type(each) is int), None)


def text_version(path: Path) -> int | None:
    """Return the version that the first line of a text names."""
    try:
        found = TEXT_VERSION.match(read_own(path, MAX_BYTES))
    except OSError as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        return None
    return None if found is None else int(found[1])


def _rename(path: Path, found: int, newest: int) -> None:
    names = (f"{path.name}.version-{found}{'' if number == 1 else f'.{number}'}" for number in count(1))
    aside = next(other for name in names if not os.path.lexists(other := path.with_name(name)))
    try:
        path.rename(aside)
        sync_directory(path.parent)
    except OSError as error:
        log.error("%s; it cannot be renamed: %s", later_problem(path, found, newest), error.strerror or error)
    else:
        log.error("%s; it is now %s", later_problem(path, found, newest), aside)
