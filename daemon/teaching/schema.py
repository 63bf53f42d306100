"""The tables of what was taught, and how they are checked."""

import sqlite3

from daemon.core.database import check_integrity, check_version, transaction

VERSION = 1

PAGE_BYTES = 4096
MAX_DATABASE_BYTES = 1 << 30

PRAGMAS = (
    # A rollback journal is emptied by each commit. A WAL would keep the bytes of what was removed.
    "journal_mode = TRUNCATE",
    "synchronous = FULL",
    "secure_delete = ON",
    "trusted_schema = OFF",
    "temp_store = MEMORY",
    f"max_page_count = {MAX_DATABASE_BYTES // PAGE_BYTES}",
)

# `added_by` and `removed_by` are numbers of steps, which `undo` takes back. An example with `removed_by` is removed.
# Large values come last in a row: SQLite reads through them to those behind.
# `forgotten` has the labels that were removed completely, see teaching/forgotten.py.
# `embedded` has what one set of encoders has made of an example; the first row is from the press.
_TABLES = (
    """CREATE TABLE examples (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, stream TEXT NOT NULL, taken_s REAL NOT NULL, origin TEXT NOT NULL,
    moments INTEGER NOT NULL, added_by INTEGER NOT NULL, removed_by INTEGER, picture BLOB, sound BLOB
)""",
    """CREATE TABLE embedded (
    number INTEGER PRIMARY KEY, example TEXT NOT NULL, encoders TEXT NOT NULL, moments BLOB NOT NULL,
    UNIQUE (example, encoders)
)""",
    """CREATE TABLE background (
    number INTEGER PRIMARY KEY, stream TEXT NOT NULL, hour INTEGER NOT NULL, taken_s REAL NOT NULL,
    encoders TEXT NOT NULL, moments BLOB NOT NULL
)""",
    "CREATE INDEX background_of_stream ON background (stream, encoders, hour)",
    """CREATE TABLE wrong (
    number INTEGER PRIMARY KEY, label TEXT NOT NULL, event TEXT, stream TEXT NOT NULL, taken_s REAL NOT NULL,
    added_by INTEGER NOT NULL, encoders TEXT NOT NULL, moments BLOB NOT NULL
)""",
    """CREATE TABLE peaks (
    number INTEGER PRIMARY KEY, event TEXT NOT NULL UNIQUE, label TEXT NOT NULL, stream TEXT NOT NULL,
    taken_s REAL NOT NULL, score REAL NOT NULL, encoders TEXT NOT NULL, moments BLOB NOT NULL
)""",
    """CREATE TABLE questions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, why TEXT NOT NULL, recognised INTEGER NOT NULL,
    asked_s REAL NOT NULL, event TEXT NOT NULL, label TEXT NOT NULL, stream TEXT NOT NULL, taken_s REAL NOT NULL,
    score REAL NOT NULL, encoders TEXT NOT NULL, moments BLOB NOT NULL
)""",
    "CREATE TABLE everywhere (label TEXT PRIMARY KEY)",
    "CREATE TABLE forgotten (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE)",
    "CREATE TABLE steps (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, at_s REAL NOT NULL)",
    "CREATE TABLE node (changes INTEGER NOT NULL, next_label TEXT, asked_s REAL, spot_checked_s REAL)",
)


def create_or_check(database: sqlite3.Connection) -> None:
    """Create the tables in a new database; check those of another one. Raises sqlite3.DatabaseError for damage."""
    with transaction(database):
        if check_version(database, VERSION) == 0:
            for table in _TABLES:
                database.execute(table)
            # Another file never has the numbers of this one. So what is new in it is never taken for what was there.
            database.execute("INSERT INTO node (changes) VALUES (ABS(RANDOM() % 1000000000000))")
            database.execute(f"PRAGMA user_version = {VERSION}")
    check(database)
    check_integrity(database)


def check(database: sqlite3.Connection) -> None:
    """Check the tables of a database, but not every page. Raises sqlite3.DatabaseError for damage, and LaterVersion."""
    version = check_version(database, VERSION)
    if version != VERSION:
        raise sqlite3.DatabaseError(f"the format has version {version}, expected {VERSION}")
    # another file could have triggers and views, which run with the statements of this program
    found = {text for (text,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found - {"CREATE TABLE sqlite_sequence(name,seq)"} != set(_TABLES):
        raise sqlite3.DatabaseError("its tables are not those of this program")
    rows = database.execute("SELECT typeof(changes), next_label FROM node").fetchall()
    if len(rows) != 1 or rows[0][0] != "integer":
        raise sqlite3.DatabaseError("its count of changes is missing")
