"""Ordered fusion, for replay as fast as possible: nothing is lost, and the same file gives the same results."""

import heapq
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from daemon.core.records import Captured, Counters, Embedding, EndedBy, ended_ns
from daemon.core.timing import NS_PER_MS
from daemon.fusion.fuse import StreamFusion
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.gates import NO_GATES, Gates
from daemon.pipeline.keep_alive import KeepAlive, restamped
from daemon.pipeline.live import Publish
from daemon.pipeline.preparation import Preparation

# An embedding of sound ends at most one block before the block that completed it.
BLOCK_NS = 20 * NS_PER_MS

# How often a wait for an encoder looks whether the daemon stops.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class _Repeat:
    """Stands for an embedding: the latest one of its encoder is repeated at `end_ns`."""

    end_ns: int


_Result = Embedding | _Repeat | None


class OrderedFlow:
    """Encodes and fuses one stream on its source's thread, which waits while the encoders are busy.

    Captured items come in the order of their end. Embeddings are fused in the order of
    `(end_ns, position of the encoder in the head's input)`.
    """

    def __init__(
        self,
        name: str,
        preparation: Preparation,
        encoders: EncoderPool,
        fusion: StreamFusion,
        publish: Publish,
        counters: Mapping[str, Counters],
        stop: threading.Event,
        gates: Gates = NO_GATES,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        """`keep_alive` is needed when the stream has gates."""
        self._name = name
        self._preparation = preparation
        self._encoders = encoders
        self._fusion = fusion
        self._publish = publish
        self._counters = counters
        self._stop = stop
        self._gates = gates
        self._keep_alive = keep_alive or KeepAlive({})
        # Sound that the gate buffers comes later than pictures of its time, by complete blocks.
        self._slack_ns = BLOCK_NS + (gates.pre_roll_ns + BLOCK_NS if gates.pre_roll_ns else 0)
        self._latest: dict[str, Embedding] = {}
        self._encoding: deque[tuple[int, str, Future[_Result]]] = deque()
        self._position = {encoder: index for index, encoder in enumerate(preparation.encoders)}
        self._encoded: list[tuple[int, int, int, Embedding]] = []  # a heap: end_ns, position, sequence number
        self._sequence = 0
        self._fused_ns = 0
        self.ended_by: EndedBy = "stopped"

    def deliver(self, captured: Captured) -> None:
        """Take the next item. Returns when there is room for another item of its encoders."""
        for released, encode in self._gates.filter(captured):
            self._take(released, encode)

    def finish(self) -> None:
        """Fuse the remaining items, then let time pass until all embeddings have expired and all events have ended.

        When the daemon stops, items that are still being encoded are dropped, and open events end at once, `ended_by`
        what has ended the replay.
        """
        for released, encode in self._gates.finish():
            self._take(released, encode)
        while self._encoding:
            self._collect_oldest()
        while self._encoded:
            self._fuse_until(self._encoded[0][0])
        while not self._stop.is_set() and (due_ns := self._fusion.next_due_ns()) is not None:
            self._publish(self._fusion.advance(due_ns))
        if self._stop.is_set():
            self._publish(self._fusion.finish(self._fused_ns, self.ended_by))

    def _take(self, captured: Captured, encode: bool) -> None:
        end_ns = ended_ns(captured)
        for encoder, item in self._items(captured, end_ns, encode):
            while self._count(encoder) >= self._encoders.room(encoder):
                self._collect_oldest()
            future: Future[_Result] = Future()
            if isinstance(item, _Repeat):
                future.set_result(item)
            else:
                self._encoders.queue(self._name, encoder, item, future.set_result, self._counters[encoder])
            self._encoding.append((end_ns, encoder, future))
            self._keep_alive.cover(encoder, end_ns)
        while self._encoding and self._encoding[0][2].done():
            self._collect_oldest()
        if not self._encoding:
            self._fuse_until(end_ns - self._slack_ns)

    def _items(self, captured: Captured, end_ns: int, encode: bool) -> list[tuple[str, Any]]:
        """Return the inputs of the encoders, and a `_Repeat` for each whose latest embedding is due instead."""
        if encode:
            return self._preparation.prepare(captured)
        encoders = self._preparation.encoders_for(captured)
        held = [encoder for encoder in encoders if not self._keep_alive.is_stale(encoder, end_ns)]
        items = self._preparation.prepare(captured, held)
        repeats = [(encoder, _Repeat(end_ns)) for encoder in held if self._keep_alive.is_due(encoder, end_ns)]
        return [*items, *repeats]

    def _count(self, encoder: str) -> int:
        return sum(1 for _, other, _ in self._encoding if other == encoder)

    def _collect_oldest(self) -> None:
        end_ns, encoder, future = self._encoding.popleft()
        embedding = self._embedding(encoder, end_ns, self._wait_for(future))
        if embedding is not None:
            self._latest[encoder] = embedding
            self._sequence += 1
            heapq.heappush(self._encoded, (embedding.end_ns, self._position[encoder], self._sequence, embedding))
        self._fuse_until(end_ns - self._slack_ns)

    def _embedding(self, encoder: str, end_ns: int, result: _Result) -> Embedding | None:
        if isinstance(result, _Repeat):
            latest = self._latest.get(encoder)
            return latest and restamped(latest, result.end_ns)
        if result is None:
            self._keep_alive.uncover(encoder, end_ns)  # the next item is encoded, even behind a closed gate
        return result

    def _wait_for(self, future: Future[_Result]) -> _Result:
        """Return the result of a future; None when the daemon stops."""
        while not self._stop.is_set():
            try:
                return future.result(timeout=POLL_S)
            except FutureTimeoutError:
                continue
        return None

    def _fuse_until(self, end_ns: int) -> None:
        """Fuse the embeddings up to `end_ns`. No later item can precede them."""
        while self._encoded and self._encoded[0][0] <= end_ns:
            embedding = heapq.heappop(self._encoded)[-1]
            self._fused_ns = embedding.end_ns
            fused = self._fusion.deliver(embedding, embedding.end_ns)
            if fused.late:
                self._counters[embedding.encoder].drop("late", fused.late)
            self._publish(fused)
