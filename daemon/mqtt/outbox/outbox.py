"""The outbox: events are on disk until the broker has acknowledged them, unless it does so at once."""

from pathlib import Path

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import EventQueue, OutboxStatus
from daemon.mqtt.outbox.inbox import Inbox
from daemon.mqtt.outbox.keeper import StoreKeeper
from daemon.mqtt.outbox.writer import EventWriter
from daemon.mqtt.payloads import EventPayload
from daemon.runtime.heartbeat import DISK_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread


class Outbox:
    """Stores events and queues them to be sent, in order. Its methods are callable from any thread.

    One thread, named `outbox`, owns the file. While the disk fails, events are sent from memory; status and log say so.
    """

    def __init__(
        self,
        path: Path,
        node: str,
        config: OutboxConfig,
        counters: Counters,
        send_queue: EventQueue,
        memory: Path | None = None,
    ) -> None:
        """`node` is the name under which the events are sent: those of another node stay in the file.

        `memory` is a directory in memory that outlives the process. Without one each event is written to the disk.
        """
        self._counters = counters
        self._inbox = Inbox()
        self._keeper = StoreKeeper(path, node, counters, memory)
        self._writer = EventWriter(self._keeper, config, counters, self._inbox, send_queue)
        self.progress = Heartbeat("outbox")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Open the store, end the events that an earlier run left open, and start the thread. Raises OSError."""
        self._writer.keep_store()
        self.progress.mark()
        try:
            self._thread.start()
        except OSError:
            self._keeper.close()  # nobody else can open the file before
            raise

    def add(self, topic: str, payload: EventPayload) -> bool:
        """Queue an event to be written. Never blocks; return False when it was dropped and counted."""
        reason = self._inbox.add(topic, payload)
        if reason is not None:
            self._counters.drop(reason)
        return reason is None

    def acknowledged(self, sequence: int) -> None:
        """Remove an event that the broker has, or never accepts."""
        self._inbox.acknowledge(sequence)

    def wake(self) -> None:
        """Make the outbox fill the send queue, where there is room again."""
        self._inbox.wake()

    @property
    def last_sequence(self) -> int:
        """The number of the latest event that was written, or queued to be sent without being written."""
        return self._writer.last

    @property
    def is_behind(self) -> bool:
        """Whether there are events that are not in the send queue yet."""
        return len(self._inbox) > 0 or self._writer.queued < self._writer.last

    def status(self) -> OutboxStatus:
        """Return a snapshot for health."""
        store = self._keeper.store
        return {
            "waiting": len(self._inbox) + self._writer.unsaved_count,
            "stored": store.count if store else 0,
            "stored_bytes": store.size_bytes if store else 0,
            "coalesced": self._writer.coalesced,
            "trouble": self._keeper.trouble,
        }

    def close(self, deadline_s: float) -> bool:
        """Write what waits, close the file and end the thread; return whether that met the deadline."""
        self._inbox.close()
        return self._thread.join(deadline_s)

    def _run(self) -> None:
        is_last = has_more = False
        while has_more or not is_last:
            self.progress.mark()
            self._inbox.wait(takes_events=self._keeper.trouble is None)
            is_last = self._inbox.is_closing
            self.progress.mark(DISK_S)
            has_more = self._writer.handle_batch()
        self._writer.finish()
        self._writer.count_lost()
