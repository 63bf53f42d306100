"""The path from one live stream's capture to fusion: one lane per bundle, and the switch between two lanes."""

import threading
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from daemon.core.records import Block, Captured, Embedding, ended_ns
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.gates import NO_GATES, Gates
from daemon.pipeline.keep_alive import EmbeddingRepeater
from daemon.pipeline.live import LiveFusion, LiveStream
from daemon.pipeline.preparation import Preparation

# How much recent sound is kept to warm up the front end of the next bundle. Patches for birds or speech last 3 s.
RECENT_SOUND_NS = 4 * NS_PER_S

# How many embeddings wait for an earlier one: a second of pictures. An encoder that takes longer hangs.
MAX_WAITING = 32

ItemT = TypeVar("ItemT")


@dataclass(slots=True, eq=False)
class Ticket(Generic[ItemT]):
    """The place of one item in the order; `item` is None until it is finished."""

    item: ItemT | None = None


class ReorderBuffer(Generic[ItemT]):
    """Returns items in the order of their tickets, each as soon as all earlier ones are finished.

    When more than `max_waiting` items wait for an unfinished one, they stop waiting. That item is returned whenever it
    is finished.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._tickets: deque[Ticket[ItemT]] = deque()
        self._waiting = 0

    def begin(self) -> Ticket[ItemT]:
        """Return the next ticket."""
        ticket: Ticket[ItemT] = Ticket()
        self._tickets.append(ticket)
        return ticket

    def finish(self, ticket: Ticket[ItemT], item: ItemT | None) -> list[ItemT]:
        """Finish a ticket, once; None means that there is no item. Returns the items that need not wait any longer."""
        if ticket not in self._tickets:
            return [] if item is None else [item]
        if item is None:
            self._tickets.remove(ticket)
        else:
            ticket.item = item
            self._waiting += 1
        ready = self._ready()
        if self._waiting > self._max_waiting:
            self._tickets.popleft()
            ready += self._ready()
        return ready

    def _ready(self) -> list[ItemT]:
        ready = []
        while self._tickets and (item := self._tickets[0].item) is not None:
            self._tickets.popleft()
            self._waiting -= 1
            ready.append(item)
        return ready


class Lane:
    """Sends the captured items of one stream to the encoders and the fusion of one bundle.

    Fusion gets the embeddings of each encoder in the order of capture, whichever encoder finishes first.
    """

    def __init__(
        self,
        stream: LiveStream,
        preparation: Preparation,
        encoders: EncoderPool,
        fusion: LiveFusion,
        repeater: EmbeddingRepeater | None = None,
    ) -> None:
        """`repeater` is needed when the stream has gates."""
        self.stream = stream
        self.preparation = preparation
        self._encoders = encoders
        self._fusion = fusion
        self._repeater = repeater
        self._lock = threading.Lock()
        self._order: dict[str, ReorderBuffer[Embedding]] = {
            encoder: ReorderBuffer(MAX_WAITING) for encoder in preparation.encoders
        }
        self._ordered: deque[Embedding] = deque()
        self._encoding = 0
        self._is_closed = False
        self._forwarding = threading.Lock()

    def take(self, captured: Captured, encode: bool = True) -> None:
        """Queue an item for its encoders, without blocking.

        With `encode` false the latest embedding of each encoder is repeated, unless it is too old.
        """
        end_ns = ended_ns(captured)
        held = [] if encode else self._held(captured, end_ns)
        for encoder, item in self.preparation.prepare(captured, held):
            if self._repeater is not None:
                self._repeater.begin(encoder, end_ns)
            with self._lock:
                self._encoding += 1
                ticket = self._order[encoder].begin()
            on_encoded = partial(self._on_encoded, encoder, ticket, end_ns, monotonic_ns())
            self._encoders.offer(self.stream.name, encoder, item, on_encoded, self.stream.counters[encoder])
        for encoder in held:
            if self._repeater is not None and (embedding := self._repeater.repeat(encoder, end_ns)) is not None:
                self._fusion.offer(self.stream, embedding)

    def pause(self) -> None:
        """Pause the fusion of the stream."""
        self._fusion.pause(self.stream)

    def resume(self) -> None:
        """Resume the fusion of the stream."""
        self._fusion.resume(self.stream)

    def close(self) -> None:
        """Take no more items. The stream's successor takes over when fusion has the last embedding of this lane."""
        with self._lock:
            self._is_closed = True
            is_empty = self._encoding == 0
        if is_empty:
            self._fusion.switch_to_successor(self.stream)

    def _held(self, captured: Captured, end_ns: int) -> list[str]:
        """Return the encoders that need not encode an item behind a closed gate."""
        encoders = self.preparation.encoders_for(captured)
        return [name for name in encoders if self._repeater is None or not self._repeater.is_stale(name, end_ns)]

    def _on_encoded(
        self, encoder: str, ticket: Ticket[Embedding], end_ns: int, taken_ns: int, embedding: Embedding | None
    ) -> None:
        if embedding is not None:
            embedding = replace(embedding, taken_ns=taken_ns)
        with self._lock:
            ready = self._order[encoder].finish(ticket, embedding)
            self._ordered.extend(ready)
        if ready:
            self._forward()
        if self._repeater is not None:
            self._repeater.finish(encoder, end_ns, embedding)
        with self._lock:
            self._encoding -= 1
            is_last = self._is_closed and self._encoding == 0
        if is_last:
            self._fusion.switch_to_successor(self.stream)

    def _forward(self) -> None:
        with self._forwarding:  # another lock than that of `take`, because fusing takes a while
            while self._ordered:
                self._fusion.offer(self.stream, self._ordered.popleft())


class LiveFlow:
    """Takes the captured items of one live stream, on the sources' threads. Waits only while the lane is switched."""

    def __init__(self, lane: Lane, gates: Gates = NO_GATES) -> None:
        self._lane = lane
        self._gates = gates
        self._lock = threading.Lock()
        self._recent_sound: deque[Block] = deque()

    def deliver(self, captured: Captured) -> None:
        """Send an item through the gates to the lane."""
        with self._lock:
            for released, encode in self._gates.filter(captured):
                if isinstance(released, Block):
                    self._remember(released)
                self._lane.take(released, encode)

    def pause(self) -> None:
        """Pause the stream's fusion, which ends its open events."""
        self._lane.pause()

    def resume(self) -> None:
        """Resume the stream's fusion."""
        self._lane.resume()

    def switch_to(self, lane: Lane) -> LiveStream:
        """Send the following items to another lane, whose audio front ends continue with the recent sound.

        Returns the stream of the old lane. Its `has_switched` is set once its last embedding has been fused.
        """
        before, sound = self._lane.preparation, self._sound_so_far()
        lane.preparation.warm_up(sound, before)  # without the lock: on small boards it takes longer than a frame
        with self._lock:
            old, self._lane = self._lane, lane
            missed = [block for block in self._recent_sound if not sound or block.end_ns > sound[-1].end_ns]
            lane.preparation.warm_up(missed, before)
            lane.preparation.adopt_front_ends(before)
            old.stream.successor = lane.stream
            old.close()
        return old.stream

    def _sound_so_far(self) -> list[Block]:
        with self._lock:
            return list(self._recent_sound)

    def _remember(self, block: Block) -> None:
        self._recent_sound.append(block)
        while block.end_ns - self._recent_sound[0].end_ns >= RECENT_SOUND_NS:
            self._recent_sound.popleft()
