"""A copy of the events that are not on disk yet, in a file in memory. It outlives the process, and not the machine."""

import hashlib
import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from daemon.core.files import read_own, replace_file
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.schema import MAX_NUMBER
from daemon.mqtt.outbox.store import OutboxStore

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20


class MemoryCopy:
    """The file of one outbox. Used by the outbox's thread. Without a directory nothing can be saved."""

    def __init__(self, directory: Path | None, store: Path, node: str) -> None:
        """`directory` lies in memory, such as below /run; `store` is the outbox's file on disk."""
        digest = hashlib.sha256(f"{node}\n{store.absolute()}".encode()).hexdigest()
        self._path = None if directory is None else directory / f"outbox-{digest[:16]}.json"
        self._saved: bytes | None = None
        self._is_recovered = False

    @property
    def exists(self) -> bool:
        """Whether there is a place for the file."""
        return self._path is not None

    def recover(self, store: OutboxStore) -> None:
        """Write to the store what a process that was killed has left, once. Raises sqlite3.Error.

        Where there is no file, the numbers go on above those that the process of before may have given.
        """
        if self._is_recovered:
            return
        last, unsaved, unnoted = self._read() or (store.reserved, [], [])
        if last > store.last_sequence or (last == store.last_sequence and (unsaved or unnoted)):
            store.write([], [], queued=last, unsaved=unsaved, unnoted=unnoted, last=last)
        self._is_recovered = True

    def _read(self) -> tuple[int, list[Entry], list[Entry]] | None:
        try:
            return None if self._path is None else _parsed(read_own(self._path, MOST_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, OverflowError) as error:
            log.error("%s cannot be used: %s; events of the run before may be lost", self._path, error)
            return None

    def save(self, last: int, unsaved: Iterable[Entry], unnoted: Iterable[Entry]) -> bool:
        """Replace what the file has; return whether that worked. `last` is the latest number that was given."""
        if self._path is None:
            return False
        rows = {"unsaved": list(map(_fields, unsaved)), "unnoted": list(map(_fields, unnoted))}
        content = json.dumps({"last": last, **rows}).encode()
        if content != self._saved:
            self._saved = None
            try:
                replace_file(self._path, content, 0o600)
            except OSError as error:
                log.debug("%s cannot be written: %s", self._path, error.strerror)
                self.clear()
                return False
            self._saved = content
        return True

    def clear(self) -> None:
        """Remove the file: everything is on disk."""
        self._saved = None
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _fields(entry: Entry) -> list[int | str]:
    return [entry.sequence, entry.topic, entry.event, entry.phase, entry.payload.decode()]


def _parsed(content: bytes) -> tuple[int, list[Entry], list[Entry]]:
    """Raises ValueError, TypeError and OverflowError for anything that `save` has not written."""
    document = json.loads(content)
    if not isinstance(document, dict) or document.keys() != {"last", "unsaved", "unnoted"}:
        raise ValueError("expected the fields last, unsaved and unnoted")
    last = int(document["last"])
    unsaved, unnoted = ([_entry(fields) for fields in document[name]] for name in ("unsaved", "unnoted"))
    if not all(0 <= number <= MAX_NUMBER for number in (last, *(entry.sequence for entry in unsaved))):
        raise ValueError(f"expected numbers from 0 to {MAX_NUMBER}")
    return last, unsaved, unnoted


def _entry(fields: list[int | str]) -> Entry:
    sequence, topic, event, phase, payload = fields
    return Entry(int(sequence), str(topic), str(event), str(phase), str(payload).encode())
