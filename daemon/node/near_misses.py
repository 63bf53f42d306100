"""Finds the moments at which a taught label came near to an event that did not start."""

import uuid
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.bundle.taught import Taught
from daemon.core.records import Event, Recognition
from daemon.core.timing import NS_PER_S
from daemon.fusion.fuse import Fused
from daemon.node.peaks import PeakQueue, peak_of

# An approach begins and ends at this part of the score that ends an event.
APPROACH = 0.5

# a score that stays high without an event is handed over after so long, and followed anew
LONGEST_NS = 10 * NS_PER_S


class NearMisses:
    """Follows the taught labels of one stream, and hands over the highest moment of each approach without an event.

    Used by the thread that fuses the stream. It keeps one moment of each label.
    """

    def __init__(self, stream: str, queue: PeakQueue) -> None:
        self._stream = stream
        self._queue = queue
        self._labels: Sequence[str] = ()
        self._encoders: Mapping[str, str] = {}
        self._indices: NDArray[np.intp] = np.array([], np.intp)
        self._floors = np.array([], np.float32)
        self._open: set[str] = set()
        # The labels whose event has ended, and whose score has not fallen yet.
        self._fading: set[int] = set()
        self._approaches: dict[int, tuple[int, Recognition]] = {}  # since when, and the highest moment

    def observe(
        self, labels: Sequence[str], encoders: Mapping[str, str], taught: Taught | None, fused: Fused, delay_ns: int
    ) -> None:
        """Take the results of one step of fusion; the arguments are as in EventPeaks."""
        if labels is not self._labels:
            self._adapt_to(labels, encoders, taught)
        for recognition in fused.recognitions:
            self._follow(recognition, delay_ns)
        for event in fused.events:
            self._note(event)

    def _adapt_to(self, labels: Sequence[str], encoders: Mapping[str, str], taught: Taught | None) -> None:
        self._labels, self._encoders = labels, encoders
        self._fading.clear()
        self._approaches.clear()
        floors: dict[int, float] = {}
        for name, label in ({} if taught is None else taught.labels).items():
            threshold = label.threshold(self._stream)
            if threshold is not None and label.state_of is None:
                floors[labels.index(name)] = threshold.end * APPROACH
        self._indices = np.array(list(floors), np.intp)
        self._floors = np.array(list(floors.values()), np.float32)

    def _follow(self, recognition: Recognition, delay_ns: int) -> None:
        scores = recognition.scores[self._indices]
        high = {int(index) for index in self._indices[scores >= self._floors]}
        self._fading &= high
        for index in [index for index in self._approaches if index not in high]:
            self._hand_over(index, delay_ns)
        for index in high - self._fading:
            if self._labels[index] not in self._open:
                self._approach(index, recognition, delay_ns)

    def _approach(self, index: int, recognition: Recognition, delay_ns: int) -> None:
        at_ns = recognition.moment.time_ns
        if index in self._approaches and at_ns - self._approaches[index][0] > LONGEST_NS:
            self._hand_over(index, delay_ns)
        since_ns, best = self._approaches.get(index, (at_ns, recognition))
        best = recognition if recognition.scores[index] > best.scores[index] else best
        self._approaches[index] = since_ns, best

    def _note(self, event: Event) -> None:
        """Note an event: its label has been recognised, so its approach is no near miss."""
        if event.label not in self._labels:
            return
        index = self._labels.index(event.label)
        self._approaches.pop(index, None)
        if event.phase == "end":
            self._open.discard(event.label)
            self._fading.add(index)
        else:
            self._open.add(event.label)

    def _hand_over(self, index: int, delay_ns: int) -> None:
        _, best = self._approaches.pop(index)
        label = self._labels[index]
        peak = peak_of([best], uuid.uuid4().hex, label, index, self._stream, self._encoders, delay_ns)
        self._queue.put_near_miss(peak)
