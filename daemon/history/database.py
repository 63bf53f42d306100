"""The open database of the history: opened again when it was removed, set aside when it is damaged."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.core.database import Place, open_database, opened_or_anew, set_damaged_aside, transaction
from daemon.core.errors import HistoryError
from daemon.core.files import create_own_directory, set_aside, sync_directory
from daemon.history.files import CLIPS, DATABASE
from daemon.history.recovery import make_agree
from daemon.history.schema import MAX_DATABASE_BYTES, PRAGMAS, create_or_check

log = logging.getLogger(__name__)

# `perceptd history delete` deletes in small steps
LOCK_TIMEOUT_S = 5.0


class HistoryDatabase:
    """Gives the database for reading, and for a change. All methods raise HistoryError; used by one thread at a time.

    Each opening makes index and files agree. `problem` says what was lost, in words; None: nothing was. `openings`
    counts how often the file was opened: after the first time, it is another one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._path = directory, directory / DATABASE
        self.clips = directory / CLIPS
        self.problem: str | None = None
        self._database: sqlite3.Connection | None = None
        self._place: Place | None = None
        self.openings = 0
        with self.reading():
            pass

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the database for reading."""
        with self._faults():
            yield self._connection()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Give the database for a change, which is on disk after the block, or not at all when the block raises."""
        with self._faults(), transaction(self._connection()) as database:
            yield database

    def empty_journal(self) -> bool:
        """Move the journal (WAL) into the database, and empty it; return whether nobody was reading just then.

        The journal may have rows that were deleted since.
        """
        with self._faults():
            database = self._connection()
            database.execute("PRAGMA busy_timeout = 0")
            try:
                (is_busy, _pages, _moved) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not is_busy
            finally:
                database.execute(f"PRAGMA busy_timeout = {round(LOCK_TIMEOUT_S * 1000)}")

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        """Return the open database; open it where it is not, or where its file or the directory was removed."""
        if self._database is not None and self._place is not None and not self._database.in_transaction:
            if (fault := self._place.problem()) is not None:
                self._lost(f"the history {self._path} {fault} while it was open: its events are lost")
                self.close()
            elif not self.clips.is_dir():
                self._lost(f"{self.clips} was removed while it was open: the pictures and clips of events are lost")
                self.close()
        if self._database is None:
            self._database = self._open()
            self._place = Place(self._path)
            self.openings += 1
        return self._database

    def _open(self) -> sqlite3.Connection:
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if problem := create_own_directory(self._directory):
            self._lost(f"{self._directory} {problem}: a new one was made")
        return opened_or_anew(self._open_or_create, self._set_aside)

    def _open_or_create(self) -> sqlite3.Connection:
        database = open_database(self._path, PRAGMAS, LOCK_TIMEOUT_S, 2 * MAX_DATABASE_BYTES)
        try:
            create_or_check(database)
            if problem := create_own_directory(self.clips):
                self._lost(f"{self.clips} {problem}: a new one was made")
            make_agree(database, self.clips)
        except BaseException:
            database.close()
            raise
        return database

    def _set_aside(self, fault: object) -> None:
        """Set a damaged database aside, and the files of its events with it: nobody knows any more what they show."""
        set_damaged_aside(self._path, fault, "the history")
        aside = ""
        if self.clips.is_dir() and not self.clips.is_symlink():
            aside = f"; its pictures and clips are in {set_aside(self.clips)}"
            sync_directory(self._directory)
        self._lost(f"the history {self._path} was damaged ({fault}) and set aside{aside}")

    def _lost(self, problem: str) -> None:
        self.problem = problem
        log.error("%s", problem)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn the faults of SQLite and of the disk into words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise HistoryError("disk", f"the history {self._path} cannot be used: {error}") from error
        except sqlite3.Error as error:
            self._give_up(error)
            raise HistoryError("damaged", self.problem or f"the history {self._path} is damaged: {error}") from error
        except OSError as error:
            raise disk_error(self._path, error) from error

    def _give_up(self, error: sqlite3.Error) -> None:
        """Close a damaged file and set it aside; the next call begins a new one."""
        self.close()
        if type(error) is sqlite3.DatabaseError:
            try:
                self._set_aside(error)
            except OSError as failure:
                raise disk_error(self._path, failure) from failure


def disk_error(path: Path, error: OSError) -> HistoryError:
    """Return the error of a disk that is full or failing, in words."""
    return HistoryError("disk", f"the history {error.filename or path} cannot be used: {error.strerror or error}")
