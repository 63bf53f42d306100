"""The thread `history`: keeps events with picture and sound on the device. Recognition never waits for it."""

from collections import Counter
from collections.abc import Collection

from daemon.core.errors import HistoryError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.history.records import Quota, Verdict
from daemon.history.ring import MediaRing
from daemon.node.history_disk import HistoryDisk
from daemon.node.history_inbox import Delete, HistoryChange, HistoryInbox, Judge, Keep
from daemon.node.history_work import HistoryWork
from daemon.node.kept_health import HistoryHealth
from daemon.runtime.heartbeat import DISK_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

LOOK_EVERY_S = 0.25

# how long somebody waits for a change to be on disk
ANSWER_S = 5.0

# a disk that takes longer for one round is told of
SLOW_S = 10.0

WAITS = "the history waits for its disk; events are kept when it answers"
SLOW = f"the disk has not answered within {ANSWER_S:g} s; the change may still be made"


class Historian:
    """One thread, named `history`. It alone writes the history, and makes JPEGs of frames.

    A slow disk is no hang, so the heartbeat is marked with the time that a disk may take.
    """

    def __init__(
        self,
        work: HistoryWork,
        inbox: HistoryInbox,
        disk: HistoryDisk,
        rings: Collection[MediaRing],
        quota: Quota,
        counters: Counters,
        *,
        slow_s: float = SLOW_S,
    ) -> None:
        """`inbox`, `disk`, `rings` and `counters` are those of the work. Health says when a round takes `slow_s`."""
        self._work, self._inbox, self._disk = work, inbox, disk
        self._rings = rings
        self._quota = quota
        self._counters = counters
        self._slow_ns = round(slow_s * NS_PER_S)
        self.progress = Heartbeat("history")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Begin to keep events. Raises OSError where the system has room for no more threads."""
        self.progress.mark(DISK_S)
        self._thread.start()

    def keep(self, event: str, on: bool) -> None:
        """Keep an event whatever the quota, or no longer. Raises HistoryError.

        This call and the next two can be made on any thread, and return once the change is on disk.
        """
        self._change(Keep(event, on))

    def delete(self, event: str) -> None:
        """Delete an event with its files. Raises HistoryError."""
        self._change(Delete(event))

    def judge(self, event: str, verdict: Verdict | None, was: str | None = None) -> None:
        """Note what a person says of an event; None takes it back. Raises HistoryError."""
        self._change(Judge(event, verdict, was))

    def close(self, deadline_s: float) -> bool:
        """End clips and events, and the thread; return whether it ended within the deadline."""
        self._inbox.close()
        return self._thread.join(deadline_s)

    def health(self) -> HistoryHealth:
        """Return what health shows. Callable from any thread."""
        usage = self._disk.usage
        dropped = Counter(self._counters.dropped)
        for ring in self._rings:
            dropped.update({f"ring_{reason}": count for reason, count in ring.dropped.items() if count})
        return HistoryHealth(
            enabled=True,
            events=0 if usage is None else usage.events,
            bytes=0 if usage is None else usage.size_bytes,
            quota_bytes=self._quota.size_bytes,
            ring_bytes=sum(ring.size_bytes for ring in self._rings),
            dropped=dict(dropped),
            problem=self._disk.problem or self._waits() or self._disk.lost,
        )

    def _waits(self) -> str | None:
        """Return that the round that goes on takes long; None: it does not."""
        return WAITS if monotonic_ns() - self.progress.snapshot().began_ns > self._slow_ns else None

    def _change(self, change: HistoryChange) -> None:
        request = self._inbox.ask(change)
        if not request.done.wait(ANSWER_S):
            raise HistoryError("disk", SLOW)
        if request.error is not None:
            raise request.error

    def _run(self) -> None:
        self._work.begin()
        while not self._inbox.is_closed:
            requests = self._inbox.wait(LOOK_EVERY_S)
            self.progress.mark(DISK_S)
            self._work.look(requests, monotonic_ns())
        self._work.close(self._inbox.wait(0), monotonic_ns())
