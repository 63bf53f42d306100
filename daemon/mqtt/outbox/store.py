"""The file of the outbox: an SQLite database, used by one connection on one thread."""

import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

from daemon.core.files import ForeignFile, open_own, remove, set_aside
from daemon.core.timing import NS_PER_S, monotonic_ns

log = logging.getLogger(__name__)

VERSION = 1

# JSON numbers are exact up to here, and SQLite's are far beyond
MAX_NUMBER = 2**53

# What a row takes besides its payload: topic, id, times, and entries in two trees. Measured on full stores.
ROW_BYTES = 160

_TABLES = """
CREATE TABLE entries (
    sequence INTEGER PRIMARY KEY,
    topic TEXT NOT NULL, event TEXT NOT NULL, phase TEXT NOT NULL, payload BLOB NOT NULL,
    boot TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, wall_s REAL NOT NULL
);
CREATE INDEX of_event ON entries (event, sequence) WHERE phase = 'update';
CREATE TABLE open_events (event TEXT PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE totals (last_sequence INTEGER NOT NULL, count INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);
CREATE TRIGGER added AFTER INSERT ON entries BEGIN
    UPDATE totals SET last_sequence = MAX(last_sequence, NEW.sequence), count = count + 1,
        size_bytes = size_bytes + LENGTH(NEW.payload) + {row_bytes};
END;
CREATE TRIGGER removed AFTER DELETE ON entries BEGIN
    UPDATE totals SET count = count - 1, size_bytes = size_bytes - LENGTH(OLD.payload) - {row_bytes};
END;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of an event as it is sent to the broker; `topic` is the part after the node's name."""

    sequence: int
    topic: str
    event: str
    phase: str
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """About how much room it takes in the store."""
        return len(self.payload) + ROW_BYTES


class EventQueue(Protocol):
    """Takes the events that may be sent now. Both methods run on the outbox's thread."""

    def room(self) -> int:
        """Return how many more events can be queued."""

    def put(self, entries: list[Entry]) -> None:
        """Queue events to be sent, in order; there are at most `room()`."""


class OutboxStatus(TypedDict):
    """The events that wait for the broker; `trouble` says why they are not safe from a power cut."""

    waiting: int
    stored: int
    stored_bytes: int
    coalesced: int
    trouble: str | None


class OutboxStore:
    """Events on disk. Each `write` is one transaction, which is on disk when the method returns.

    After a power cut the file has each transaction completely or not at all.
    All methods raise sqlite3.Error when the disk is full, gone or damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and its directory.

        Raises sqlite3.DatabaseError when the file is damaged, and OSError when the directory cannot be made, or
        without descriptors. Raises ForeignFile, an OSError, when it is no file that this program has written.
        """
        self._boot = _boot_id()  # read once: later there may be no descriptor for it
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_files(path)
        # one thread opens the store, and another uses it afterwards
        self._database = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        # EXCLUSIVE: a second daemon on the same file fails, where it would otherwise send every event again
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF"):
            self._database.execute(f"PRAGMA {pragma}")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            tables = _TABLES.format(row_bytes=ROW_BYTES)
            self._database.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"the format has version {version}, expected {VERSION}")
        (fault,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(str(fault))
        self._read_totals()
        self._check_numbers()

    def write(
        self, entries: Sequence[Entry], acknowledged: Iterable[int], *, queued: int, unstored: Iterable[Entry] = ()
    ) -> int:
        """Add entries and remove acknowledged ones in one transaction; return how many updates were coalesced.

        A stored update is removed once a later step of its event is written, unless it was queued to be sent.
        `queued` is the highest number that was queued. `unstored` entries were queued without being written: of those
        the store notes the numbers, and which events are open.
        Entries that are there already stay as they are: the caller repeats a batch after a failure.
        """
        now = (self._boot, monotonic_ns(), time.time())
        coalesced = 0
        with _transaction(self._database) as database:
            database.executemany("DELETE FROM entries WHERE sequence = ?", [(number,) for number in acknowledged])
            for entry in unstored:
                _note_open(database, entry)
                _note_sequence(database, entry.sequence)
            for entry in entries:
                coalesced += database.execute(
                    "DELETE FROM entries WHERE phase = 'update' AND event = ? AND sequence > ? AND sequence < ?",
                    (entry.event, queued, entry.sequence),
                ).rowcount
                row = (entry.sequence, entry.topic, entry.event, entry.phase, entry.payload)
                database.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row + now)
                _note_open(database, entry)
        self._read_totals()
        return coalesced

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return the next entries with a sequence above `after`, oldest first."""
        rows = self._database.execute(
            "SELECT sequence, topic, event, phase, payload FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, limit),
        )
        return [Entry(*row) for row in rows]

    def open_events(self) -> list[Entry]:
        """Return the latest step of every event that has not ended, in order."""
        rows = self._database.execute("SELECT event, topic, payload FROM open_events ORDER BY rowid")
        return [Entry(0, topic, event, "update", payload) for event, topic, payload in rows]

    def forget_open(self, event: str) -> None:
        """Remove an event from the open ones."""
        self._database.execute("DELETE FROM open_events WHERE event = ?", (event,))

    def drop_old(self, max_age_s: float, *, queued: int) -> int:
        """Remove entries above `queued` that were written more than `max_age_s` ago; return how many.

        The age is by the monotonic clock within this boot of the machine, and by the wall clock from earlier boots.
        """
        now_ns, now_s = monotonic_ns(), time.time()
        with _transaction(self._database) as database:
            dropped = database.execute(
                "DELETE FROM entries WHERE sequence > ? AND CASE boot WHEN ? THEN monotonic_ns < ? ELSE wall_s < ? END",
                (queued, self._boot, now_ns - round(max_age_s * NS_PER_S), now_s - max_age_s),
            ).rowcount
        self._read_totals()
        return dropped

    def drop_beyond(self, max_bytes: int, *, queued: int) -> int:
        """Remove the oldest entries above `queued` until at most `max_bytes` are left; return how many."""
        excess, last, dropped = self.size_bytes - max_bytes, queued, 0
        sizes = self._database.execute(
            "SELECT sequence, LENGTH(payload) FROM entries WHERE sequence > ? ORDER BY sequence", (queued,)
        )
        for sequence, size in sizes:
            if excess <= 0:
                break
            excess, last, dropped = excess - size - ROW_BYTES, sequence, dropped + 1
        if dropped:
            with _transaction(self._database) as database:
                database.execute("DELETE FROM entries WHERE sequence > ? AND sequence <= ?", (queued, last))
            self._read_totals()
        return dropped

    def continue_from(self, sequence: int) -> None:
        """Make the numbers continue above `sequence`, if they are not higher already."""
        _note_sequence(self._database, sequence)
        self._read_totals()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read_totals(self) -> None:
        row = self._database.execute("SELECT last_sequence, count, size_bytes FROM totals").fetchone()
        if row is None or not all(isinstance(number, int) and 0 <= number <= MAX_NUMBER for number in row):
            raise sqlite3.DatabaseError(f"its totals are {row}, expected numbers from 0 to {MAX_NUMBER}")
        self.last_sequence, self.count, self.size_bytes = row

    def _check_numbers(self) -> None:
        """Raise DatabaseError when an entry has a number that was never given: later events would not be sent."""
        lowest, highest = self._database.execute("SELECT MIN(sequence), MAX(sequence) FROM entries").fetchone()
        if lowest is not None and not 1 <= lowest <= highest <= self.last_sequence:
            raise sqlite3.DatabaseError(
                f"its entries have the numbers {lowest} to {highest}, expected 1 to {self.last_sequence}"
            )


def replace_damaged(path: Path, fault: sqlite3.DatabaseError | str, last_sequence: int) -> OutboxStore:
    """Rename a damaged file, remove what SQLite keeps beside it, and return a new store in its place.

    The store continues from the number of the last event. Raises what OutboxStore raises, and OSError.
    """
    for beside in _files_beside(path):
        if os.path.lexists(beside):
            remove(beside)
    log.error("the outbox %s is damaged (%s); it is now %s and a new one begins", path, fault, set_aside(path))
    store = OutboxStore(path)
    store.continue_from(last_sequence)
    return store


def _check_files(path: Path) -> None:
    """Look at the files before SQLite opens them. Raises ForeignFile where the database is none of ours.

    What lies in the place of a file beside it is removed: the database is complete up to an earlier transaction.
    """
    with suppress(FileNotFoundError):
        open_own(path, sys.maxsize).close()
    for beside in _files_beside(path):
        try:
            open_own(beside, sys.maxsize).close()
        except FileNotFoundError:
            pass
        except ForeignFile as error:
            log.error("%s %s: it was removed", beside, error.strerror)
            remove(beside)


def _files_beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit the block's statements, or undo all of them when the block raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        # after an error such as a full disk, SQLite may have undone the transaction already
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _note_open(database: sqlite3.Connection, entry: Entry) -> None:
    if entry.phase == "end":
        database.execute("DELETE FROM open_events WHERE event = ?", (entry.event,))
    else:
        row = (entry.event, entry.topic, entry.payload)
        database.execute("INSERT OR REPLACE INTO open_events VALUES (?, ?, ?)", row)


def _note_sequence(database: sqlite3.Connection, sequence: int) -> None:
    database.execute("UPDATE totals SET last_sequence = MAX(last_sequence, ?)", (sequence,))


def _boot_id() -> str:
    """Return the id of this boot of the machine. Monotonic times can be compared within one boot only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
