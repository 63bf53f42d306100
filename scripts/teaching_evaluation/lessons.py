"""What is taught in a measurement: presses, background, and the training set of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import group_of
from daemon.core.records import Array
from daemon.teaching.records import BackgroundMoment, Example, StoredMoment
from daemon.teaching.rows import LabelToFit, TrainingSet

STREAM = "room"
HOUR_S = 3600.0
# Presses are this far apart.
PRESS_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Moments:
    """Consecutive moments: their times (n,) in ms, and the vectors (n, D) of each encoder that is present."""

    times_ms: Sequence[int]
    vectors: Mapping[str, Array]

    def at(self, index: int) -> dict[str, Array]:
        """The vectors of one moment."""
        return {name: rows[index] for name, rows in self.vectors.items()}

    def __len__(self) -> int:
        return len(self.times_ms)


def training_set(
    manifest: Manifest,
    presses: Mapping[str, Sequence[Moments]],
    background: Sequence[Mapping[str, Array]],
    *,
    hours: float,
    covered: Sequence[Mapping[str, Array]] = (),
    known: Sequence[Mapping[str, Array]] = (),
    encoders: Sequence[str] | None = None,
) -> TrainingSet:
    """The training set of these presses by label, on one stream. The background is spread over so many hours.

    `covered` and `known`: see TrainingSet. `encoders` are those that the fit knows; None: all of the bundle.
    """
    specs = {name: spec for name, spec in manifest.encoder_specs.items() if encoders is None or name in encoders}
    labels = [_label(name) for name in presses]
    examples = [
        _example(label, number, press, number * PRESS_EVERY_S)
        for label, of_label in presses.items()
        for number, press in enumerate(of_label)
    ]
    taken_s = np.linspace(0, hours * HOUR_S, len(background), endpoint=False)
    return TrainingSet(
        sizes={name: spec.size for name, spec in specs.items()},
        modalities={name: spec.modality for name, spec in specs.items()},
        scoring=manifest.scoring,
        labels=labels,
        examples=examples,
        background=[
            BackgroundMoment(STREAM, float(at_s), {}, vectors)
            for at_s, vectors in zip(taken_s, background, strict=True)
        ],
        covered=covered,
        known=known,
    )


def _label(name: str) -> LabelToFit:
    return LabelToFit(name, frozenset({STREAM}), state_of=group_of(name))


def _example(label: str, number: int, press: Moments, taken_s: float) -> Example:
    moments = [StoredMoment(int(press.times_ms[index]), press.at(index)) for index in range(len(press))]
    return Example(f"{label} {number}", label, STREAM, taken_s, "press", {}, moments)
