"""Makes the index and the files agree when the history is opened: after a power cut, and after a restart."""

import logging
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from daemon.core.database import transaction
from daemon.core.files import remove, sync_directory
from daemon.history.files import ENDINGS, PART, listed
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

_NAMES = "SELECT number || '{1}' FROM events WHERE {0}_bytes IS NOT NULL"
_WITHOUT_FILE = "UPDATE events SET {0}_bytes = NULL WHERE number = ?"


@dataclass(frozen=True, slots=True)
class _Found:
    """What rows and files disagree about, by the names of the files.

    `strays` belong to no event, or lie as a part beside the complete file. `unnamed` are complete, and still have the
    name of a part. `missing` are not there.
    """

    strays: Collection[str]
    unnamed: Collection[str]
    missing: Collection[str]


def make_agree(database: sqlite3.Connection, clips: Path) -> None:
    """End open events, remove files without an event, and correct rows whose files are missing.

    A file that was complete when the power was cut, but had not its name yet, gets it. Raises OSError and
    sqlite3.Error.
    """
    with transaction(database):
        for which in ENDINGS:
            database.execute(_SANE_SIZE.format(which, MAX_FILE_BYTES))
        database.execute(_SANE_MARK)
        opened = database.execute(_END_OPEN).rowcount
        found = _compare(database, clips)
        for which, ending in ENDINGS.items():
            numbers = [(name.removesuffix(ending),) for name in found.missing if name.endswith(ending)]
            database.executemany(_WITHOUT_FILE.format(which), numbers)
        _count_again(database)
    for name in found.strays:
        (clips / name).unlink(missing_ok=True)
    for name in found.unnamed:
        (clips / f"{name}{PART}").replace(clips / name)
    if found.unnamed:
        sync_directory(clips)
    if opened or found.strays or found.missing:
        log.warning(
            "%s: the history was not closed in order; %d events were open, %d files had no event, %d files are missing",
            clips.parent,
            opened,
            len(found.strays),
            len(found.missing),
        )


def _compare(database: sqlite3.Connection, clips: Path) -> _Found:
    """Compare rows and files. What is no file of an event is removed."""
    # there may be a hundred thousand: names alone are a tenth of the work of paths
    present, foreign = listed(clips)
    for name in foreign:
        log.error("%s is no file of the history: it was removed", clips / name)
        remove(clips / name)
    absent = []
    for which, ending in ENDINGS.items():
        for (name,) in database.execute(_NAMES.format(which, ending)):
            if name in present:
                present.discard(name)
            else:
                absent.append(name)
    unnamed = [name for name in absent if f"{name}{PART}" in present]
    strays = present.difference(f"{name}{PART}" for name in unnamed)
    return _Found(strays, unnamed, set(absent).difference(unnamed))


def _count_again(database: sqlite3.Connection) -> None:
    """Count all rows, and their bytes."""
    counted = f"COALESCE(snapshot_bytes, 0) + COALESCE(clip_bytes, 0) + {ROW_BYTES}"
    database.execute(f"UPDATE events SET size_bytes = {counted} WHERE size_bytes != {counted}")  # noqa: S608
    database.execute(
        "UPDATE totals SET (events, size_bytes, kept_events, kept_bytes) = (SELECT COUNT(*),"
        " COALESCE(SUM(size_bytes), 0), COALESCE(SUM(kept), 0), COALESCE(SUM(size_bytes * kept), 0) FROM events)"
    )
