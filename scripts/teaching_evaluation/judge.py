"""What fitted labels make of moments: scores as the daemon's head gives them, start levels, events. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from home_evaluation.start_levels import Track, start_levels
from numpy.typing import NDArray

from daemon.config.streams import EventsConfig
from daemon.core.records import Array, Array64
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.fusion.events import EventSettings
from daemon.teaching.fit import Fitted
from teaching_evaluation.lessons import STREAM


@dataclass(frozen=True)
class Judge:
    """The labels of a fit with independent scoring. `sizes` has the length in F of each encoder, in its order."""

    fitted: Fitted
    sizes: Mapping[str, int]

    @property
    def labels(self) -> list[str]:
        """The labels that were fitted."""
        return list(self.fitted.labels)

    def logits(self, vectors: Mapping[str, Array]) -> Array64:
        """The logits (..., T) of moments whose encoders gave `vectors` (..., D). An absent encoder has no entry."""
        total: Array64 = self.fitted.bias.astype(np.float64)
        ends = list(accumulate(self.sizes.values()))
        for index, (name, end) in enumerate(zip(self.sizes, ends, strict=True)):
            if name in vectors:
                weights = self.fitted.weights[:, end - self.sizes[name] : end]
                total = total + vectors[name] @ weights.T + self.fitted.weights[:, ends[-1] + index]
        return total

    def levels(self, times_ns: NDArray[np.int64], vectors: Mapping[str, Array], max_age_ms: int) -> Array64:
        """The start level (streams, T) of each label in streams of the same times (n,); `vectors` (streams, n, D)."""
        scores = 1 / (1 + np.exp(-np.clip(self.logits(vectors), -40, 40)))
        streams, moments, labels = scores.shape
        columns = np.moveaxis(scores, 1, 0).reshape(moments, streams * labels)
        track = Track(times_ns, times_ns + max_age_ms * NS_PER_MS + 1, columns)
        return start_levels(track, _settings(columns.shape[1])).reshape(streams, labels)

    def starts(self, levels: Array64) -> NDArray[np.bool_]:
        """Whether each label starts an event in streams with these start levels (streams, T)."""
        return np.asarray(levels >= self.thresholds())

    def thresholds(self) -> Array64:
        """The score (T,) at which each label starts."""
        found = [label.threshold(STREAM) for label in self.fitted.labels.values()]
        return np.array([2.0 if each is None else each.start for each in found])

    def states(self, vectors: Mapping[str, Array]) -> Sequence[str | None]:
        """The votes of moments by `vectors` (n, D): the label with the highest score if that starts it; None: none."""
        scores = 1 / (1 + np.exp(-np.clip(self.logits(vectors), -40, 40)))
        best, starts = scores.argmax(axis=1), self.thresholds()
        return [
            self.labels[at] if row[at] >= starts[at] else None for row, at in zip(scores, best.tolist(), strict=True)
        ]


def _settings(labels: int) -> EventSettings:
    """The default settings of events, for so many labels."""
    config = EventsConfig()
    nothing = np.zeros(labels, np.float32)
    return EventSettings(
        encoders={},
        labels=[""] * labels,
        makes_events=[True] * labels,
        start=nothing,
        end=nothing,
        smoothing_ns=round(config.smoothing_s * NS_PER_S),
        min_duration_ns=round(config.min_duration_s * NS_PER_S),
        max_duration_ns=round(config.max_duration_s * NS_PER_S),
        update_every_ns=round(config.update_every_s * NS_PER_S),
        scoring="independent",
    )
