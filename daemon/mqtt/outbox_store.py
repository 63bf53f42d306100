"""Events on disk until the broker has acknowledged them. SQLite: one file, one connection, one thread."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.core.timing import NS_PER_S, monotonic_ns

VERSION = 1
ROW_BYTES = 160
"""What a row takes besides its payload: topic, id, times, and their places in two trees. Measured on full stores."""

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
    """One step of an event as it goes to the broker; `topic` is what follows the node's name."""

    sequence: int
    topic: str
    event: str
    phase: str
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """What it takes in the store, about."""
        return len(self.payload) + ROW_BYTES


class OutboxStore:
    """A file that is there whole or not at all after a power cut: what `write` was given is on disk when it returns.

    All methods raise sqlite3.Error when the disk is full, gone or damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises sqlite3.DatabaseError when it is damaged, or OSError when there is no such place."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the thread that opens it hands it over to the one that uses it
        self._database = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        # EXCLUSIVE: a second daemon on the same file is refused instead of sending everything twice
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF"):
            self._database.execute(f"PRAGMA {pragma}")
        (found,) = self._database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            tables = _TABLES.format(row_bytes=ROW_BYTES)
            self._database.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;")
        elif found != VERSION:
            raise sqlite3.DatabaseError(f"of version {found}, expected {VERSION}")
        (verdict,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        self._measure()

    def write(
        self, entries: Sequence[Entry], acknowledged: Iterable[int], *, handed: int, sent: Iterable[Entry] = ()
    ) -> int:
        """Add entries and remove those acknowledged, in one transaction; returns how many updates it made needless.

        An update is needless once a later step of its event is written, unless it was handed on: `handed` is the
        highest sequence that was. `sent` went out without being written: what they say of open events is noted, and
        their numbers. What is there already is left as it is, for a failure may come after it was written.
        """
        now = (_boot_id(), monotonic_ns(), time.time())
        needless = 0
        with _transaction(self._database) as database:
            database.executemany("DELETE FROM entries WHERE sequence = ?", [(number,) for number in acknowledged])
            for entry in sent:
                _note_open(database, entry)
                _note_sequence(database, entry.sequence)
            for entry in entries:
                needless += database.execute(
                    "DELETE FROM entries WHERE phase = 'update' AND event = ? AND sequence > ? AND sequence < ?",
                    (entry.event, handed, entry.sequence),
                ).rowcount
                row = (entry.sequence, entry.topic, entry.event, entry.phase, entry.payload)
                database.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row + now)
                _note_open(database, entry)
        self._measure()
        return needless

    def read(self, after: int, limit: int) -> list[Entry]:
        """The next entries with a sequence above `after`, oldest first."""
        rows = self._database.execute(
            "SELECT sequence, topic, event, phase, payload FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, limit),
        )
        return [Entry(*row) for row in rows]

    def open_events(self) -> list[Entry]:
        """The latest step of every event that has not ended, in order."""
        rows = self._database.execute("SELECT event, topic, payload FROM open_events ORDER BY rowid")
        return [Entry(0, topic, event, "update", payload) for event, topic, payload in rows]

    def forget_open(self, event: str) -> None:
        """Take an event as ended without saying so."""
        self._database.execute("DELETE FROM open_events WHERE event = ?", (event,))

    def drop_old(self, max_age_s: float, *, handed: int) -> int:
        """Remove what was written longer ago, and was not handed on; returns how many.

        Of this boot by the monotonic clock; of earlier ones by the wall's, which may have been wrong.
        """
        boot, now_ns, now_s = _boot_id(), monotonic_ns(), time.time()
        with _transaction(self._database) as database:
            dropped = database.execute(
                "DELETE FROM entries WHERE sequence > ? AND CASE boot WHEN ? THEN monotonic_ns < ? ELSE wall_s < ? END",
                (handed, boot, now_ns - round(max_age_s * NS_PER_S), now_s - max_age_s),
            ).rowcount
        self._measure()
        return dropped

    def drop_beyond(self, max_bytes: int, *, handed: int) -> int:
        """Remove the oldest, of what was not handed on, until no more than `max_bytes` are left; returns how many."""
        excess, last, dropped = self.size_bytes - max_bytes, handed, 0
        sizes = self._database.execute(
            "SELECT sequence, LENGTH(payload) FROM entries WHERE sequence > ? ORDER BY sequence", (handed,)
        )
        for sequence, size in sizes:
            if excess <= 0:
                break
            excess, last, dropped = excess - size - ROW_BYTES, sequence, dropped + 1
        if dropped:
            with _transaction(self._database) as database:
                database.execute("DELETE FROM entries WHERE sequence > ? AND sequence <= ?", (handed, last))
            self._measure()
        return dropped

    def count_on_from(self, sequence: int) -> None:
        """Take this as the last sequence there was."""
        _note_sequence(self._database, sequence)
        self._measure()

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def _measure(self) -> None:
        row = self._database.execute("SELECT last_sequence, count, size_bytes FROM totals").fetchone()
        self.last_sequence, self.count, self.size_bytes = row


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it or nothing; what raises in it is raised again when it is undone."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        # a full disk may have ended the transaction already
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
    """Which boot of the machine this is: only within one can monotonic times be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
