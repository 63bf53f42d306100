"""Reads the history: days, events and their files. Several processes may do that while the daemon writes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from daemon.core.database import read_database
from daemon.core.errors import HistoryError
from daemon.core.files import ForeignFile, check_own_directory
from daemon.history.files import CLIPS, DATABASE, Which, open_file
from daemon.history.records import Day, KeptEvent, Usage
from daemon.history.rows import COLUMNS, BadRow, Row, event_from
from daemon.history.schema import MAX_DATABASE_BYTES, check

# the daemon checkpoints the journal, or another command deletes
LOCK_TIMEOUT_S = 5.0

MAX_LIMIT = 1000

_SELECT = f"SELECT number, {', '.join(COLUMNS)} FROM events"  # noqa: S608  (constants)

# one step in the index for each value, where DISTINCT would go through all of it
_VALUES = (
    "WITH RECURSIVE found(value) AS (SELECT MIN({0}) FROM events UNION ALL"
    " SELECT (SELECT MIN({0}) FROM events WHERE {0} > value) FROM found WHERE value IS NOT NULL)"
    " SELECT value FROM found WHERE value IS NOT NULL"
)


class HistoryReader:
    """The history of a node, for reading alone. Open it for one request, and close it: it is a context manager.

    Used by one thread at a time. All methods raise HistoryError, of kind `unknown` where nothing was kept yet.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` is that of the history, in the state directory."""
        self._path, self._clips = directory / DATABASE, directory / CLIPS
        with self._faults():
            check_own_directory(directory)
            database = read_database(self._path, LOCK_TIMEOUT_S, 2 * MAX_DATABASE_BYTES)
        self._database = database
        try:
            with self._faults():
                check(database)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> "HistoryReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def days(self) -> list[Day]:
        """Return the days that have events, the latest first."""
        with self._reading() as database:
            rows = database.execute("SELECT day, COUNT(*), SUM(kept) FROM events GROUP BY day ORDER BY day DESC")
            return [Day(str(day), int(events), int(kept)) for day, events, kept in rows]

    def streams(self) -> list[str]:
        """Return the streams that have events."""
        return self._values("stream")

    def labels(self) -> list[str]:
        """Return the labels that have events."""
        return self._values("label")

    def events(
        self,
        *,
        day: str | None = None,
        stream: str | None = None,
        label: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[KeptEvent]:
        """Return the latest events, in the reverse of the order in which they began; of a day, a stream, a label.

        `before` is the number of the last event of the page before. A row that cannot be read is left out.
        """
        conditions: list[tuple[str, object]] = []
        for column, value in (("day", day), ("label", label), ("stream", stream)):
            if value is not None:
                # SQLite uses the index of the first one only: a plus keeps it from using another
                conditions.append((f"{'+' if conditions else ''}{column} = ?", value))
        if before is not None:
            conditions.append(("number < ?", before))
        where = " AND ".join(text for text, _value in conditions)
        query = f"{_SELECT}{' WHERE ' if where else ''}{where} ORDER BY number DESC LIMIT ?"
        values = [value for _text, value in conditions]
        with self._reading() as database:
            rows = database.execute(query, [*values, max(0, min(limit, MAX_LIMIT))]).fetchall()
        return list(_readable(rows))

    def event(self, id: str) -> KeptEvent:  # noqa: A002
        """Return an event."""
        with self._reading() as database:
            row = database.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise HistoryError("unknown", f"there is no event {id} in the history")
        try:
            return event_from(row)
        except BadRow as error:
            raise HistoryError("damaged", f"event {id} cannot be read: {error}") from error

    def beginning(self, shown: str) -> list[str]:
        """Return the ids that begin so, two at most."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT id FROM events WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", (shown, shown + "\x7f")
            ).fetchall()
        return [str(id_) for (id_,) in rows]

    def open_file(self, id: str, which: Which) -> int:  # noqa: A002
        """Return a descriptor for reading the picture or the clip of an event. The caller closes it."""
        return open_file(self._clips, self.event(id), which)

    def usage(self) -> Usage:
        """Return how much there is."""
        with self._reading() as database:
            return usage_of(database)

    def _values(self, column: str) -> list[str]:
        with self._reading() as database:
            return [str(value) for (value,) in database.execute(_VALUES.format(column))]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._faults():
            yield self._database

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise fault_of(self._path, error) from error


def fault_of(path: Path, error: sqlite3.Error | OSError) -> HistoryError:
    """Return why a history cannot be read, or not be changed, in words."""
    if isinstance(error, FileNotFoundError):
        return HistoryError("unknown", f"{path}: there is no such file; no event was kept yet")
    if isinstance(error, ForeignFile):
        return HistoryError("damaged", f"{error.filename} {error.strerror}; the next start of the node sets it aside")
    if isinstance(error, OSError):
        return HistoryError("disk", f"{error.filename or path} cannot be used: {error.strerror}")
    if isinstance(error, sqlite3.OperationalError):
        return HistoryError("disk", f"the history {path} cannot be used: {error}")
    return HistoryError("damaged", f"the history {path} is damaged ({error}); the next start of the node sets it aside")


def usage_of(database: sqlite3.Connection) -> Usage:
    """Return how much there is. Raises sqlite3.Error."""
    totals = database.execute("SELECT events, size_bytes, kept_events, kept_bytes FROM totals").fetchone()
    if totals is None or not all(isinstance(number, int) for number in totals):
        raise sqlite3.DatabaseError("its totals are missing")
    events, size_bytes, kept_events, kept_bytes = totals
    oldest = database.execute("SELECT started_s FROM events ORDER BY number LIMIT 1").fetchone()
    oldest_s = float(oldest[0]) if oldest and isinstance(oldest[0], float) else None
    return Usage(events, size_bytes, kept_events, kept_bytes, oldest_s)


def _readable(rows: list[Row]) -> Iterator[KeptEvent]:
    for row in rows:
        try:
            yield event_from(row)
        except BadRow:
            continue
