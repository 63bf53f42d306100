"""Keeps the outbox's store: opens it, replaces a damaged one, and writes another one when its file was removed."""

import logging
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.core.database import set_damaged_aside
from daemon.core.files import ForeignFile
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.memory_copy import MemoryCopy
from daemon.mqtt.outbox.queued import QueuedEvents
from daemon.mqtt.outbox.store import OutboxStore

log = logging.getLogger(__name__)

# How often a store that has events of another node is read again: it may be large.
OTHER_NODE_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a store that was just opened changes.

    The numbers that this run has given become higher by `offset`, because the store has these numbers already.
    `left_open` has the latest steps of the events that an earlier run has not ended.
    """

    offset: int
    left_open: list[Entry]


class StoreKeeper:
    """Owns the store. Used by the outbox's thread; any thread may read `store` and `trouble`.

    `trouble` says why events are in memory only; None while they are on disk.
    """

    def __init__(self, path: Path, node: str, counters: Counters, memory: Path | None = None) -> None:
        """`memory` is a directory in memory that outlives the process; None: there is none."""
        self.path, self._node, self._counters = path, node, counters
        self.copy = MemoryCopy(memory, path, node)
        self.store: OutboxStore | None = None
        self.trouble: str | None = None
        self._is_in_place = False
        self._next_try = 0.0

    def keep(self, queued: QueuedEvents, last: int) -> Opened | None:
        """Open the store if it is not open, or if its files were removed; return what changes, or None.

        `queued` knows which rows need not be copied to the next store. `last` is the last number given.
        """
        old = self.store
        problem = None if old is None else old.place.problem()
        self._is_in_place = old is not None and problem is None
        if self._is_in_place:
            return None
        if time.monotonic() < self._next_try:
            return None
        store = self._open("cannot be opened" if problem is None else f"{problem} and cannot be made again")
        if store is None:
            return None
        try:
            self.copy.recover(store)
            opened = self._fill(store, queued, last)
        except sqlite3.Error as error:
            store.close()
            self.report(f"the outbox {self.path} cannot be used: {error}; events wait in memory")
            return None
        self.store, self._is_in_place = store, True
        if old is not None:
            self._counters.drop("outbox_removed")
            log.error("the outbox %s %s; a new file has its %d events", self.path, problem, store.count)
            with suppress(sqlite3.Error):  # nobody needs it any more
                old.close()
        return opened

    def give_up_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Close the store and set its file aside. The next `keep` begins a new one."""
        if self.store is not None:
            self.store.close()
            self.store = None
        self._set_aside(error)

    def report(self, trouble: str) -> None:
        """Set the trouble, and log it when it is new."""
        if trouble != self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble

    def report_written(self) -> None:
        """Note that the store could be written: there is no trouble while its file is where it belongs."""
        if self._is_in_place:
            if self.trouble is not None:
                log.info("events are on disk again, in the outbox %s", self.path)
            self.trouble = None

    @property
    def is_well(self) -> bool:
        """Whether the store is open and in its place, and could be written the last time."""
        return self.store is not None and self._is_in_place and self.trouble is None

    @property
    def count_without_file(self) -> int:
        """How many events are in a store whose file was removed, and end with the process."""
        return 0 if self.store is None or self._is_in_place else self.store.count

    def close(self) -> None:
        """Close the store."""
        if self.store is not None:
            self.store.close()

    def _open(self, failure: str) -> OutboxStore | None:
        """Return the store, or a new one in place of a damaged one; None when there can be none."""
        for _attempt in range(2):
            try:
                if self.store is not None:
                    self.store.place.remove_remains()
                store = OutboxStore(self.path)
            except ForeignFile as error:
                fault: object = f"it {error.strerror}"
            except (sqlite3.OperationalError, OSError) as error:
                self.report(f"the outbox {self.path} {failure}: {error}; events wait in memory")
                return None
            except sqlite3.DatabaseError as error:
                fault = error
            else:
                return store if self._is_ours(store) else None
            if not self._set_aside(fault):
                return None
        return None

    def _is_ours(self, store: OutboxStore) -> bool:
        """Whether no other node has left events in the store. It is closed otherwise."""
        try:
            found = store.of_other_node(self._node)
        except sqlite3.Error as error:
            store.close()
            self.report(f"the outbox {self.path} cannot be used: {error}; events wait in memory")
            return False
        if found is None:
            return True
        store.close()
        count, other = found
        self._next_try = time.monotonic() + OTHER_NODE_RETRY_S
        self.report(
            f"the outbox {self.path} has {count} events of node {other}, which node {self._node} must not send: set "
            f"another state_directory for one of them, or remove the file if there is no node {other} any more; events "
            "wait in memory"
        )
        return False

    def _fill(self, store: OutboxStore, queued: QueuedEvents, last: int) -> Opened:
        """Copy what the present store has to the next one, above the numbers that are there. Raises sqlite3.Error."""
        offset, left_open = store.last_sequence, store.open_events()
        if self.store is not None:
            own = {entry.event for entry in self.store.open_events()}
            left_open = [entry for entry in left_open if entry.event not in own]
            store.take_over(self.store, queued.removable(), offset=offset, last=last + offset)
        elif offset == 0 and last > 0:  # the numbers go on, whatever happens next
            store.write([], [], queued=0, last=last)
        return Opened(offset, left_open)

    def _set_aside(self, fault: object) -> bool:
        self._counters.drop("outbox_damaged")
        try:
            set_damaged_aside(self.path, fault, "the outbox")
        except OSError as error:
            self.report(f"the outbox {self.path} cannot be replaced: {error}; events wait in memory")
            return False
        return True
