"""The open file of what was taught: opened again when it was removed, set aside when it is damaged."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.core.database import Place, open_database, opened_or_anew, read_database, set_damaged_aside, transaction
from daemon.core.errors import TeachingError
from daemon.core.files import create_own_directory
from daemon.teaching.blobs import BadBytes
from daemon.teaching.schema import MAX_DATABASE_BYTES, PRAGMAS, check, create_or_check

log = logging.getLogger(__name__)

# another process reads for a fit, or imports
LOCK_TIMEOUT_S = 5.0

# So much of the disk stays free: examples can be removed then, which takes room for a moment.
RESERVE_BYTES = 8 << 20


class TeachingDatabase:
    """Implements reading and changing in transactions. All methods raise TeachingError; used by one thread at a time.

    `problem` says what was lost, in words: the file was damaged, or removed while it was open. None: nothing was.
    `openings` counts how often the file was opened: after the first time, it is another one.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path, self._read_only = path, read_only
        self._title = f"the file of what was taught {path}"
        self.problem: str | None = None
        self.openings = 0
        self._database: sqlite3.Connection | None = None
        self._place: Place | None = None
        with self._faults():
            self._connection()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the database for reading: all that the block reads is of one instant."""
        with self._faults():
            database = self._connection()
            if database.in_transaction:
                yield database
                return
            database.execute("BEGIN")
            try:
                yield database
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Give the database for a change, which is on disk after the block, or not at all when the block raises."""
        if self._read_only:
            raise TeachingError("disk", "the file of what was taught is open for reading only")
        with self._faults():
            database = self._connection()
            if database.in_transaction:
                yield database
                return
            with transaction(database):
                yield database

    def check_room(self) -> None:
        """Check that the disk has room for more. Raises TeachingError."""
        try:
            disk = os.statvfs(self._path.parent)
        except OSError as error:
            raise _disk_error(self._path, error) from error
        free = disk.f_bavail * disk.f_frsize
        if free < RESERVE_BYTES:
            raise TeachingError(
                "disk",
                f"the disk of {self._path.parent} has {free >> 20} MB free, at least {RESERVE_BYTES >> 20} MB "
                "must stay free: make room there",
            )

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        """Return the open database; open it where it is not, or where its file was removed."""
        if self._database is not None and (fault := self._place_problem(self._database)) is not None:
            self._lost(f"{self._title} {fault} while it was open: what was taught is lost")
            self.close()
        if self._database is None:
            try:
                self._database = self._open()
            except OSError as error:
                raise _disk_error(self._path, error) from error
            self._place = Place(self._path)
            self.openings += 1
        return self._database

    def _place_problem(self, database: sqlite3.Connection) -> str | None:
        """Return what has happened to the file between two changes; None: nothing."""
        is_checked = self._place is not None and not self._read_only and not database.in_transaction
        return self._place.problem() if is_checked and self._place is not None else None

    def _open(self) -> sqlite3.Connection:
        if self._read_only:
            return _checked(read_database(self._path, LOCK_TIMEOUT_S, 2 * MAX_DATABASE_BYTES), read_only=True)
        self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if problem := create_own_directory(self._path.parent):
            self._lost(f"{self._path.parent} {problem}: a new one was made")
        return opened_or_anew(self._open_or_create, self._set_aside)

    def _open_or_create(self) -> sqlite3.Connection:
        database = open_database(self._path, PRAGMAS, LOCK_TIMEOUT_S, 2 * MAX_DATABASE_BYTES)
        return _checked(database, read_only=False)

    def _set_aside(self, fault: object) -> None:
        self.problem = f"{self._title} was damaged ({fault}) and set aside: teach again, or import a copy"
        set_damaged_aside(self._path, fault, "the file of what was taught")

    def _lost(self, problem: str) -> None:
        self.problem = problem
        log.error("%s", problem)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn the faults of SQLite into words. Other errors of a block are its own."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise TeachingError("disk", f"{self._title} cannot be used: {error}") from error
        except sqlite3.IntegrityError as error:
            raise TeachingError("invalid", f"{self._title} takes no second one: {error}") from error
        except sqlite3.Error as error:
            self._give_up(error)
            raise TeachingError("damaged", self.problem or f"{self._title} is damaged: {error}") from error
        except BadBytes as error:
            raise TeachingError("damaged", f"{self._title} cannot be read in part: {error}") from error

    def _give_up(self, error: sqlite3.Error) -> None:
        """Close a damaged file and set it aside; the next call begins a new one."""
        self.close()
        if not self._read_only and type(error) is sqlite3.DatabaseError:
            try:
                self._set_aside(error)
            except OSError as failure:
                raise _disk_error(self._path, failure) from failure


def _disk_error(path: Path, error: OSError) -> TeachingError:
    return TeachingError("disk", f"the file of what was taught {path} cannot be used: {error.strerror or error}")


def _checked(database: sqlite3.Connection, *, read_only: bool) -> sqlite3.Connection:
    try:
        (check if read_only else create_or_check)(database)
    except BaseException:
        database.close()
        raise
    return database
