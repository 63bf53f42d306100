"""Makes the index and the files agree when the history is opened: after a power cut, and after a restart."""

import logging
import sqlite3
from pathlib import Path

from daemon.core.database import transaction
from daemon.core.files import remove, sync_directory
from daemon.history.files import ENDINGS, Which, file_of, listed, part_of
from daemon.history.rows import MAX_FILE_BYTES
from daemon.history.schema import ROW_BYTES

log = logging.getLogger(__name__)

# as the outbox ends the events that were open when the power was cut
_END_OPEN = (
    "UPDATE events SET ended_s = MAX(started_s, peak_s), ended_by = 'restart', snapshot_bytes = NULL,"
    " clip_bytes = NULL WHERE ended_by IS NULL"
)

# a row of a damaged page may have anything
_SANE_SIZE = (
    "UPDATE events SET {0}_bytes = NULL WHERE {0}_bytes IS NOT NULL"
    " AND (typeof({0}_bytes) != 'integer' OR {0}_bytes NOT BETWEEN 1 AND {1})"
)
_SANE_MARK = "UPDATE events SET kept = 1 WHERE kept NOT IN (0, 1)"

# Files of `found` that no row knows, or of which there is a complete one beside the part.
_STRAYS = (
    "SELECT number, which, is_part FROM found WHERE NOT EXISTS (SELECT 1 FROM events"
    " WHERE events.number = found.number"
    " AND (CASE which WHEN 'clip' THEN clip_bytes ELSE snapshot_bytes END) IS NOT NULL)"
    " OR is_part AND EXISTS (SELECT 1 FROM found AS other"
    " WHERE other.number = found.number AND other.which = found.which AND NOT other.is_part)"
)

_WITHOUT_FILE = (
    "UPDATE events SET {0}_bytes = NULL WHERE {0}_bytes IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM found WHERE found.number = events.number AND which = '{0}')"
)


def make_agree(database: sqlite3.Connection, clips: Path) -> None:
    """End open events, remove files without an event, and correct rows whose files are missing.

    A file that was complete when the power was cut, but had not its name yet, gets it. Raises OSError and
    sqlite3.Error.
    """
    database.execute(
        "CREATE TEMP TABLE found (number INTEGER, which TEXT, is_part INTEGER, PRIMARY KEY (number, which, is_part))"
    )
    try:
        with transaction(database):
            _look(database, clips)
            for which in ENDINGS:
                database.execute(_SANE_SIZE.format(which, MAX_FILE_BYTES))
            database.execute(_SANE_MARK)
            opened = database.execute(_END_OPEN).rowcount
            strays = database.execute(_STRAYS).fetchall()
            database.executemany("DELETE FROM found WHERE number = ? AND which = ? AND is_part = ?", strays)
            missing = sum(database.execute(_WITHOUT_FILE.format(which)).rowcount for which in ENDINGS)
            _count_again(database)
        for number, which, is_part in strays:
            _path(clips, number, which, is_part).unlink(missing_ok=True)
        _finish_names(database, clips)
    finally:
        database.execute("DROP TABLE found")
    if opened or strays or missing:
        log.warning(
            "%s: the history was not closed in order; %d events were open, %d files had no event, %d files are missing",
            clips.parent,
            opened,
            len(strays),
            missing,
        )


def _look(database: sqlite3.Connection, clips: Path) -> None:
    """Note all files. What is no file of an event is removed."""
    rows, foreign = [], []
    for path, number, which, is_part in listed(clips):
        if number is None:
            foreign.append(path)
        else:
            rows.append((number, which, is_part))
    database.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", rows)
    for path in foreign:
        log.error("%s is no file of the history: it was removed", path)
        remove(path)


def _finish_names(database: sqlite3.Connection, clips: Path) -> None:
    parts = database.execute("SELECT number, which FROM found WHERE is_part").fetchall()
    for number, which in parts:
        part_of(clips, number, which).replace(file_of(clips, number, which))
    if parts:
        sync_directory(clips)


def _count_again(database: sqlite3.Connection) -> None:
    """Count all rows, and their bytes."""
    counted = f"COALESCE(snapshot_bytes, 0) + COALESCE(clip_bytes, 0) + {ROW_BYTES}"
    database.execute(f"UPDATE events SET size_bytes = {counted} WHERE size_bytes != {counted}")  # noqa: S608
    database.execute(
        "UPDATE totals SET (events, size_bytes, kept_events, kept_bytes) = (SELECT COUNT(*),"
        " COALESCE(SUM(size_bytes), 0), COALESCE(SUM(kept), 0), COALESCE(SUM(size_bytes * kept), 0) FROM events)"
    )


def _path(clips: Path, number: int, which: Which, is_part: int) -> Path:
    return part_of(clips, number, which) if is_part else file_of(clips, number, which)
