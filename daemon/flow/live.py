"""Live fusion: one thread fuses the embeddings of all live streams as they come, and lets their time pass."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from daemon.clock import NS_PER_S, monotonic_ns, seconds_until
from daemon.flow.encode import Encoders, Preparation
from daemon.fusion.stream import Fused, StreamFusion
from daemon.records import Captured, Counters, Embedding, Modality
from daemon.runtime.progress import IDLE_S, Progress

log = logging.getLogger(__name__)

INBOX_EMBEDDINGS = 1000
"""Far more than encoders can make while one embedding is fused: when full, something hangs."""

Publish = Callable[[Fused], None]
Order = Literal["pause", "resume"]


@dataclass(frozen=True, slots=True)
class LiveStream:
    """What live fusion needs of one stream."""

    name: str
    fusion: StreamFusion
    publish: Publish
    counters: dict[Modality, Counters]


class LiveFusion:
    """Owns the fusion of all live streams in one thread."""

    def __init__(self, streams: list[LiveStream]) -> None:
        self._streams = streams
        self._due_ns: dict[str, int | None] = {}
        self._inbox: queue.Queue[tuple[LiveStream, Embedding | Order] | None] = queue.Queue(INBOX_EMBEDDINGS)
        self._paused: set[str] = set()
        self.progress = Progress("fusion")
        self._thread = threading.Thread(target=self._run, name="fusion", daemon=True)

    def start(self) -> None:
        """Begin to fuse."""
        self._thread.start()

    def offer(self, stream: LiveStream, embedding: Embedding) -> None:
        """Queue an embedding without blocking; when the queue is full it is dropped and counted as `fusion_busy`."""
        try:
            self._inbox.put_nowait((stream, embedding))
        except queue.Full:
            stream.counters[embedding.modality].drop("fusion_busy")

    def order(self, stream: LiveStream, order: Order) -> bool:
        """Pause a stream, which ends its open events, or resume it; False when the queue is full."""
        try:
            self._inbox.put_nowait((stream, order))
        except queue.Full:
            return False
        return True

    def close(self, deadline_s: float) -> None:
        """Fuse what is queued, end open events, then end the thread."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        with contextlib.suppress(queue.Full):
            self._inbox.put(None, timeout=deadline_s)
            self._thread.join(seconds_until(deadline_ns))
        if self._thread.is_alive():
            log.error("fusion did not finish within %.1f s; left behind", deadline_s)

    def _run(self) -> None:
        self.progress.begin()
        while True:
            self.progress.mark()
            try:
                entry = self._inbox.get(timeout=self._wait_s())
            except queue.Empty:
                self._let_time_pass()
                continue
            if entry is None:
                break
            stream, item = entry
            if isinstance(item, Embedding):
                self._take(stream, item)
            else:
                self._obey(stream, item)
            self._let_time_pass()
        for stream in self._streams:
            self._step(stream, _finish)

    def _take(self, stream: LiveStream, embedding: Embedding) -> None:
        counters = stream.counters[embedding.modality]
        if stream.name in self._paused:
            counters.drop("paused")
        elif not self._step(stream, partial(_deliver, embedding=embedding)):
            counters.drop("fusion_failed")

    def _obey(self, stream: LiveStream, order: Order) -> None:
        if order == "pause":
            self._paused.add(stream.name)
            self._step(stream, _pause)
        else:
            self._paused.discard(stream.name)

    def _wait_s(self) -> float:
        first_ns = min((at_ns for at_ns in self._due_ns.values() if at_ns is not None), default=None)
        return IDLE_S if first_ns is None else min(IDLE_S, seconds_until(first_ns))

    def _let_time_pass(self) -> None:
        now_ns = monotonic_ns()
        for stream in self._streams:
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


def _finish(stream: LiveStream) -> Fused:
    return stream.fusion.finish(monotonic_ns())


def _deliver(stream: LiveStream, embedding: Embedding) -> Fused:
    fused = stream.fusion.deliver(embedding, monotonic_ns())
    if fused.late:
        stream.counters[embedding.modality].drop("late", fused.late)
    return fused


class LiveFlow:
    """Takes what one stream captures, on the sources' threads, and never blocks."""

    def __init__(self, stream: LiveStream, preparation: Preparation, encoders: Encoders, fusion: LiveFusion) -> None:
        self._stream = stream
        self._preparation = preparation
        self._encoders = encoders
        self._fusion = fusion

    def deliver(self, captured: Captured) -> None:
        """Prepare and hand on to the encoders."""
        for modality, item in self._preparation.prepare(captured):
            counters = self._stream.counters[modality]
            self._encoders.offer(self._stream.name, modality, item, self._take, counters)

    def _take(self, embedding: Embedding | None) -> None:
        if embedding is not None:
            self._fusion.offer(self._stream, embedding)
