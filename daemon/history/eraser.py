"""Deletes events for a command that a person types, also while the daemon writes."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from daemon.core.database import open_database, transaction
from daemon.core.files import check_own_directory
from daemon.history.files import CLIPS, DATABASE, remove_all, remove_aside
from daemon.history.reader import LOCK_TIMEOUT_S, fault_of
from daemon.history.schema import MAX_DATABASE_BYTES, PRAGMAS, check

# Deleting many at once would hold up the daemon.
MAX_AT_ONCE = 500


class HistoryEraser:
    """Deletes events and their files. A context manager; used by one thread. All methods raise HistoryError."""

    def __init__(self, directory: Path) -> None:
        """Open the history of this directory, which is there."""
        self._directory, self._path = directory, directory / DATABASE
        with self._faults():
            check_own_directory(directory)
            self._database = open_database(self._path, PRAGMAS, LOCK_TIMEOUT_S, 2 * MAX_DATABASE_BYTES)
        try:
            with self._faults():
                check(self._database)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> "HistoryEraser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def delete(self, ids: Sequence[str]) -> Iterator[int]:
        """Delete these events; yield the count of each step."""
        return self._delete_in_steps(f"id IN ({', '.join('?' * len(ids))})", ids)

    def delete_before(self, day: str) -> Iterator[int]:
        """Delete the events of the days before this one, but for those that stay; yield the count of each step."""
        return self._delete_in_steps("day < ? AND kept = 0", [day])

    def delete_all(self) -> Iterator[int]:
        """Delete all events, also those that stay, and what was set aside; yield the count of each step."""
        yield from self._delete_in_steps("1", [])
        with self._faults():
            remove_aside(self._directory)

    def empty_journal(self) -> None:
        """Move the journal (WAL) into the database, and empty it: it may have rows that were deleted."""
        with self._faults():
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _delete_in_steps(self, condition: str, values: Sequence[str]) -> Iterator[int]:
        while count := self._delete(condition, values):
            yield count

    def _delete(self, condition: str, values: Sequence[str]) -> int:
        with self._faults():
            with transaction(self._database) as database:
                query = f"SELECT number FROM events WHERE {condition} ORDER BY number LIMIT ?"  # noqa: S608  (ours)
                numbers = [number for (number,) in database.execute(query, [*values, MAX_AT_ONCE])]
                database.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in numbers])
            remove_all(self._directory / CLIPS, numbers)
        return len(numbers)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise fault_of(self._path, error) from error
