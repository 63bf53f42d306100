"""The outbox: events are on disk before they are published, and stay there until the broker has acknowledged them."""

import logging
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path

from pydantic import ValidationError

from daemon.config.mqtt import OutboxConfig
from daemon.core.files import ForeignFile
from daemon.core.records import Counters
from daemon.mqtt.outbox.store import Entry, EventQueue, OutboxStatus, OutboxStore, replace_damaged
from daemon.mqtt.payloads import EventPayload, ended_by_restart
from daemon.runtime.heartbeat import DISK_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

# Events that wait in memory while the disk is slow or fails.
MAX_UNWRITTEN = 1000

# Acknowledged events are removed as soon as there are this many, or after this time.
REMOVE_COUNT, REMOVE_WITHIN_S = 100, 1.0

# How often the outbox looks for events that are too old.
AGE_CHECK_S = 60.0

MEBIBYTE = 1 << 20
HOUR_S = 3600.0


class Outbox:
    """Numbers events, writes them in batches, and moves them to the send queue in order.

    One thread, named `outbox`, owns the file. While the disk fails, events are sent from memory; status and log say so.
    """

    def __init__(self, path: Path, config: OutboxConfig, counters: Counters, send_queue: EventQueue) -> None:
        self._path, self._config, self._counters = path, config, counters
        self._send_queue = send_queue
        self._changed = threading.Condition()
        self._incoming: deque[Entry] = deque()
        self._acknowledged: list[int] = []
        self._is_woken = self._is_closing = self._was_opened = False
        self._last = self._queued = self._coalesced = 0
        self._store: OutboxStore | None = None
        self._trouble: str | None = None
        # queued to be sent without being stored: the store is told of them when it works again
        self._unstored: deque[Entry] = deque(maxlen=MAX_UNWRITTEN)
        self._age_checked_at = time.monotonic()
        self.progress = Heartbeat("outbox")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Open the store, end the events that an earlier run left open, and start the thread. Raises OSError."""
        self._open()
        self.progress.mark()
        try:
            self._thread.start()
        except OSError:
            if self._store is not None:
                self._store.close()  # nobody else can open the file before
            raise

    def add(self, topic: str, payload: EventPayload) -> bool:
        """Number an event and queue it to be written. Never blocks; return False when it was dropped and counted."""
        with self._changed:
            if self._is_closing or len(self._incoming) >= MAX_UNWRITTEN:
                self._counters.drop("event_stopped" if self._is_closing else "event_unwritten")
                return False
            self._last += 1
            numbered = payload.model_copy(update={"sequence": self._last})
            self._incoming.append(Entry(self._last, topic, payload.id, payload.phase, numbered.to_json()))
            self._changed.notify()
            return True

    def acknowledged(self, sequence: int) -> None:
        """Remove an event that the broker has, or never accepts. Callable from any thread."""
        with self._changed:
            self._acknowledged.append(sequence)
            self._changed.notify()

    def wake(self) -> None:
        """Make the outbox fill the send queue, where there is room again. Callable from any thread."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    @property
    def last_sequence(self) -> int:
        """The number of the latest event that was added."""
        return self._last

    @property
    def is_behind(self) -> bool:
        """Whether there are events that are not in the send queue yet."""
        return self._queued < self._last

    def status(self) -> OutboxStatus:
        """Return a snapshot for health."""
        store = self._store
        return {
            "waiting": len(self._incoming),
            "stored": store.count if store else 0,
            "stored_bytes": store.size_bytes if store else 0,
            "coalesced": self._coalesced,
            "trouble": self._trouble,
        }

    def close(self, deadline_s: float) -> bool:
        """Write what waits, close the file and end the thread; return whether that met the deadline."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        return self._thread.join(deadline_s)

    # All methods below run on the outbox's own thread; `start` calls some of them before the thread exists.

    def _run(self) -> None:
        while not self._handle_batch():
            pass
        if self._store is not None:
            self._store.close()
        self._count("event_unwritten", len(self._incoming))

    def _handle_batch(self) -> bool:
        """Write one batch and fill the send queue; return whether it was the last one.

        Work stays queued until it is done. After a failure the next call tries the same batch again.
        """
        entries, acknowledged, is_last = self._next_batch()
        self.progress.mark(DISK_S)
        is_written = self._write(entries, acknowledged)
        with self._changed:
            if is_written or self._store is None:
                del self._acknowledged[: len(acknowledged)]
            if is_written:
                self._forget_incoming(len(entries))
        self._enforce_limits()
        unstored = self._fill_send_queue(entries, is_written)
        with self._changed:
            self._forget_incoming(unstored)
        return is_last

    def _forget_incoming(self, count: int) -> None:
        for _ in range(count):
            self._incoming.popleft()

    def _next_batch(self) -> tuple[list[Entry], list[int], bool]:
        """Wait for work; return the entries to write, the numbers to remove, and whether this is the last batch."""
        self.progress.mark()
        with self._changed:
            self._changed.wait_for(self._has_work, REMOVE_WITHIN_S)
            self._is_woken = False
            return list(self._incoming), list(self._acknowledged), self._is_closing

    def _has_work(self) -> bool:
        has_batch = bool(self._incoming) or len(self._acknowledged) >= REMOVE_COUNT
        return (has_batch and self._trouble is None) or self._is_woken or self._is_closing

    def _write(self, entries: list[Entry], acknowledged: list[int]) -> bool:
        """Write and remove in one transaction; return whether everything is on disk now."""
        if self._store is None:
            self._open()
        if self._store is None:
            return False
        if not entries and not acknowledged and self._trouble is None:
            return True
        try:
            self._coalesced += self._store.write(entries, acknowledged, queued=self._queued, unstored=self._unstored)
            self._unstored.clear()
        except sqlite3.OperationalError as error:
            self._set_trouble(f"the outbox {self._path} cannot be written: {error}; events wait in memory")
            return False
        except sqlite3.DatabaseError as error:
            self._store.close()
            self._store = self._replace_damaged(error)
            return False
        self._set_trouble(None)
        return True

    def _enforce_limits(self) -> None:
        """Drop events that are too old, or beyond the size."""
        if self._store is None:
            return
        try:
            if time.monotonic() - self._age_checked_at >= AGE_CHECK_S:
                self._age_checked_at = time.monotonic()
                too_old = self._store.drop_old(self._config.max_age_h * HOUR_S, queued=self._queued)
                self._count("event_too_old", too_old)
            max_bytes = round(self._config.max_mb * MEBIBYTE)
            if self._store.size_bytes > max_bytes:
                self._count("event_overflow", self._store.drop_beyond(max_bytes, queued=self._queued))
        except sqlite3.Error as error:
            self._set_trouble(f"old events of the outbox {self._path} cannot be removed: {error}")

    def _fill_send_queue(self, entries: list[Entry], is_written: bool) -> int:
        """Queue as many events as there is room for, stored ones first; return how many `entries` went unstored."""
        room = self._send_queue.room()
        stored = self._read(room)
        if stored is None:  # new events must not overtake the stored ones
            return 0
        self._queue(stored)
        if is_written:
            if len(stored) < room:  # the rest up to the last number was coalesced or dropped
                self._queued = max(self._queued, self._store.last_sequence if self._store else 0)
            return 0
        unstored = entries[: max(0, room - len(stored))]
        self._queue(unstored)
        self._unstored += unstored
        return len(unstored)

    def _read(self, limit: int) -> list[Entry] | None:
        """Return the next entries of the store; None when it cannot be read."""
        if self._store is None or limit <= 0:
            return []
        try:
            return self._store.read(self._queued, limit)
        except sqlite3.Error as error:
            self._set_trouble(f"the outbox {self._path} cannot be read: {error}")
            return None

    def _queue(self, entries: list[Entry]) -> None:
        if entries:
            self._send_queue.put(entries)
            self._queued = entries[-1].sequence

    def _open(self) -> None:
        """Try to open the store. Numbers continue above the store's and above our own.

        Events that are open at the first time were left so by an earlier run: this run has stored none yet.
        """
        store = self._open_or_replace()
        if store is None:
            return
        try:
            store.continue_from(self._last)
            left_open = [] if self._was_opened else store.open_events()
            with self._changed:
                self._last = store.last_sequence
            for entry in left_open:
                self._end_after_restart(entry, store)
        except sqlite3.Error as error:
            self._set_trouble(f"the outbox {self._path} cannot be used: {error}; events wait in memory")
            store.close()
            return
        self._store, self._was_opened = store, True

    def _open_or_replace(self) -> OutboxStore | None:
        """Return the store, or a new one in place of a damaged one; None when there can be none."""
        try:
            return OutboxStore(self._path)
        except ForeignFile as error:
            return self._replace_damaged(f"it {error.strerror}")
        except (sqlite3.OperationalError, OSError) as error:
            self._set_trouble(f"the outbox {self._path} cannot be opened: {error}; events wait in memory")
            return None
        except sqlite3.DatabaseError as error:
            return self._replace_damaged(error)

    def _replace_damaged(self, error: sqlite3.DatabaseError | str) -> OutboxStore | None:
        """Rename the damaged store, replacing an older damaged one, and return a new store; None if it cannot."""
        self._count("outbox_damaged", 1)
        try:
            return replace_damaged(self._path, error, self._last)
        except (sqlite3.Error, OSError) as again:
            self._set_trouble(f"the outbox {self._path} cannot be replaced: {again}; events wait in memory")
            return None

    def _end_after_restart(self, entry: Entry, store: OutboxStore) -> None:
        try:
            payload = EventPayload.model_validate_json(entry.payload)
        except ValidationError:
            log.warning("the outbox %s: this version cannot read an open event, so its end is not sent", self._path)
            self._count("event_unreadable", 1)
            store.forget_open(entry.event)
            return
        self.add(entry.topic, ended_by_restart(payload))

    def _set_trouble(self, trouble: str | None) -> None:
        """Set the status's trouble, and log it when it is new."""
        if trouble is not None and trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

    def _count(self, reason: str, count: int) -> None:
        if count:
            self._counters.drop(reason, count)
