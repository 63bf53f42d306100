"""Keeps the store of what was taught open, and tries again when the disk has refused it."""

from pathlib import Path

from daemon.core.errors import TeachingError
from daemon.core.timing import NS_PER_S
from daemon.teaching.store import TeachingStore

RETRY_NS = 30 * NS_PER_S
TIDY_NS = 3600 * NS_PER_S


class TeachingFile:
    """The store of a node. Used by the thread `teaching`, which alone waits for its disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: TeachingStore | None = None
        self._error: TeachingError | None = None
        self._retry_ns = self._tidied_ns = 0

    def open(self, now_ns: int) -> TeachingStore:
        """Return the store. Raises TeachingError; the next attempt to open it comes after RETRY_NS."""
        if self._store is None:
            if self._error is not None and now_ns < self._retry_ns:
                raise self._error
            try:
                self._store = TeachingStore(self._path)
            except TeachingError as error:
                self._error, self._retry_ns = error, now_ns + RETRY_NS
                raise
            self._error, self._tidied_ns = None, now_ns
        elif now_ns - self._tidied_ns > TIDY_NS:
            self._tidied_ns = now_ns
            self._store.tidy()
        return self._store

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()
            self._store = None
