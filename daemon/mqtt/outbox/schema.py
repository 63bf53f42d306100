"""The tables of the outbox, and how they are checked."""

import sqlite3

from daemon.core.database import check_integrity, check_version
from daemon.mqtt.outbox.entries import ROW_BYTES

VERSION = 1

# JSON numbers are exact up to here, and SQLite's are far beyond
MAX_NUMBER = 2**53

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


def create_or_check(database: sqlite3.Connection) -> None:
    """Create the tables in a new database; check those of another one. Raises sqlite3.DatabaseError for damage.

    Raises LaterVersion where a later version of this program has written them.
    """
    version = check_version(database, VERSION)
    if version == 0:
        tables = _TABLES.format(row_bytes=ROW_BYTES)
        database.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;")
    elif version != VERSION:
        raise sqlite3.DatabaseError(f"the format has version {version}, expected {VERSION}")
    check_integrity(database)
    last_sequence, _count, _size_bytes = read_totals(database)
    lowest, highest = database.execute("SELECT MIN(sequence), MAX(sequence) FROM entries").fetchone()
    if lowest is not None and not 1 <= lowest <= highest <= last_sequence:  # later events would not be sent
        raise sqlite3.DatabaseError(
            f"its entries have the numbers {lowest} to {highest}, expected 1 to {last_sequence}"
        )


def read_reserved(database: sqlite3.Connection) -> int:
    """Return the number up to which steps may have been sent without being written. Raises sqlite3.DatabaseError."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'reserved'").fetchone() is None:
        return 0  # an earlier version has made the file, or nothing was ever reserved
    row = database.execute("SELECT MAX(sequence) FROM reserved").fetchone()
    number = 0 if row[0] is None else row[0]
    if not isinstance(number, int) or not 0 <= number <= MAX_NUMBER:
        raise sqlite3.DatabaseError(f"it has reserved {number!r}, expected a number from 0 to {MAX_NUMBER}")
    return number


def write_reserved(database: sqlite3.Connection, number: int) -> None:
    """Reserve the numbers up to this one, and no others."""
    database.execute("CREATE TABLE IF NOT EXISTS reserved (sequence INTEGER NOT NULL)")
    database.execute("DELETE FROM reserved")
    database.execute("INSERT INTO reserved VALUES (?)", (number,))


def read_totals(database: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the last number given, how many entries there are, and their bytes. Raises sqlite3.DatabaseError."""
    row = database.execute("SELECT last_sequence, count, size_bytes FROM totals").fetchone()
    if row is None or not all(isinstance(number, int) and 0 <= number <= MAX_NUMBER for number in row):
        raise sqlite3.DatabaseError(f"its totals are {row}, expected numbers from 0 to {MAX_NUMBER}")
    last_sequence, count, size_bytes = row
    return last_sequence, count, size_bytes
