"""Fusion in order, for replay as fast as possible: nothing is lost, and the same file gives the same results."""

import heapq
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from daemon.core.records import MODALITIES, Captured, Counters, Embedding, Modality, ended_ns, modality_of
from daemon.core.timing import NS_PER_MS
from daemon.fusion.fuse import StreamFusion
from daemon.pipeline.encode import EncoderPool, Preparation
from daemon.pipeline.keep_alive import NO_GATES, Gates, KeepAlive, restamped
from daemon.pipeline.live import Publish

BLOCK_NS = 20 * NS_PER_MS
"""An embedding of sound ends at most one block before the block that completed it."""

LOOK_S = 0.5
"""How often a wait looks whether the daemon stops."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """Stands for an embedding: the latest of its modality holds until `end_ns`."""

    end_ns: int


class OrderedFlow:
    """Encodes and fuses one stream on its source's thread, which waits whenever the encoders are busy.

    Captured items come in the order of their end; embeddings are fused in `(end_ns, modality)` order.
    """

    def __init__(
        self,
        name: str,
        preparation: Preparation,
        encoders: EncoderPool,
        fusion: StreamFusion,
        publish: Publish,
        counters: Mapping[Modality, Counters],
        stop: threading.Event,
        gates: Gates = NO_GATES,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        """`keep_alive` is needed with gates."""
        self._name = name
        self._preparation = preparation
        self._encoders = encoders
        self._fusion = fusion
        self._publish = publish
        self._counters = counters
        self._stop = stop
        self._gates = gates
        self._keep_alive = keep_alive or KeepAlive({})
        # sound that a gate holds back comes later than pictures of its time, by whole blocks
        self._slack_ns = BLOCK_NS + (gates.pre_roll_ns + BLOCK_NS if gates.pre_roll_ns else 0)
        self._latest: dict[Modality, Embedding] = {}
        self._at_work: deque[tuple[int, Modality, Future[Embedding | _Hold | None]]] = deque()
        self._encoded: list[tuple[int, int, int, Embedding]] = []
        self._sequence = 0
        self._fused_ns = 0

    def deliver(self, captured: Captured) -> None:
        """Take the next item; returns once there is room for a further one of its kind."""
        for passed, wanted in self._gates.filter(captured):
            self._take(passed, wanted)

    def _take(self, captured: Captured, wanted: bool) -> None:
        end_ns = ended_ns(captured)
        for modality, item in self._items(captured, wanted):
            while self._waiting(modality) >= self._encoders.room(modality):
                self._collect_oldest()
            future: Future[Embedding | _Hold | None] = Future()
            if isinstance(item, _Hold):
                future.set_result(item)
            else:
                self._encoders.queue(self._name, modality, item, future.set_result, self._counters[modality])
            self._at_work.append((end_ns, modality, future))
            self._keep_alive.tell(modality, end_ns)
        while self._at_work and self._at_work[0][2].done():
            self._collect_oldest()
        if not self._at_work:
            self._fuse_until(end_ns - self._slack_ns)

    def _items(self, captured: Captured, wanted: bool) -> list[tuple[Modality, Any]]:
        """What is to be encoded of it, or that the latest embedding of its modality holds."""
        modality, end_ns = modality_of(captured), ended_ns(captured)
        wanted = wanted or self._keep_alive.is_stale(modality, end_ns)
        items = self._preparation.prepare(captured, wanted)
        holds = not wanted and self._keep_alive.is_due(modality, end_ns)
        return [(modality, _Hold(end_ns))] if holds else items

    def finish(self) -> None:
        """Fuse all that is left, then let time pass until every embedding has expired and every event has ended.

        When the daemon stops, what is still being encoded is left, and open events end at once.
        """
        for passed, wanted in self._gates.finish():
            self._take(passed, wanted)
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
        embedding = self._made(modality, end_ns, self._result(future))
        if embedding is not None:
            self._latest[modality] = embedding
            self._sequence += 1
            order = MODALITIES.index(modality)
            heapq.heappush(self._encoded, (embedding.end_ns, order, self._sequence, embedding))
        self._fuse_until(end_ns - self._slack_ns)

    def _made(self, modality: Modality, end_ns: int, result: Embedding | _Hold | None) -> Embedding | None:
        """The embedding that came of it; where an encoder made none, the next item goes through it."""
        if isinstance(result, _Hold):
            latest = self._latest.get(modality)
            return latest and restamped(latest, result.end_ns)
        if result is None:
            self._keep_alive.forget(modality, end_ns)
        return result

    def _result(self, future: "Future[Embedding | _Hold | None]") -> Embedding | _Hold | None:
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
