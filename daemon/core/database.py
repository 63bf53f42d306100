"""Opens a durable SQLite file in the state directory, and changes it completely or not at all.

The files are looked at by name, and none of them is opened here once SQLite has it open. Closing any descriptor of a
database drops the locks of its process, and with them the protection from a second process.
"""

import errno
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from daemon.core.files import ForeignFile, create_own, own_file_problem, remove, set_aside, sync_directory

log = logging.getLogger(__name__)

Identity = tuple[int, int]

FILE_MODE = 0o600

# of a question about the version: whoever waits longer finds that another process uses the file
VERSION_TIMEOUT_S = 0.1


class LaterVersion(sqlite3.OperationalError):
    """A later version of this program has written a database, which stays as it is."""

    def __init__(self, found: int, newest: int) -> None:
        super().__init__(
            f"a later version of perceptd has written it (version {found}, this one reads {newest}); the next start of "
            "the node sets it aside"
        )


def open_database(
    path: Path, pragmas: Sequence[str], timeout_s: float, most_bytes: int = sys.maxsize
) -> sqlite3.Connection:
    """Open or create a database for its owner alone, and its directory; each statement commits by itself.

    Raises sqlite3.Error, ForeignFile where the file is none of ours, and OSError when there can be none.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_files(path, most_bytes)
    if not path.exists():  # SQLite would make it readable for everybody
        with create_own(path) as file:
            os.fchmod(file.fileno(), FILE_MODE)
        sync_directory(path.parent)
    if path.stat().st_mode & 0o777 != FILE_MODE:  # an earlier version has left it to the umask
        path.chmod(FILE_MODE)
    return _connect(path.absolute().as_uri(), pragmas, timeout_s)


def opened_or_anew(opened: Callable[[], sqlite3.Connection], put_aside: Callable[[object], None]) -> sqlite3.Connection:
    """Return what `opened` opens. Where it finds damage or a foreign file, put that aside, and open a new one.

    `put_aside` is called with the fault. Raises what `opened` raises otherwise, such as for a disk that is full.
    """
    try:
        return opened()
    except ForeignFile as error:
        put_aside(f"it {error.strerror}")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        put_aside(error)
    return opened()


def read_database(path: Path, timeout_s: float, most_bytes: int = sys.maxsize) -> sqlite3.Connection:
    """Open a database that is there for reading alone. Raises as `open_database` does."""
    if problem := own_file_problem(path, os.lstat(path), most_bytes):
        raise ForeignFile(path, problem)
    return _connect(path.absolute().as_uri() + "?mode=ro", ["trusted_schema = OFF"], timeout_s)


def _connect(uri: str, pragmas: Sequence[str], timeout_s: float) -> sqlite3.Connection:
    # one thread opens a database, and another uses it afterwards
    database = sqlite3.connect(uri, timeout=timeout_s, isolation_level=None, check_same_thread=False, uri=True)
    # damaged text is no fault of the connection: what reads it checks it
    database.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        for pragma in pragmas:
            database.execute(f"PRAGMA {pragma}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit the block's statements, or undo all of them when the block raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        # after an error such as a full disk, SQLite may have undone the transaction already
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def check_version(database: sqlite3.Connection, newest: int) -> int:
    """Return the version of a database, 0 for a new one. Raises LaterVersion."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise LaterVersion(version, newest)
    return int(version)


def database_version(path: Path) -> int | None:
    """Return the version of a closed database, whose journal is part of its file afterwards; None: it is damaged.

    Raises OSError with EBUSY where another process uses it.
    """
    try:
        database = open_database(path, ("trusted_schema = OFF",), VERSION_TIMEOUT_S)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
        finally:
            database.close()
    except ForeignFile:
        return None
    except sqlite3.OperationalError as error:
        raise OSError(errno.EBUSY, str(error), str(path)) from error
    except sqlite3.Error:
        return None
    if any(beside.exists() and beside.stat().st_size > 0 for beside in files_beside(path)[::2]):
        raise OSError(errno.EBUSY, "another process uses it", str(path))
    return int(version)


def check_integrity(database: sqlite3.Connection) -> None:
    """Look at the structure of the whole database. Raises sqlite3.DatabaseError with the first fault."""
    (fault,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if fault != "ok":
        raise sqlite3.DatabaseError(str(fault))


def check_files(path: Path, most_bytes: int = sys.maxsize) -> None:
    """Look at the files before SQLite opens them. Raises ForeignFile where the database is none of ours, and OSError.

    What lies in the place of a file beside it is removed: the database is complete up to an earlier transaction.
    """
    if problem := _problem(path, most_bytes):
        raise ForeignFile(path, problem)
    for beside in files_beside(path):
        if problem := _problem(beside, most_bytes):
            log.error("%s %s: it was removed", beside, problem)
            remove(beside)


def set_damaged_aside(path: Path, fault: object, title: str) -> None:
    """Rename a damaged database, and remove what SQLite keeps beside it. Raises OSError.

    `title` names the database in the log.
    """
    for beside in files_beside(path):
        if os.path.lexists(beside):
            remove(beside)
    log.error("%s %s is damaged (%s); it is now %s and a new one begins", title, path, fault, set_aside(path))


class Place:
    """Where an open database and its journal (WAL) lie. Tells when somebody has removed or replaced one of them.

    SQLite goes on writing to a file that has no name any more.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the database, which SQLite has just opened."""
        self._path, self._journal_path = path, files_beside(path)[0]
        self._database, self._journal = _identity(path), _identity(self._journal_path)

    def problem(self) -> str | None:
        """Return what has happened to the files, in words; None while they are there."""
        try:
            database, journal = _identity(self._path), _identity(self._journal_path)
        except OSError:  # nobody can say, and SQLite may still be able to write
            return None
        if self._journal is None:  # SQLite makes the journal with the first transaction
            self._journal = journal
        if database != self._database:
            return "was removed" if database is None else "was replaced by another file"
        return None if journal == self._journal else "has lost its journal"

    def remove_remains(self) -> None:
        """Remove the files that are still there, and nothing else. Raises OSError.

        SQLite would take a journal for that of the next database, whatever that is.
        """
        for path, identity in ((self._path, self._database), (self._journal_path, self._journal)):
            if identity is not None and _identity(path) == identity:
                path.unlink()


def files_beside(path: Path) -> list[Path]:
    """Return the paths of the files that SQLite keeps beside a database, its journal (WAL) first."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _problem(path: Path, most_bytes: int) -> str | None:
    try:
        return own_file_problem(path, os.lstat(path), most_bytes)
    except FileNotFoundError:
        return None


def _identity(path: Path) -> Identity | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
