"""The open store of the thread `history`, and why nothing is kept while the disk refuses something."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from daemon.core.errors import HistoryError, HistoryFault
from daemon.core.logs import rate_limited_logger
from daemon.core.timing import NS_PER_S
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent, Quota, Usage
from daemon.history.store import HistoryStore

log = rate_limited_logger(__name__)

# how long after a refusal the disk is asked again
RETRY_NS = 2 * NS_PER_S


class HistoryDisk:
    """Opens the store, and sees when a disk that was full has room again. Used by the thread `history`.

    `store` is None until it can be opened. `problem` says why events or clips are not kept; None: they are. `lost` says
    which earlier events were lost. `usage` says how much there is. All three can be read from any thread.
    """

    def __init__(self, directory: Path, quota: Quota) -> None:
        self._directory = directory
        self._quota = quota
        self._retry_ns = 0
        self._kind: HistoryFault | None = None
        self.store: HistoryStore | None = None
        self.problem: str | None = None
        self.lost: str | None = None
        self.usage: Usage | None = None

    def look(self, now_ns: int) -> HistoryStore | None:
        """Return the store; open it if it is not open and its time has come. See whether a problem is over."""
        if (self.store is None or self.problem is not None) and now_ns >= self._retry_ns:
            try:
                if self.store is None:
                    self.store = HistoryStore(self._directory, self._quota)
                self.store.check_room()
            except HistoryError as error:
                self.note(error.kind, str(error), now_ns)
            else:
                self._recover()
        self.lost = None if self.store is None else self.store.problem
        return self.store

    def note(self, kind: HistoryFault, problem: str, now_ns: int) -> None:
        """Note why something is not kept, and log it once: the words of another try may have other numbers."""
        if kind != self._kind:
            log.warning("%s", problem)
            self._kind, self.problem = kind, problem
        self._retry_ns = now_ns + RETRY_NS

    def count(self) -> None:
        """Count what is kept. Raises HistoryError."""
        if self.store is not None:
            self.usage = self.store.usage()

    def events(self, ids: Collection[str]) -> list[KeptEvent]:
        """Return events as they are in the index now; deleted ones are left out."""
        found = []
        with suppress(HistoryError), HistoryReader(self._directory) as reader:
            for each in ids:
                with suppress(HistoryError):
                    found.append(reader.event(each))
        return found

    def close(self) -> None:
        """Close the store."""
        if self.store is not None:
            self.store.close()
            self.store = None

    def _recover(self) -> None:
        if self.problem is not None:
            log.info("the history has room: events are kept again")
        self._kind = self.problem = None
        self.count()
