"""The outbox: events are on disk before they are published, and stay there until the broker has acknowledged them."""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox_store import Entry, OutboxStore
from daemon.mqtt.payloads import EventPayload, ended_by_restart

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""Events that wait in memory while the disk is slow, or fails."""
REMOVED_AT_ONCE, REMOVED_WITHIN_S = 100, 1.0
"""What the broker has acknowledged is removed when there is so much of it, or so soon."""
AGED_EVERY_S = 60.0
"""How often it is looked for events that are too old."""
MEBIBYTE = 1 << 20
HOUR_S = 3600.0


class OutboxStatus(TypedDict):
    """What waits for the broker, and whether it is safe from a power cut; `trouble` says why not."""

    waiting: int
    stored: int
    stored_bytes: int
    coalesced: int
    trouble: str | None


class Outbox:
    """Numbers events, writes them in batches, and hands them on in their order.

    One thread, named `outbox`, owns the file. On it `hand_on` is called with what may be sent now, at most `room()` at
    a time. While the disk fails, events are handed on from memory; the status and the log say so.
    """

    def __init__(
        self,
        path: Path,
        config: OutboxConfig,
        counters: Counters,
        *,
        hand_on: Callable[[list[Entry]], None],
        room: Callable[[], int],
    ) -> None:
        self._path, self._config, self._counters = path, config, counters
        self._hand_on, self._room = hand_on, room
        self._changed = threading.Condition()
        self._incoming: deque[Entry] = deque()
        self._acknowledged: list[int] = []
        self._woken = self._closing = self._has_opened = False
        self._last = self._handed = self._coalesced = 0
        self._store: OutboxStore | None = None
        self._trouble: str | None = None
        # handed on without being stored: the store learns of it when it works again
        self._unsafe: deque[Entry] = deque(maxlen=MAX_WAITING)
        self._aged_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Open the store, end the events that an earlier run left open, and begin."""
        self._open()
        self._thread.start()

    def add(self, topic: str, payload: EventPayload) -> bool:
        """Number an event and queue it to be written. Never blocks; False when too many wait, which is counted."""
        with self._changed:
            if self._closing or len(self._incoming) >= MAX_WAITING:
                self._counters.drop("event_stopped" if self._closing else "event_unwritten")
                return False
            self._last += 1
            numbered = payload.model_copy(update={"sequence": self._last})
            self._incoming.append(Entry(self._last, topic, payload.id, payload.phase, numbered.to_json()))
            self._changed.notify()
            return True

    def acknowledged(self, sequence: int) -> None:
        """The broker has it, or will never take it: it can be removed. Callable from any thread."""
        with self._changed:
            self._acknowledged.append(sequence)
            self._changed.notify()

    def wake(self) -> None:
        """There is room to hand on more. Callable from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    @property
    def last_sequence(self) -> int:
        """Of the latest event that was added."""
        return self._last

    @property
    def is_behind(self) -> bool:
        """Whether there are events that were not handed on yet."""
        return self._handed < self._last

    def status(self) -> OutboxStatus:
        """A snapshot for health."""
        store = self._store
        return {
            "waiting": len(self._incoming),
            "stored": store.count if store else 0,
            "stored_bytes": store.size_bytes if store else 0,
            "coalesced": self._coalesced,
            "trouble": self._trouble,
        }

    def close(self, deadline_s: float) -> bool:
        """Write what waits, give the file back, and end; says whether that was done within the deadline."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    # What follows runs on the outbox's own thread, but for what `start` calls before it is there.

    def _run(self) -> None:
        while True:
            entries, acknowledged, closing = self._next_batch()
            is_written = self._write(entries, acknowledged)
            self._tidy()
            done = self._pass_on(entries, is_written)
            with self._changed:
                for _ in range(done):
                    self._incoming.popleft()
                if not is_written and self._store is not None:
                    self._acknowledged[:0] = acknowledged
            if closing:
                break
        if self._store is not None:
            self._store.close()
        self._count("event_unwritten", len(self._incoming))

    def _next_batch(self) -> tuple[list[Entry], list[int], bool]:
        """Wait for work. Entries stay queued until they are written; after a failure it is tried once a second."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    (self._incoming and self._trouble is None)
                    or self._woken
                    or self._closing
                    or (len(self._acknowledged) >= REMOVED_AT_ONCE and self._trouble is None)
                ),
                REMOVED_WITHIN_S,
            )
            self._woken = False
            acknowledged, self._acknowledged = self._acknowledged, []
            return list(self._incoming), acknowledged, self._closing

    def _write(self, entries: list[Entry], acknowledged: list[int]) -> bool:
        """Whether all is on disk now."""
        if self._store is None:
            self._open()
        if self._store is None:
            return False
        if not entries and not acknowledged and self._trouble is None:
            return True
        try:
            self._coalesced += self._store.write(entries, acknowledged, handed=self._handed, sent=self._unsafe)
            self._unsafe.clear()
        except sqlite3.OperationalError as error:
            self._say(f"the outbox {self._path} cannot be written: {error}; events are kept in memory")
            return False
        except sqlite3.DatabaseError as error:
            self._store.close()
            self._store = self._renewed(error)
            return False
        self._say(None)
        return True

    def _tidy(self) -> None:
        """Drop what is too old or too much."""
        if self._store is None:
            return
        try:
            if time.monotonic() - self._aged_at >= AGED_EVERY_S:
                self._aged_at = time.monotonic()
                self._count("event_too_old", self._store.drop_old(self._config.max_age_h * HOUR_S, handed=self._handed))
            most_bytes = round(self._config.max_mb * MEBIBYTE)
            if self._store.size_bytes > most_bytes:
                self._count("event_overflow", self._store.drop_beyond(most_bytes, handed=self._handed))
        except sqlite3.Error as error:
            self._say(f"the outbox {self._path} cannot be tidied: {error}")

    def _pass_on(self, entries: list[Entry], is_written: bool) -> int:
        """Hand on what there is room for, from the store first; returns how many of the entries are done with."""
        room = self._room()
        ready = self._read(room)
        if ready is None:  # what is there must not be overtaken
            return len(entries) if is_written else 0
        self._hand(ready)
        if is_written:
            if len(ready) < room:  # what lies between was made needless, or dropped
                self._handed = max(self._handed, self._store.last_sequence if self._store else 0)
            return len(entries)
        unsafe = entries[: max(0, room - len(ready))]
        self._hand(unsafe)
        self._unsafe += unsafe
        return len(unsafe)

    def _read(self, limit: int) -> list[Entry] | None:
        """The next entries in the store; None when it cannot be read."""
        if self._store is None or limit <= 0:
            return []
        try:
            return self._store.read(self._handed, limit)
        except sqlite3.Error as error:
            self._say(f"the outbox {self._path} cannot be read: {error}")
            return None

    def _hand(self, entries: list[Entry]) -> None:
        if entries:
            self._handed = entries[-1].sequence
            self._hand_on(entries)

    def _open(self) -> None:
        """Try to open the store; numbers go on above those that it has, and above our own.

        What is open in it when it is opened first was left so by an earlier run, for none of this one is stored yet.
        """
        store = self._opened()
        if store is None:
            return
        try:
            store.count_on_from(self._last)
            left_open = [] if self._has_opened else store.open_events()
            with self._changed:
                self._last = store.last_sequence
            for entry in left_open:
                self._end_after_restart(entry, store)
        except sqlite3.Error as error:
            self._say(f"the outbox {self._path} cannot be used: {error}; events are kept in memory")
            store.close()
            return
        self._store, self._has_opened = store, True

    def _opened(self) -> OutboxStore | None:
        """The store, a new one in place of one that is damaged, or None when there can be none."""
        try:
            return OutboxStore(self._path)
        except (sqlite3.OperationalError, OSError) as error:
            self._say(f"the outbox {self._path} cannot be opened: {error}; events are kept in memory")
            return None
        except sqlite3.DatabaseError as error:
            return self._renewed(error)

    def _renewed(self, error: sqlite3.DatabaseError) -> OutboxStore | None:
        """A new store; the damaged one is set aside, in place of one set aside before."""
        aside = self._path.with_suffix(".damaged")
        self._count("outbox_damaged", 1)
        log.error("the outbox %s is damaged (%s): it is now %s, and a new one begins", self._path, error, aside)
        try:
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._path.replace(aside)
            store = OutboxStore(self._path)
            store.count_on_from(self._last)
        except (sqlite3.Error, OSError) as again:
            self._say(f"the outbox {self._path} cannot be made anew: {again}; events are kept in memory")
            return None
        return store

    def _end_after_restart(self, entry: Entry, store: OutboxStore) -> None:
        try:
            payload = EventPayload.model_validate_json(entry.payload)
        except ValidationError:
            log.warning(
                "the outbox %s has an open event that this version cannot read: nobody is told its end", self._path
            )
            self._count("event_unreadable", 1)
            store.forget_open(entry.event)
            return
        self.add(entry.topic, ended_by_restart(payload))

    def _say(self, trouble: str | None) -> None:
        """What is wrong, logged when it is new."""
        if trouble is not None and trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

    def _count(self, reason: str, count: int) -> None:
        if count:
            self._counters.drop(reason, count)
