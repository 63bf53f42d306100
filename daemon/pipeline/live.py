"""Live fusion: the embeddings of all live streams are fused as they come, and a thread lets their time pass."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from daemon.core.logs import rate_limited_logger
from daemon.core.records import Counters, Embedding, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.fusion.fuse import Fused, StreamFusion
from daemon.runtime.heartbeat import IDLE_S, Heartbeat

log = rate_limited_logger(__name__)

HOLD_S = 1.0
"""How long what a new bundle's encoders make waits for the last of the old one's: far longer than an encoder takes."""

Publish = Callable[[Fused], None]
Order = Literal["pause", "resume", "leave"]


@dataclass(slots=True, eq=False)
class LiveStream:
    """What live fusion needs of one stream under one bundle; `successor` is the same stream under the next.

    `has_left` is set when the successor has taken over.
    """

    name: str
    fusion: StreamFusion
    publish: Publish
    counters: dict[Modality, Counters]
    successor: "LiveStream | None" = None
    has_left: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Held:
    """What came for a successor before its turn, and when its turn comes at the latest."""

    until_ns: int
    embeddings: list[Embedding] = field(default_factory=list)


class LiveFusion:
    """Owns the fusion of all live streams, one step at a time.

    An embedding is fused on the thread that made it: handing it to another would cost more than fusing it. A thread of
    its own does what falls due while nothing comes.

    An embedding is fused under the bundle whose encoder made it, or not at all. A stream changes to its successor
    between two moments: after the last embedding that is on its way under the old bundle, and before the first under
    the new, which waits for it.
    """

    def __init__(self, streams: list[LiveStream]) -> None:
        self._streams = {stream.name: stream for stream in streams}
        self._held: dict[str, _Held] = {}
        self._due_ns: dict[str, int | None] = {}
        self._paused: set[str] = set()
        self._is_closing = self._has_closed = False
        self._falls_due = threading.Condition()
        """Guards all of the above."""
        self._sleeps_until_ns = 0
        self.progress = Heartbeat("fusion")
        self._thread = threading.Thread(target=self._run, name="fusion", daemon=True)

    def start(self) -> None:
        """Begin to let time pass."""
        self._thread.start()

    def stream(self, name: str) -> LiveStream:
        """A stream as it is now."""
        return self._streams[name]

    def offer(self, stream: LiveStream, embedding: Embedding) -> None:
        """Fuse an embedding, as soon as no other is being fused; that takes well under a millisecond.

        Once closed, it is dropped and counted as `stopped`.
        """
        with self._falls_due:
            if self._has_closed:
                stream.counters[embedding.modality].drop("stopped")
                return
            self._sort(stream, embedding)
            self._wake_if_due()

    def order(self, stream: LiveStream, order: Order) -> None:
        """Pause a stream, which ends its open events, or resume it, or let its successor take over."""
        with self._falls_due:
            if not self._has_closed:
                self._obey(stream, order)
                self._wake_if_due()

    def close(self, deadline_s: float) -> None:
        """End the thread and all open events."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        if self._falls_due.acquire(timeout=deadline_s):
            self._is_closing = True
            self._falls_due.notify()
            self._falls_due.release()
            self._thread.join(seconds_until(deadline_ns))
        if self._thread.is_alive():
            log.error("fusion did not finish within %.1f s; left behind", deadline_s)

    def _run(self) -> None:
        self.progress.begin()
        with self._falls_due:
            while not self._is_closing:
                self.progress.mark()
                self._let_time_pass()
                wait_s = self._wait_s()
                self._sleeps_until_ns = monotonic_ns() + round(wait_s * NS_PER_S)
                self._falls_due.wait(wait_s)
            for stream in self._streams.values():
                self._step(stream, _finish)
            self._has_closed = True

    def _wake_if_due(self) -> None:
        """Something may fall due before the thread wakes up by itself; mostly only what is due gets later."""
        first_ns = self._first_due_ns()
        if first_ns is not None and first_ns < self._sleeps_until_ns:
            self._sleeps_until_ns = first_ns
            self._falls_due.notify()

    def _sort(self, stream: LiveStream, embedding: Embedding) -> None:
        """Take an embedding of the stream as it is now, keep one of its successor, drop one of what it was before."""
        present = self._streams[stream.name]
        if stream is present:
            self._take(stream, embedding)
        elif stream is present.successor:
            held = self._held.setdefault(stream.name, _Held(monotonic_ns() + round(HOLD_S * NS_PER_S)))
            held.embeddings.append(embedding)
        else:
            stream.counters[embedding.modality].drop("bundle")

    def _take(self, stream: LiveStream, embedding: Embedding) -> None:
        counters = stream.counters[embedding.modality]
        if stream.name in self._paused:
            counters.drop("paused")
        elif not self._step(stream, partial(_deliver, embedding=embedding)):
            counters.drop("fusion_failed")

    def _obey(self, stream: LiveStream, order: Order) -> None:
        if order == "leave":
            self._change(stream)
        elif order == "pause":
            self._paused.add(stream.name)
            self._step(self._streams[stream.name], _pause)
        else:
            self._paused.discard(stream.name)

    def _change(self, stream: LiveStream) -> None:
        """Let the successor take over, with all that has waited for it; only once."""
        successor = stream.successor
        if successor is None or self._streams[stream.name] is not stream:
            return
        self._step(stream, _leave)
        self._streams[stream.name] = successor
        self._due_ns[stream.name] = None
        stream.has_left.set()
        held = self._held.pop(stream.name, None)
        for embedding in held.embeddings if held else ():
            self._take(successor, embedding)

    def _first_due_ns(self) -> int | None:
        times_ns = [at_ns for at_ns in self._due_ns.values() if at_ns is not None]
        times_ns += [held.until_ns for held in self._held.values()]
        return min(times_ns, default=None)

    def _wait_s(self) -> float:
        first_ns = self._first_due_ns()
        return IDLE_S if first_ns is None else min(IDLE_S, seconds_until(first_ns))

    def _let_time_pass(self) -> None:
        now_ns = monotonic_ns()
        for name in [name for name, held in self._held.items() if held.until_ns <= now_ns]:
            self._change(self._streams[name])
        for stream in self._streams.values():
            due_ns = self._due_ns.get(stream.name)
            if due_ns is not None and due_ns <= now_ns:
                self._step(stream, _advance)

    def _step(self, stream: LiveStream, step: Callable[[LiveStream], Fused]) -> bool:
        """Take one step of one stream's fusion, whose failure must not end the others; says whether it went well."""
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


def _leave(stream: LiveStream) -> Fused:
    return stream.fusion.finish(monotonic_ns(), "bundle")


def _finish(stream: LiveStream) -> Fused:
    return stream.fusion.finish(monotonic_ns())


def _deliver(stream: LiveStream, embedding: Embedding) -> Fused:
    fused = stream.fusion.deliver(embedding, monotonic_ns())
    if fused.late:
        stream.counters[embedding.modality].drop("late", fused.late)
    return fused
