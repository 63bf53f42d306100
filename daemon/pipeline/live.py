"""Live fusion: fuses the embeddings of all live streams when they come, and lets time pass for them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from daemon.core.logs import rate_limited_logger
from daemon.core.records import Counters, Embedding, EndedBy
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.fusion.fuse import Fused, StreamFusion
from daemon.runtime.heartbeat import IDLE_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = rate_limited_logger(__name__)

# During a switch, embeddings of the new bundle wait this long for the old encoders to drain.
# An encoder takes far less.
DRAIN_S = 1.0

Publish = Callable[[Fused], None]


@dataclass(slots=True, eq=False)
class LiveStream:
    """One stream under one bundle, for live fusion. `counters` are those of each encoder of the bundle.

    `successor` is the same stream under the next bundle. `has_switched` is set when the successor has taken over.
    """

    name: str
    fusion: StreamFusion
    publish: Publish
    counters: Mapping[str, Counters]
    successor: "LiveStream | None" = None
    has_switched: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Pending:
    """Embeddings of a successor that wait for the switch, and when the switch happens at the latest."""

    until_ns: int
    embeddings: list[Embedding] = field(default_factory=list)


class LiveFusion:
    """Owns the fusion of all live streams, and runs one step at a time. Thread-safe.

    An embedding is fused on the thread of its encoder: a hand-over to another thread would cost more than the fusion.
    A thread of this object runs the steps that fall due while no embedding comes.

    An embedding is fused under the bundle whose encoder made it, or dropped. A stream switches to its successor between
    two moments: after the last embedding of the old bundle, and before the first of the new one, which waits for it.
    """

    def __init__(self, streams: list[LiveStream]) -> None:
        self._streams = {stream.name: stream for stream in streams}
        self._pending: dict[str, _Pending] = {}
        self._due_ns: dict[str, int | None] = {}
        self._paused: set[str] = set()
        self._is_closing = self._has_closed = False
        self._ended_by: EndedBy = "stopped"
        self._wakes_ns = 0
        self._condition = threading.Condition()  # guards all attributes above
        self.progress = Heartbeat("fusion")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stream(self, name: str) -> LiveStream:
        """Return a stream under the bundle that is in use for it."""
        return self._streams[name]

    def offer(self, stream: LiveStream, embedding: Embedding) -> None:
        """Fuse an embedding. Waits while another one is fused, which takes well under a millisecond.

        After `close` the embedding is dropped and counted as `stopped`.
        """
        with self._condition:
            if self._has_closed:
                stream.counters[embedding.encoder].drop("stopped")
                return
            self._dispatch(stream, embedding)
            self._wake_if_due()

    def pause(self, stream: LiveStream) -> None:
        """End the open events of a stream, and drop its embeddings until `resume`."""
        with self._condition:
            if not self._has_closed:
                self._paused.add(stream.name)
                self._step(self._streams[stream.name], _pause)
                self._wake_if_due()

    def resume(self, stream: LiveStream) -> None:
        """Fuse the embeddings of a stream again."""
        with self._condition:
            self._paused.discard(stream.name)

    def switch_to_successor(self, stream: LiveStream) -> None:
        """Let the successor of a stream take over, with its embeddings that wait. Only the first call has an effect."""
        with self._condition:
            if not self._has_closed:
                self._switch(stream)
                self._wake_if_due()

    def close(self, deadline_s: float, ended_by: EndedBy = "stopped") -> None:
        """End the thread, and all open events with this reason."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        if self._condition.acquire(timeout=deadline_s):
            self._is_closing, self._ended_by = True, ended_by
            self._condition.notify()
            self._condition.release()
        if not self._thread.join(seconds_until(deadline_ns)):
            log.error("fusion did not finish within %.1f s; left behind", deadline_s)

    def _run(self) -> None:
        with self._condition:
            while not self._is_closing:
                self.progress.mark()
                self._run_due_steps()
                wait_s = self._wait_s()
                self._wakes_ns = monotonic_ns() + round(wait_s * NS_PER_S)
                self._condition.wait(wait_s)
            for stream in self._streams.values():
                self._step(stream, partial(_finish, ended_by=self._ended_by))
            self._has_closed = True

    def _wake_if_due(self) -> None:
        """Wake the thread when a step falls due before the thread wakes up by itself, which is rare."""
        first_ns = self._first_due_ns()
        if first_ns is not None and first_ns < self._wakes_ns:
            self._wakes_ns = first_ns
            self._condition.notify()

    def _dispatch(self, stream: LiveStream, embedding: Embedding) -> None:
        """Fuse an embedding of the current stream, keep one of its successor, and drop one of a predecessor."""
        current = self._streams[stream.name]
        if stream is current:
            self._fuse(stream, embedding)
        elif stream is current.successor:
            until_ns = monotonic_ns() + round(DRAIN_S * NS_PER_S)
            self._pending.setdefault(stream.name, _Pending(until_ns)).embeddings.append(embedding)
        else:
            stream.counters[embedding.encoder].drop("bundle")

    def _fuse(self, stream: LiveStream, embedding: Embedding) -> None:
        counters = stream.counters[embedding.encoder]
        if stream.name in self._paused:
            counters.drop("paused")
        elif not self._step(stream, partial(_deliver, embedding=embedding)):
            counters.drop("fusion_failed")

    def _switch(self, stream: LiveStream) -> None:
        successor = stream.successor
        if successor is None or self._streams[stream.name] is not stream:
            return
        self._step(stream, _end_bundle)
        self._streams[stream.name] = successor
        self._due_ns[stream.name] = None
        stream.has_switched.set()
        pending = self._pending.pop(stream.name, None)
        for embedding in pending.embeddings if pending else ():
            self._fuse(successor, embedding)

    def _first_due_ns(self) -> int | None:
        times_ns = [at_ns for at_ns in self._due_ns.values() if at_ns is not None]
        times_ns += [pending.until_ns for pending in self._pending.values()]
        return min(times_ns, default=None)

    def _wait_s(self) -> float:
        first_ns = self._first_due_ns()
        return IDLE_S if first_ns is None else min(IDLE_S, seconds_until(first_ns))

    def _run_due_steps(self) -> None:
        now_ns = monotonic_ns()
        for name in [name for name, pending in self._pending.items() if pending.until_ns <= now_ns]:
            self._switch(self._streams[name])
        for stream in self._streams.values():
            due_ns = self._due_ns.get(stream.name)
            if due_ns is not None and due_ns <= now_ns:
                self._step(stream, _advance)

    def _step(self, stream: LiveStream, step: Callable[[LiveStream], Fused]) -> bool:
        """Run one step of one stream and publish its results. Returns whether it succeeded.

        A failure is logged, and does not end the other streams.
        """
        try:
            stream.publish(step(stream))
        except Exception:
            log.exception("%s: fusion failed", stream.name)
            return False
        finally:
            self._due_ns[stream.name] = stream.fusion.next_due_ns()
        return True


def _advance(stream: LiveStream) -> Fused:
    return stream.fusion.advance(monotonic_ns())


def _pause(stream: LiveStream) -> Fused:
    return stream.fusion.finish(monotonic_ns(), "paused")


def _end_bundle(stream: LiveStream) -> Fused:
    return stream.fusion.finish(monotonic_ns(), "bundle")


def _finish(stream: LiveStream, ended_by: EndedBy) -> Fused:
    return stream.fusion.finish(monotonic_ns(), ended_by)


def _deliver(stream: LiveStream, embedding: Embedding) -> Fused:
    fused = stream.fusion.deliver(embedding, monotonic_ns())
    if fused.late:
        stream.counters[embedding.encoder].drop("late", fused.late)
    return fused
