"""Numbers events, writes them in batches, and moves them to the send queue in order. Used by one thread."""

import logging
import sqlite3
import time
from collections.abc import Callable

from pydantic import ValidationError

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.disk_room import LARGE_DISK
from daemon.mqtt.outbox.entries import Entry, EventQueue, leading
from daemon.mqtt.outbox.inbox import MAX_UNWRITTEN, Inbox, Waiting
from daemon.mqtt.outbox.keeper import StoreKeeper
from daemon.mqtt.outbox.queued import MOST_HELD, QueuedEvents
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.payloads import EventPayload, ended_by_restart

log = logging.getLogger(__name__)

# How often the outbox looks for events that are too old, and how much room the disk has.
AGE_CHECK_S = 60.0

MEBIBYTE = 1 << 20
HOUR_S = 3600.0

# So many numbers are reserved at a time, for steps that may be sent without being written.
RESERVED = 1000


class EventWriter:
    """Takes events from the inbox. An event gets its number when it is written, or when it is queued without that.

    `last` is the latest number given; `queued` is the highest that was queued to be sent.
    """

    def __init__(
        self,
        keeper: StoreKeeper,
        config: OutboxConfig,
        counters: Counters,
        inbox: Inbox,
        send_queue: EventQueue,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keeper, self._config, self._counters = keeper, config, counters
        self._inbox, self._send_queue = inbox, send_queue
        self.last = self.queued = self.coalesced = 0
        self._in_queue = QueuedEvents()
        self._now_s = now_s
        self._age_checked_at = now_s()

    def keep_store(self) -> None:
        """See that the store is open and its file in place. What has a number gets one above those of the store.

        Events that are open in a store which was just opened were left so by an earlier run.
        """
        opened = self._keeper.keep(self._in_queue, self.last)
        if opened is None:
            return
        self._in_queue.change_store(opened.offset)
        if opened.offset > 0:
            self.last, self.queued = self.last + opened.offset, 0
        for entry in opened.left_open:
            self._end_after_restart(entry)

    def handle_batch(self) -> bool:
        """Write one batch and fill the send queue; return whether something is left that can be written at once.

        Work stays in the inbox until it is done. After a failure the next call tries the same batch again.
        """
        acknowledged = self._inbox.acknowledged()
        self._in_queue.acknowledge(acknowledged)
        self._inbox.forget_acknowledged(len(acknowledged))
        self.keep_store()
        entries = self._numbered(self._inbox.events())
        if self._spare(entries):
            self._enforce_limits()
            return False
        is_written = self._write(entries)
        if is_written:
            self._forget_waiting(len(entries))
            self._keeper.copy.save(self.last, self._in_queue.all_unsaved, self._in_queue.unnoted)
        self._enforce_limits()
        self._fill_send_queue([] if is_written else entries)
        return is_written and (len(self._inbox) > 0 or not self._in_queue.is_written)

    def finish(self) -> None:
        """Note in the store that all is written, and close it."""
        store = self._keeper.store
        if store is not None and self._in_queue.is_written:
            try:
                store.release()
                self._keeper.copy.clear()
            except sqlite3.Error as error:
                log.warning("the outbox %s: %s; the numbers of events have a gap", self._keeper.path, error)
        self._keeper.close()

    @property
    def unsaved_count(self) -> int:
        """How many events were queued to be sent, and wait to be written."""
        return self._in_queue.unsaved_count

    def count_lost(self) -> None:
        """Count the events that end with the process: nobody knows whether the broker got what was queued of them."""
        in_memory = len(self._inbox) + self._in_queue.unsaved_count
        self._count("event_unwritten", in_memory + self._keeper.count_without_file)

    def _numbered(self, waiting: list[Waiting]) -> list[Entry]:
        """Return the first waiting events with their numbers, as many as one transaction takes."""
        store = self._keeper.store
        most_bytes = (LARGE_DISK if store is None else store.room).batch_bytes
        if store is not None and len(self._in_queue.unsaved(most_bytes)) < self._in_queue.unsaved_count:
            return []  # what was queued before comes first
        return leading((_entry(number, event) for number, event in enumerate(waiting, self.last + 1)), most_bytes)

    def _spare(self, entries: list[Entry]) -> bool:
        """Queue entries that are on no disk, where the broker acknowledges soon; return whether that was done.

        A commit costs a card 20 kB or more, however short an event is.
        """
        now_s = self._now_s()
        if not self._may_spare(len(entries), now_s):
            return False
        self._in_queue.add(entries, is_saved=False, now_s=now_s)
        last = self.last + len(entries)
        if not self._keeper.copy.save(last, self._in_queue.all_unsaved, self._in_queue.unnoted):
            return False
        if entries:
            self._send_queue.put(entries)
        self._forget_waiting(len(entries))
        self.queued = self.last
        return True

    def _may_spare(self, count: int, now_s: float) -> bool:
        """Whether so many more entries may be in memory alone, and nothing that is there must be written now."""
        store = self._keeper.store
        if store is None or not (self._keeper.copy.exists and self._keeper.is_well) or self._inbox.is_closing:
            return False
        is_behind = self.queued < self.last or self._in_queue.has_removable or self._in_queue.numbers_overlap
        held = self._in_queue.held(now_s)
        has_room = count <= self._send_queue.room() and held.count + count <= MOST_HELD
        is_reserved = self.last + count <= store.reserved
        return is_reserved and not is_behind and has_room and held.may_wait and self._send_queue.is_connected()

    def _forget_waiting(self, count: int) -> None:
        """Note that the first waiting events have their numbers for good."""
        self.last += count
        self._inbox.forget_events(count)

    def _write(self, entries: list[Entry]) -> bool:
        """Write and remove in one transaction; return whether everything is on disk now."""
        store = self._keeper.store
        if store is None:
            return False
        try:
            if entries or not self._in_queue.is_written or self._keeper.trouble is not None:
                self._write_or_make_room(store, entries)
        except sqlite3.OperationalError as error:
            self._keeper.report(f"the outbox {self._keeper.path} cannot be written: {error}; events wait in memory")
            return False
        except sqlite3.DatabaseError as error:
            self._count("event_damaged", store.count - self._in_queue.saved_count)
            self._keeper.give_up_damaged(error)
            self._in_queue.lose_store()
            return False
        self._keeper.report_written()
        return True

    def _write_or_make_room(self, store: OutboxStore, entries: list[Entry]) -> None:
        """Write; where the disk is full, make what room there can be and try once more. Raises sqlite3.Error."""
        try:
            self._write_to(store, entries)
        except sqlite3.OperationalError:
            store.move_journal()
            if store.is_full and len(self._inbox) >= MAX_UNWRITTEN // 2:  # until then they wait in memory
                dropped = store.drop_beyond(store.size_bytes * 3 // 4, queued=self.queued)
                self._count("event_overflow", dropped)
            self._write_to(store, entries)

    def _write_to(self, store: OutboxStore, entries: list[Entry]) -> None:
        removable = self._in_queue.removable(store.room.batch_removals)
        unsaved = self._in_queue.unsaved(store.room.batch_bytes)
        last = self.last + len(entries)
        is_short = self._keeper.copy.exists and last + RESERVED // 2 > store.reserved
        self.coalesced += store.write(
            entries,
            removable,
            queued=self.queued,
            unsaved=unsaved,
            unnoted=self._in_queue.unnoted,
            last=self.last,
            reserved=last + RESERVED if is_short else 0,
        )
        self._in_queue.written(removed=len(removable), saved=len(unsaved))

    def _enforce_limits(self) -> None:
        """Drop events that are too old, or beyond the size."""
        store = self._keeper.store
        if store is None:
            return
        try:
            if self._now_s() - self._age_checked_at >= AGE_CHECK_S:
                self._age_checked_at = self._now_s()
                store.fit()
                too_old = store.drop_old(self._config.max_age_h * HOUR_S, queued=self.queued)
                self._count("event_too_old", too_old)
            max_bytes = round(self._config.max_mb * MEBIBYTE)
            if store.size_bytes > max_bytes:
                self._count("event_overflow", store.drop_beyond(max_bytes, queued=self.queued))
        except sqlite3.Error as error:
            self._keeper.report(f"old events of the outbox {self._keeper.path} cannot be removed: {error}")

    def _fill_send_queue(self, unwritten: list[Entry]) -> None:
        """Queue as many events as there is room for: those of the store first, then some that cannot be written."""
        if self._in_queue.numbers_overlap:
            return
        room = self._send_queue.room()
        stored = self._read(room)
        if stored is None:  # new events must not overtake the stored ones
            return
        self._queue(stored, is_saved=True)
        if unwritten:
            unsaved = unwritten[: max(0, room - len(stored))]
            self._queue(unsaved, is_saved=False)
            self._forget_waiting(len(unsaved))
        elif len(stored) < room:  # the rest up to the last number was coalesced or dropped
            self.queued = self.last

    def _read(self, limit: int) -> list[Entry] | None:
        """Return the next entries of the store; None when it cannot be read."""
        store = self._keeper.store
        if store is None or limit <= 0:
            return []
        try:
            return store.read(self.queued, limit)
        except sqlite3.Error as error:
            self._keeper.report(f"the outbox {self._keeper.path} cannot be read: {error}")
            return None

    def _queue(self, entries: list[Entry], *, is_saved: bool) -> None:
        if not entries:
            return
        if is_saved:  # before `put`: it may fail although it has taken some, and those may be acknowledged at once
            self._in_queue.add(entries, is_saved=True)
        self._send_queue.put(entries)
        if not is_saved:
            self._in_queue.add(entries, is_saved=False)
        self.queued = entries[-1].sequence

    def _end_after_restart(self, entry: Entry) -> None:
        try:
            payload = EventPayload.model_validate_json(entry.payload)
        except ValidationError:
            log.warning(
                "the outbox %s: this version cannot read an open event, so its end is not sent", self._keeper.path
            )
            self._count("event_unreadable", 1)
            self._in_queue.forget_event(entry.event)
            return
        if (reason := self._inbox.add(entry.topic, ended_by_restart(payload))) is not None:
            self._count(reason, 1)

    def _count(self, reason: str, count: int) -> None:
        if count > 0:
            self._counters.drop(reason, count)


def _entry(number: int, event: Waiting) -> Entry:
    payload = event.payload.model_copy(update={"sequence": number})
    return Entry(number, event.topic, payload.id, payload.phase, payload.to_json())
