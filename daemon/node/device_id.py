"""The id of this device: random, and stored in the state directory, so that every run on it has the same one.

Version 1 of the file is one line of 32 hexadecimal digits. A later version must begin with `version N`.
"""

import logging
import re
import uuid
from pathlib import Path

from daemon.core.errors import shortage_behind
from daemon.core.files import read_own, replace_file

log = logging.getLogger(__name__)

VERSION = 1

# 32 hexadecimal digits and a line end
MAX_BYTES = 64
PATTERN = re.compile(r"[0-9a-f]{32}")


class DeviceId:
    """The id of this device. Until `load` has read the stored one, `value` is an id of this run alone."""

    def __init__(self, path: Path) -> None:
        """`path` is the file of the id. Nothing is read or written yet."""
        self._path = path
        self.value = uuid.uuid4().hex
        self._is_stored = False

    @property
    def stored(self) -> str | None:
        """The id if it outlasts this run; otherwise None."""
        return self.value if self._is_stored else None

    def load(self) -> None:
        """Read the id, or store a new one. Where that fails, `value` stays the id of this run, and the log says why.

        Waits for the disk. Raises OSError where the system lacks descriptors for a moment.
        """
        try:
            self.value = self._read() or self._write()
        except OSError as error:
            if shortage_behind(error) is not None:
                raise
            log.warning(
                "%s: %s; this run uses an id of its own, so the next run cannot recognise the messages of this one",
                self._path,
                error.strerror or error,
            )
            return
        self._is_stored = True

    def _read(self) -> str | None:
        """Return the stored id; None where there is none that can be used. Raises OSError."""
        try:
            text = read_own(self._path, MAX_BYTES).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            if shortage_behind(error) is not None:
                raise
            log.warning("%s: %s; a new id is written", self._path, error.strerror or error)
            return None
        if PATTERN.fullmatch(text):
            return text
        log.warning("%s does not hold 32 hexadecimal digits; a new id is written", self._path)
        return None

    def _write(self) -> str:
        """Store the id of this run, and return it. Raises OSError."""
        replace_file(self._path, f"{self.value}\n".encode())
        return self.value
