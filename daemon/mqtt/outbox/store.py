"""The file of the outbox: an SQLite database, used by one connection on one thread."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from daemon.core.database import Place, files_beside, open_database, transaction
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.outbox.disk_room import LARGE_DISK, PAGE_BYTES, disk_room
from daemon.mqtt.outbox.entries import ROW_BYTES, Entry
from daemon.mqtt.outbox.schema import create_or_check, read_reserved, read_totals, write_reserved

PRAGMAS = (
    # EXCLUSIVE: a second daemon on the same file fails, where it would otherwise send every event again
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "trusted_schema = OFF",
    "temp_store = MEMORY",
)


# A clock that says less was never set in that boot. Nobody knows how old an event is that was written then.
EARLIEST_S = 1_735_689_600.0  # 2025

# a smaller step of the wall clock does not matter for an age of hours
CLOCK_STEP_S = 60.0


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
        self._path = path
        self._boot = _boot_id()  # read once: later there may be no descriptor for it
        # a locked file is tried again every second: a longer wait would hold up a stop
        self._database = open_database(path, PRAGMAS, timeout_s=0.1)
        try:
            create_or_check(self._database)
            self.last_sequence, self.count, self.size_bytes = read_totals(self._database)
            self.reserved = read_reserved(self._database)
            self.room = LARGE_DISK
            self.fit()
        except BaseException:
            self._database.close()
            raise
        self.place = Place(path)

    def fit(self) -> None:
        """Divide what is free of the disk now between database and journal."""
        with suppress(OSError):  # where the directory is gone, nothing changes
            disk = os.statvfs(self._path.parent)
            own = [_size(path) for path in (self._path, *files_beside(self._path))]
            self.room = disk_room(disk.f_bavail * disk.f_frsize, sum(own))
        for pragma, value in (
            ("wal_autocheckpoint", self.room.journal_pages),
            ("journal_size_limit", self.room.journal_bytes),
            ("max_page_count", self.room.database_pages),
        ):
            self._database.execute(f"PRAGMA {pragma} = {value}")

    def move_journal(self) -> None:
        """Move the journal into the database, so that its room is free again, and divide the disk anew."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.fit()

    @property
    def is_full(self) -> bool:
        """Whether the database has no room for another transaction, because it leaves some of the disk free."""
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (unused,) = self._database.execute("PRAGMA freelist_count").fetchone()
        used: int = pages - unused
        return used + self.room.batch_bytes // PAGE_BYTES >= self.room.database_pages

    def write(
        self,
        entries: Sequence[Entry],
        removed: Iterable[int],
        *,
        queued: int,
        unsaved: Sequence[Entry] = (),
        unnoted: Iterable[Entry] = (),
        last: int = 0,
        reserved: int = 0,
    ) -> int:
        """Add entries and remove others in one transaction; return how many updates were coalesced.

        A stored update is removed once a later step of its event is written, unless it was queued to be sent.
        `queued` is the highest number that was queued. `unsaved` entries were queued without being written, and are
        written now. Of `unnoted` entries the store notes only which events are open. Numbers continue above `last`.
        Numbers up to `reserved` may be sent without being written; 0 changes nothing.
        Entries that are there already stay as they are: the caller may repeat a batch.
        """
        now = (self._boot, monotonic_ns(), time.time())
        coalesced = 0
        with transaction(self._database) as database:
            database.executemany("DELETE FROM entries WHERE sequence = ?", [(number,) for number in removed])
            for entry in unsaved:
                _insert(database, entry, now)
            for entry in unnoted:
                _note_open(database, entry)
            for entry in entries:
                coalesced += database.execute(
                    "DELETE FROM entries WHERE phase = 'update' AND event = ? AND sequence > ? AND sequence < ?",
                    (entry.event, queued, entry.sequence),
                ).rowcount
                _insert(database, entry, now)
                _note_open(database, entry)
            _note_sequence(database, last)
            if reserved > 0:
                write_reserved(database, reserved)
            totals = read_totals(self._database)
        self.last_sequence, self.count, self.size_bytes = totals
        self.reserved = reserved or self.reserved
        return coalesced

    def release(self) -> None:
        """Reserve no numbers any longer: all that was sent is written."""
        if self.reserved > 0:
            with transaction(self._database) as database:
                write_reserved(database, 0)
            self.reserved = 0

    def take_over(self, other: "OutboxStore", removed: Iterable[int], *, offset: int, last: int) -> None:
        """Copy the events of another store, but for the `removed` ones, in one transaction.

        Every number becomes higher by `offset`. Numbers continue above `last`.
        """
        without = set(removed)
        with transaction(self._database) as database:
            for row in other._database.execute("SELECT * FROM entries ORDER BY sequence"):
                if row[0] not in without:
                    _insert(database, Entry(*row[:5]).shifted(offset), row[5:])
            for row in other._database.execute("SELECT * FROM open_events ORDER BY rowid"):
                database.execute("INSERT OR REPLACE INTO open_events VALUES (?, ?, ?)", row)
            _note_sequence(database, last)
            totals = read_totals(self._database)
        self.last_sequence, self.count, self.size_bytes = totals

    def of_other_node(self, node: str) -> tuple[int, str] | None:
        """Return how many events another node has left, and its name; None when all are of this `node`."""
        field = b'"node":'
        own = field + json.dumps(node, ensure_ascii=False).encode()
        count, payload = self._database.execute(
            "SELECT COUNT(*), MIN(payload) FROM"
            " (SELECT payload FROM entries UNION ALL SELECT payload FROM open_events)"
            " WHERE instr(payload, ?) AND NOT instr(payload, ?)",
            (field, own),
        ).fetchone()
        return (count, _node_in(payload)) if count else None

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

    def drop_old(self, max_age_s: float, *, queued: int) -> int:
        """Remove entries above `queued` that were written more than `max_age_s` ago; return how many.

        The age is by the monotonic clock within this boot of the machine, and by the wall clock from earlier boots.
        Once the wall clock is set, what this boot has written gets the right time, for the boots to come.
        """
        now_ns, now_s = monotonic_ns(), time.time()
        with transaction(self._database) as database:
            database.execute(
                "UPDATE entries SET wall_s = :now_s - (:now_ns - monotonic_ns) / 1e9"
                " WHERE boot = :boot AND ABS(wall_s - (:now_s - (:now_ns - monotonic_ns) / 1e9)) > :step_s",
                {"now_s": now_s, "now_ns": now_ns, "boot": self._boot, "step_s": CLOCK_STEP_S},
            )
            dropped = database.execute(
                "DELETE FROM entries WHERE sequence > ?"
                " AND CASE boot WHEN ? THEN monotonic_ns < ? ELSE wall_s BETWEEN ? AND ? END",
                (queued, self._boot, now_ns - round(max_age_s * NS_PER_S), EARLIEST_S, now_s - max_age_s),
            ).rowcount
            totals = read_totals(self._database)
        self.last_sequence, self.count, self.size_bytes = totals
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
            with transaction(self._database) as database:
                database.execute("DELETE FROM entries WHERE sequence > ? AND sequence <= ?", (queued, last))
                totals = read_totals(self._database)
            self.last_sequence, self.count, self.size_bytes = totals
        return dropped

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _insert(database: sqlite3.Connection, entry: Entry, times: tuple[object, ...]) -> None:
    """Add an entry. Raises sqlite3.IntegrityError when another one has its number."""
    found = database.execute("SELECT payload FROM entries WHERE sequence = ?", (entry.sequence,)).fetchone()
    if found != (entry.payload,):
        row = (entry.sequence, entry.topic, entry.event, entry.phase, entry.payload)
        database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row + times)


def _note_open(database: sqlite3.Connection, entry: Entry) -> None:
    if entry.phase == "end":
        database.execute("DELETE FROM open_events WHERE event = ?", (entry.event,))
    else:
        row = (entry.event, entry.topic, entry.payload)
        database.execute("INSERT OR REPLACE INTO open_events VALUES (?, ?, ?)", row)


def _note_sequence(database: sqlite3.Connection, sequence: int) -> None:
    database.execute("UPDATE totals SET last_sequence = ? WHERE last_sequence < ?", (sequence, sequence))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _node_in(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["node"])
    except (ValueError, KeyError, TypeError):
        return "?"


def _boot_id() -> str:
    """Return the id of this boot of the machine. Monotonic times can be compared within one boot only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
