"""Keeps the moments of each event at which its label scored highest, so that the event can be called wrong later."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.core.records import Array, Counters, Event, Moment, Recognition
from daemon.core.timing import NS_PER_MS, NS_PER_S, wall_seconds
from daemon.fusion.fuse import Fused
from daemon.teaching.records import Peak

# So many peaks wait for the thread of teaching. It takes them several times a second.
MAX_WAITING = 256

# An event starts after its label has scored high for a while. Its peak may be one of so many moments before.
MAX_RECENT = 32
RECENT_NS = 2 * NS_PER_S

# An event has several moments unlike each other. So many are kept, this far apart: a sound is encoded twice a second.
MOMENTS = 4
APART_NS = 400 * NS_PER_MS


class PeakQueue:
    """Hands the peaks of all streams to the thread of teaching, the newest ones if it is late. Thread-safe.

    `counters` counts as dropped those that it has not got: `peak_late`. A near miss is no peak of an event: of each
    label and stream only the highest one waits.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._waiting: deque[Peak] = deque()
        self._near_misses: dict[tuple[str, str], Peak] = {}
        self._lock = threading.Lock()

    def put(self, peak: Peak) -> None:
        """Hand over a peak, without blocking."""
        with self._lock:
            self._waiting.append(peak)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self._counters.drop("peak_late")

    def take(self) -> list[Peak]:
        """Return the peaks since the last call, oldest first."""
        with self._lock:
            taken, self._waiting = list(self._waiting), deque()
        return taken

    def put_near_miss(self, peak: Peak) -> None:
        """Hand over the highest moment of a time in which no event started, without blocking."""
        key = peak.stream, peak.label
        with self._lock:
            waiting = self._near_misses.get(key)
            if waiting is None or peak.score > waiting.score:
                self._near_misses[key] = peak

    def take_near_misses(self) -> list[Peak]:
        """Return the near misses since the last call."""
        with self._lock:
            taken, self._near_misses = list(self._near_misses.values()), {}
        return taken


@dataclass(slots=True)
class _Open:
    """An open event: the index of its label, and the best recognitions so far."""

    event: Event
    index: int
    best: list[Recognition] = field(default_factory=list)

    def score(self, recognition: Recognition) -> float:
        return float(recognition.scores[self.index])

    def consider(self, recognition: Recognition) -> None:
        """Keep a recognition, if it is better than the one near it, or than the worst of those that are kept."""
        time_ns = recognition.moment.time_ns
        near = [each for each in self.best if abs(each.moment.time_ns - time_ns) < APART_NS]
        rivals = near or (self.best if len(self.best) == MOMENTS else [])
        worst = min(rivals, key=self.score, default=None)
        if worst is not None and self.score(recognition) <= self.score(worst):
            return
        self.best = [*(each for each in self.best if each is not worst), recognition]


class EventPeaks:
    """Follows the events of one stream. `observe` is called by the thread that fuses; the rest from any thread."""

    def __init__(self, stream: str, queue: PeakQueue) -> None:
        self._stream = stream
        self._queue = queue
        self._lock = threading.Lock()
        self._labels: Sequence[str] = ()
        self._encoders: Mapping[str, str] = {}
        self._recent: deque[Recognition] = deque(maxlen=MAX_RECENT)
        self._open: dict[str, _Open] = {}
        self._delay_ns = 0

    def observe(self, labels: Sequence[str], encoders: Mapping[str, str], fused: Fused, delay_ns: int) -> None:
        """Take the results of one step of fusion.

        `labels` are those of the bundle, and `encoders` has its fingerprints: the same objects until another bundle
        takes over. `delay_ns` is how long after its capture a moment was recognised by design.
        """
        with self._lock:
            if labels is not self._labels:
                self._labels, self._encoders = labels, encoders
                self._recent.clear()
            self._delay_ns = delay_ns
            for recognition in fused.recognitions:
                self._recent.append(recognition)
                for event in self._open.values():
                    event.consider(recognition)
            for each in fused.events:
                self._follow(each)

    @property
    def open_labels(self) -> frozenset[str]:
        """The labels whose events are open."""
        with self._lock:
            return frozenset(self._open)

    def open_peaks(self) -> list[Peak]:
        """Return the peaks so far of the events that are open, the event that started last comes last."""
        with self._lock:
            return [peak for event in self._open.values() if (peak := self._peak(event)) is not None]

    def _follow(self, event: Event) -> None:
        if event.phase == "start":
            started = self._open[event.label] = _Open(event, self._labels.index(event.label))
            for recognition in self._recent:
                if recognition.moment.time_ns >= event.started_ns - RECENT_NS:
                    started.consider(recognition)
        elif event.phase == "end":
            ended = self._open.pop(event.label, None)
            if ended is not None and (peak := self._peak(ended)) is not None:
                self._queue.put(peak)

    def _peak(self, event: _Open) -> Peak | None:
        if not event.best:
            return None
        moments = sorted(event.best, key=event.score, reverse=True)
        name, label = event.event.id, event.event.label
        return peak_of(moments, name, label, event.index, self._stream, self._encoders, self._delay_ns)


def peak_of(
    moments: Sequence[Recognition],
    event: str,
    label: str,
    index: int,
    stream: str,
    encoders: Mapping[str, str],
    delay_ns: int,
) -> Peak:
    """Return moments, highest first, as the peak of an event. `index` is that of its label; see EventPeaks."""
    best, *further = (each.moment for each in moments)
    return Peak(
        event=event,
        label=label,
        stream=stream,
        taken_s=wall_seconds(best.time_ns - delay_ns),
        score=float(moments[0].scores[index]),
        encoders={name: encoders[name] for each in moments for name in each.moment.embeddings},
        vectors=_vectors(best),
        further=[_vectors(each) for each in further],
    )


def _vectors(moment: Moment) -> dict[str, Array]:
    return {name: embedding.vector for name, embedding in moment.embeddings.items()}
