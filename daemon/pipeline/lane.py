"""The way of what one live stream captures to fusion: a lane for each bundle, and the change from one to the next."""

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from daemon.core.records import MODALITIES, Block, Captured, Embedding, Modality, ended_ns
from daemon.core.timing import NS_PER_S
from daemon.pipeline.encode import EncoderPool, Preparation
from daemon.pipeline.keep_alive import NO_GATES, EmbeddingRepeater, Gates
from daemon.pipeline.live import LiveFusion, LiveStream

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Ticket(Generic[Item]):
    """Of one item; None until it is finished."""

    item: Item | None = None


class ReorderBuffer(Generic[Item]):
    """Gives items in the order of their places, each as soon as those before it are finished.

    One that is not finished while more than `most` behind it wait is waited for no longer: it is given whenever it
    comes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: deque[Ticket[Item]] = deque()
        self._waiting = 0

    def begin(self) -> Ticket[Item]:
        """The next place."""
        place: Ticket[Item] = Ticket()
        self._places.append(place)
        return place

    def finish(self, place: Ticket[Item], item: Item | None) -> list[Item]:
        """Take what came of a place, once (None: nothing did); give all that need wait no longer."""
        if place not in self._places:
            return [] if item is None else [item]
        if item is None:
            self._places.remove(place)
        else:
            place.item = item
            self._waiting += 1
        ready = self._ready()
        if self._waiting > self._most:
            self._places.popleft()
            ready += self._ready()
        return ready

    def _ready(self) -> list[Item]:
        ready = []
        while self._places and (item := self._places[0].item) is not None:
            self._places.popleft()
            self._waiting -= 1
            ready.append(item)
        return ready


RETAINED_NS = 4 * NS_PER_S
"""Of sound, for the front end of a bundle to come: longer than the patches of what listens to birds or speech (3 s)."""

MOST_AHEAD = 32
"""Embeddings that wait for one before them, a second of pictures: an encoder that is still at work by then hangs."""


class Lane:
    """What one stream captures goes along here while one bundle is in use.

    Fusion gets the embeddings of one modality in the order of what was captured, whichever encoder is done first.
    """

    def __init__(
        self,
        stream: LiveStream,
        preparation: Preparation,
        encoders: EncoderPool,
        fusion: LiveFusion,
        kept: EmbeddingRepeater | None = None,
    ) -> None:
        """`kept` is needed where something may not be wanted."""
        self.stream = stream
        self.preparation = preparation
        self._encoders = encoders
        self._fusion = fusion
        self._kept = kept
        self._lock = threading.Lock()
        self._order: dict[Modality, ReorderBuffer[Embedding]] = {m: ReorderBuffer(MOST_AHEAD) for m in MODALITIES}
        self._in_order: deque[Embedding] = deque()
        self._under_way = 0
        self._is_closed = False
        self._handing_on = threading.Lock()

    def take(self, captured: Captured, wanted: bool = True) -> None:
        """Prepare and hand on to the encoders, without blocking. For what is not wanted the latest embedding stands."""
        wanted = wanted or (self._kept is not None and self._kept.is_stale(captured))
        for modality, item in self.preparation.prepare(captured, wanted):
            if self._kept is not None:
                self._kept.begin(modality, ended_ns(captured))
            with self._lock:
                self._under_way += 1
                place = self._order[modality].begin()
            done = partial(self._done, modality, place, ended_ns(captured))
            self._encoders.offer(self.stream.name, modality, item, done, self.stream.counters[modality])
        if not wanted and self._kept is not None and (embedding := self._kept.again(captured)) is not None:
            self._fusion.offer(self.stream, embedding)

    def close(self) -> None:
        """Nothing more comes: when what is under way has reached fusion, the stream's successor takes over."""
        with self._lock:
            self._is_closed = True
            is_empty = self._under_way == 0
        if is_empty:
            self._fusion.order(self.stream, "leave")

    def _done(self, modality: Modality, place: Ticket[Embedding], end_ns: int, embedding: Embedding | None) -> None:
        with self._lock:
            ready = self._order[modality].finish(place, embedding)
            self._in_order.extend(ready)
        if ready:
            self._hand_on()
        if self._kept is not None:
            self._kept.finish(modality, end_ns, embedding)
        with self._lock:
            self._under_way -= 1
            is_last = self._is_closed and self._under_way == 0
        if is_last:
            self._fusion.order(self.stream, "leave")

    def _hand_on(self) -> None:
        with self._handing_on:  # not the lock that `take` needs, for fusing takes a while
            while self._in_order:
                self._fusion.offer(self.stream, self._in_order.popleft())


class LiveFlow:
    """Takes what one stream captures, on the sources' threads, and never waits longer than a lane takes to change."""

    def __init__(self, lane: Lane, gates: Gates = NO_GATES) -> None:
        self._lane = lane
        self._gates = gates
        self._lock = threading.Lock()
        self._retained: deque[Block] = deque()

    @property
    def stream(self) -> LiveStream:
        """The stream under the bundle that what comes next is recognised by."""
        return self._lane.stream

    def deliver(self, captured: Captured) -> None:
        """Send what passes the gates along the lane."""
        with self._lock:
            for passed, wanted in self._gates.filter(captured):
                if isinstance(passed, Block):
                    self._retain(passed)
                self._lane.take(passed, wanted)

    def change(self, lane: Lane) -> LiveStream:
        """Send what comes from now on along another lane, whose ears are warmed by what was heard last.

        Gives the stream as it was, which has left once all that is under way has been fused.
        """
        is_alike = lane.preparation.shares_front_end(self._lane.preparation)
        heard = [] if is_alike else self._heard()
        lane.preparation.hear(heard)  # without the lock: on small boards it takes longer than a frame
        with self._lock:
            old, self._lane = self._lane, lane
            if is_alike:
                lane.preparation.adopt_front_end(old.preparation)
            else:
                lane.preparation.hear(block for block in self._retained if not heard or block.end_ns > heard[-1].end_ns)
            old.stream.successor = lane.stream
            old.close()
        return old.stream

    def _heard(self) -> list[Block]:
        with self._lock:
            return list(self._retained)

    def _retain(self, block: Block) -> None:
        self._retained.append(block)
        while block.end_ns - self._retained[0].end_ns >= RETAINED_NS:
            self._retained.popleft()
