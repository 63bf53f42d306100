"""The tables of the history, and how they are checked."""

import sqlite3

from daemon.core.database import check_integrity, check_version, transaction
from daemon.core.errors import HistoryError

VERSION = 1

PAGE_BYTES = 4096
MAX_DATABASE_BYTES = 1 << 30

PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "trusted_schema = OFF",
    "temp_store = MEMORY",
    f"journal_size_limit = {4 << 20}",
    f"max_page_count = {MAX_DATABASE_BYTES // PAGE_BYTES}",
)

# What an event counts beside its files: its row, and its entries in the indices.
ROW_BYTES = 500

# `at_s` is the age of the history when the event began, see history/age.py. `day` is in the time zone of the node.
# `size_bytes` has the bytes of the files, and those of the row.
_TABLES = (
    """CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stream TEXT NOT NULL, label TEXT NOT NULL,
    bundle TEXT NOT NULL, day TEXT NOT NULL, at_s REAL NOT NULL, started_s REAL NOT NULL, ended_s REAL, ended_by TEXT,
    peak_s REAL NOT NULL, peak REAL NOT NULL, shares TEXT NOT NULL, snapshot_bytes INTEGER, clip_bytes INTEGER,
    video TEXT, audio TEXT, begins_s REAL, duration_s REAL, is_cut INTEGER NOT NULL, kept INTEGER NOT NULL,
    verdict TEXT, was TEXT, size_bytes INTEGER NOT NULL
)""",
    "CREATE INDEX of_day ON events (day, number, kept)",
    "CREATE INDEX of_stream ON events (stream)",
    "CREATE INDEX of_label ON events (label)",
    "CREATE INDEX to_go ON events (number, at_s) WHERE kept = 0 AND ended_by IS NOT NULL",
    "CREATE INDEX still_open ON events (number) WHERE ended_by IS NULL",
    """CREATE TABLE totals (
    events INTEGER NOT NULL, size_bytes INTEGER NOT NULL, kept_events INTEGER NOT NULL, kept_bytes INTEGER NOT NULL
)""",
    "CREATE TABLE age (at_s REAL NOT NULL, wall_s REAL NOT NULL)",
    """CREATE TRIGGER added AFTER INSERT ON events BEGIN
    UPDATE totals SET events = events + 1, size_bytes = size_bytes + NEW.size_bytes,
        kept_events = kept_events + NEW.kept, kept_bytes = kept_bytes + NEW.size_bytes * NEW.kept;
END""",
    """CREATE TRIGGER removed AFTER DELETE ON events BEGIN
    UPDATE totals SET events = events - 1, size_bytes = size_bytes - OLD.size_bytes,
        kept_events = kept_events - OLD.kept, kept_bytes = kept_bytes - OLD.size_bytes * OLD.kept;
END""",
    """CREATE TRIGGER changed AFTER UPDATE OF size_bytes, kept ON events BEGIN
    UPDATE totals SET size_bytes = size_bytes + NEW.size_bytes - OLD.size_bytes,
        kept_events = kept_events + NEW.kept - OLD.kept,
        kept_bytes = kept_bytes + NEW.size_bytes * NEW.kept - OLD.size_bytes * OLD.kept;
END""",
)


def create_or_check(database: sqlite3.Connection) -> None:
    """Create the tables in a new database; check those of another one. Raises sqlite3.DatabaseError for damage."""
    with transaction(database):
        if check_version(database, VERSION) == 0:
            for table in _TABLES:
                database.execute(table)
            database.execute("INSERT INTO totals VALUES (0, 0, 0, 0)")
            database.execute(f"PRAGMA user_version = {VERSION}")
    check(database)
    check_integrity(database)


def check(database: sqlite3.Connection) -> None:
    """Check the tables of a database, but not every page.

    Raises sqlite3.DatabaseError for damage, LaterVersion, and HistoryError for a file without tables.
    """
    version = check_version(database, VERSION)
    if version == 0 and not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        raise HistoryError("unknown", "the daemon is just making the history; no event was kept yet")
    if version != VERSION:
        raise sqlite3.DatabaseError(f"the format has version {version}, expected {VERSION}")
    # another file could have triggers and views, which run with the statements of this program
    found = {text for (text,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found - {"CREATE TABLE sqlite_sequence(name,seq)"} != set(_TABLES):
        raise sqlite3.DatabaseError("its tables are not those of this program")
    (count,) = database.execute("SELECT COUNT(*) FROM totals").fetchone()
    if count != 1:
        raise sqlite3.DatabaseError("its totals are missing")
