"""The files of the outbox as the file system shows them. None of them is opened here.

Closing any descriptor of a database drops the locks of its process, and with them the protection from a second daemon.
"""

import logging
import os
import sys
from pathlib import Path

from daemon.core.files import ForeignFile, own_file_problem, remove, set_aside

log = logging.getLogger(__name__)

Identity = tuple[int, int]


def check_files(path: Path) -> None:
    """Look at the files before SQLite opens them. Raises ForeignFile where the database is none of ours, and OSError.

    What lies in the place of a file beside it is removed: the database is complete up to an earlier transaction.
    """
    if problem := _problem(path):
        raise ForeignFile(path, problem)
    for beside in files_beside(path):
        if problem := _problem(beside):
            log.error("%s %s: it was removed", beside, problem)
            remove(beside)


def set_damaged_aside(path: Path, fault: object) -> None:
    """Rename a damaged database, and remove what SQLite keeps beside it. Raises OSError."""
    for beside in files_beside(path):
        if os.path.lexists(beside):
            remove(beside)
    log.error("the outbox %s is damaged (%s); it is now %s and a new one begins", path, fault, set_aside(path))


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


def _problem(path: Path) -> str | None:
    try:
        return own_file_problem(path, os.lstat(path), sys.maxsize)
    except FileNotFoundError:
        return None


def _identity(path: Path) -> Identity | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
