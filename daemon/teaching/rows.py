"""The rows that a fit learns from: the moments of examples, background and corrections, checked and in order. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from daemon.config.streams import Seconds
from daemon.core.document import StrictModel
from daemon.core.records import Array, Modality, Scoring
from daemon.teaching.records import BackgroundMoment, Example, WrongMoment

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

# covered: of a covered camera; known: what the base recognises rightly
Kind = Literal["example", "background", "wrong", "covered", "known"]

# the press of a row that belongs to no example, and the label of one that belongs to none
NONE = -1

HOUR_S = 3600.0


class BaseLogits(Protocol):
    """Gives the logits (L,) of the base for the vectors of one moment."""

    def __call__(self, vectors: Mapping[str, Array], stream: str | None = None) -> Array:
        """Return the logits of the labels that apply to a stream; None: of all labels."""
        ...


@dataclass(frozen=True)
class LabelToFit:
    """A label, the streams where it applies (`everywhere`: all), and the group of states that it belongs to."""

    name: str
    streams: frozenset[str]
    everywhere: bool = False
    state_of: str | None = None

    def applies_to(self, stream: str) -> bool:
        """Return whether the label applies to a stream."""
        return self.everywhere or stream in self.streams


class EventTimes(StrictModel):
    """How long the scores of a stream are smoothed, and how long they must be above the threshold; see EventsConfig."""

    smoothing_s: Seconds = 0.3
    min_duration_s: Seconds = 0.2


@dataclass(frozen=True)
class TrainingSet:
    """What a fit learns from.

    `sizes` has the length in F of each encoder, in the order of F, and `modalities` its modality. `scores_only` has
    the encoders that give scores of labels and no embedding. `covered` has vectors of a covered camera by encoder.
    `known` has moments that the base recognises rightly, such as those of its self-test. `events` has the times of the
    events of each stream; another stream has the default ones. `base_labels` has the names of the labels of BaseLogits
    that make events, and None for the others.
    """

    sizes: Mapping[str, int]
    modalities: Mapping[str, Modality]
    scoring: Scoring
    labels: Sequence[LabelToFit]
    examples: Sequence[Example]
    background: Sequence[BackgroundMoment]
    wrong: Sequence[WrongMoment] = ()
    covered: Sequence[Mapping[str, Array]] = ()
    false_alarms_a_day: float = 1.0
    known: Sequence[Mapping[str, Array]] = ()
    scores_only: frozenset[str] = field(default_factory=frozenset)
    base_labels: Sequence[str | None] = ()
    events: Mapping[str, EventTimes] = field(default_factory=dict)

    def times_of(self, stream: str) -> EventTimes:
        """Return the times of the events of a stream."""
        return self.events.get(stream, EventTimes())


@dataclass(frozen=True)
class Row:
    """One moment: its usable vectors, and where it comes from. `press` is an index of TrainingSet.examples.

    `part` is that of a moment in what was called wrong at once.
    """

    vectors: Mapping[str, Array]
    kind: Kind
    label: int = NONE
    press: int = NONE
    stream: str = ""
    time_ms: int = 0
    hour: int = 0
    part: float = 1.0


def rows_of(training: TrainingSet, labels: Sequence[LabelToFit]) -> list[Row]:
    """Return the rows for these labels: of each example its moments in the order of time, then all others.

    Background of streams where none of the labels applies is left out.
    A vector with NaN, of an unknown encoder or of another length is left out, and so is a moment without any vector.
    """
    return [row for row in _all_rows(training, labels) if row.vectors]


def usable(vectors: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """Return the vectors that have the length that their encoder gives, and finite numbers."""
    return {
        name: vectors[name]
        for name, size in sizes.items()
        if name in vectors and vectors[name].shape == (size,) and np.isfinite(vectors[name]).all()
    }


def _all_rows(training: TrainingSet, to_fit: Sequence[LabelToFit]) -> Iterator[Row]:
    labels = {label.name: index for index, label in enumerate(to_fit)}
    sizes = training.sizes
    for press, example in enumerate(training.examples):
        if example.label in labels:
            label, hour = labels[example.label], _hour(example.taken_s)
            for moment in sorted(example.moments, key=lambda each: each.time_ms):
                vectors = usable(moment.vectors, sizes)
                yield Row(vectors, "example", label, press, example.stream, moment.time_ms, hour)
    # in the order of time: where there are few hours, folds are spells of time
    for background in sorted(training.background, key=lambda each: each.taken_s):
        if not any(label.applies_to(background.stream) for label in to_fit):
            continue
        vectors = usable(background.vectors, sizes)
        yield Row(vectors, "background", stream=background.stream, hour=_hour(background.taken_s))
    for wrong in training.wrong:
        if wrong.label in labels:
            moments = (wrong.vectors, *wrong.further)
            row = Row({}, "wrong", labels[wrong.label], stream=wrong.stream, hour=_hour(wrong.taken_s))
            yield from (replace(row, vectors=usable(each, sizes), part=1 / len(moments)) for each in moments)
    for covered in training.covered:
        yield Row(usable(covered, sizes), "covered")
    for known in training.known:
        yield Row(usable(known, sizes), "known")


def _hour(taken_s: float) -> int:
    return int(taken_s // HOUR_S)
