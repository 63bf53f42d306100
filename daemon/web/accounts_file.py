"""The file with what the page knows about its users. The page and `perceptd page` change it, one at a time."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon.core.files import ForeignFile, read_own, replace_file, set_aside
from daemon.core.versions import StateFile, json_version, set_later_aside

log = logging.getLogger(__name__)

MOST_BYTES = 512 * 1024

NAME = "accounts.json"

VERSION = 1

# the parts of the file, with the type of each
PARTS: dict[str, type] = {"passwords": dict, "tokens": dict, "links": dict, "sessions": dict, "known": dict}

FILES = (StateFile(NAME, VERSION, json_version),)


class AccountsFile:
    """A JSON object of objects, mode 0600. Another process may replace it at any time. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the page's own; it is created, and nobody else may enter it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / NAME
        self._lock = directory / "accounts.lock"
        self._read: tuple[tuple[int, int, int], dict[str, Any]] | None = None

    def content(self) -> dict[str, Any]:
        """Return the present content, which the caller must not change."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return self._empty()
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._read is None or self._read[0] != identity:
            self._read = (identity, self._load())
        return self._read[1]

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Yield the content, and store what the block makes of it. No other process changes it meanwhile."""
        with self._locked():
            content: dict[str, Any] = json.loads(json.dumps(self.content()))
            before = json.dumps(content)
            yield content
            if (after := json.dumps(content)) != before:
                replace_file(self.path, after.encode(), mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._lock, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> dict[str, Any]:
        # without its passwords the page stays closed, but for one-time links
        set_later_aside(self.path.parent, FILES)
        try:
            content = json.loads(read_own(self.path, MOST_BYTES))
            if isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in PARTS.items()):
                return {**content, "version": VERSION}  # perceptd 0.7 has written none
            fault: object = "it is not what the page has written"
        except FileNotFoundError:
            return self._empty()
        except (ForeignFile, ValueError) as error:
            fault = error
        log.error("%s is damaged (%s); it is now %s, and nobody is logged in", self.path, fault, set_aside(self.path))
        return self._empty()

    def _empty(self) -> dict[str, Any]:
        return {"version": VERSION, **{name: kind() for name, kind in PARTS.items()}}
