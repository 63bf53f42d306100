"""Fusion in order, for replay as fast as possible: nothing is lost, and the same file gives the same results."""

import heapq
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from daemon.clock import NS_PER_MS
from daemon.flow.encode import Encoders, Preparation
from daemon.flow.live import Publish
from daemon.fusion.stream import StreamFusion
from daemon.records import MODALITIES, Captured, Counters, Embedding, Frame, Line, Modality

BLOCK_NS = 20 * NS_PER_MS
"""An embedding of sound ends at most one block before the block that completed it."""

LOOK_S = 0.5
"""How often a wait looks whether the daemon stops."""


class OrderedFlow:
    """Encodes and fuses one stream on its source's thread, which waits whenever the encoders are busy.

    Captured items come in the order of their end; embeddings are fused in `(end_ns, modality)` order.
    """

    def __init__(
        self,
        name: str,
        preparation: Preparation,
        encoders: Encoders,
        fusion: StreamFusion,
        publish: Publish,
        counters: Mapping[Modality, Counters],
        stop: threading.Event,
    ) -> None:
        self._name = name
        self._preparation = preparation
        self._encoders = encoders
        self._fusion = fusion
        self._publish = publish
        self._counters = counters
        self._stop = stop
        self._at_work: deque[tuple[int, Modality, Future[Embedding | None]]] = deque()
        self._encoded: list[tuple[int, int, int, Embedding]] = []
        self._sequence = 0
        self._fused_ns = 0

    def deliver(self, captured: Captured) -> None:
        """Take the next item; returns once there is room for a further one of its kind."""
        end_ns = captured.captured_ns if isinstance(captured, (Frame, Line)) else captured.end_ns
        for modality, item in self._preparation.prepare(captured):
            while self._waiting(modality) >= self._encoders.room(modality):
                self._collect_oldest()
            future: Future[Embedding | None] = Future()
            self._encoders.queue(self._name, modality, item, future.set_result, self._counters[modality])
            self._at_work.append((end_ns, modality, future))
        while self._at_work and self._at_work[0][2].done():
            self._collect_oldest()
        if not self._at_work:
            self._fuse_until(end_ns - BLOCK_NS)

    def finish(self) -> None:
        """Fuse all that is left, then let time pass until every embedding has expired and every event has ended.

        When the daemon stops, what is still being encoded is left, and open events end at once.
        """
        while self._at_work:
            self._collect_oldest()
        while self._encoded:
            self._fuse_until(self._encoded[0][0])
        while not self._stop.is_set() and (due_ns := self._fusion.next_due_ns()) is not None:
            self._publish(self._fusion.advance(due_ns))
        if self._stop.is_set():
            self._publish(self._fusion.finish(self._fused_ns))

    def _waiting(self, modality: Modality) -> int:
        return sum(1 for _, kind, _ in self._at_work if kind == modality)

    def _collect_oldest(self) -> None:
        end_ns, modality, future = self._at_work.popleft()
        embedding = self._result(future)
        if embedding is not None:
            self._sequence += 1
            order = MODALITIES.index(modality)
            heapq.heappush(self._encoded, (embedding.end_ns, order, self._sequence, embedding))
        self._fuse_until(end_ns - BLOCK_NS)

    def _result(self, future: "Future[Embedding | None]") -> Embedding | None:
        while not self._stop.is_set():
            try:
                return future.result(timeout=LOOK_S)
            except FutureTimeoutError:
                continue
        return None

    def _fuse_until(self, end_ns: int) -> None:
        """Fuse what no later item can precede any more."""
        while self._encoded and self._encoded[0][0] <= end_ns:
            embedding = heapq.heappop(self._encoded)[-1]
            self._fused_ns = embedding.end_ns
            fused = self._fusion.deliver(embedding, embedding.end_ns)
            if fused.late:
                self._counters[embedding.modality].drop("late", fused.late)
            self._publish(fused)
