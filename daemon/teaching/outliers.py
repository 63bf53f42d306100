"""Leaves out embeddings that no encoder gives, because a file is damaged or somebody has made it. Pure.

One number of 1e30 would set the scale of all rows of a fit, and no label would be recognised any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from daemon.core.records import Array
from daemon.teaching.records import BackgroundMoment, StoredMoment, TrainingData, WrongMoment

# An embedding is left out when it is so many times as long as nearly all others of its encoder.
FARTHEST = 100.0
NEARLY_ALL = 95

MomentT = TypeVar("MomentT", StoredMoment, BackgroundMoment, WrongMoment)


def without_outliers(data: TrainingData) -> TrainingData:
    """Return what a fit can use, without moments that have an outlier. `damaged` names them."""
    longest = _longest([*(moment for each in data.examples for moment in each.moments), *data.background, *data.wrong])
    examples = [replace(each, moments=_usable(each.moments, longest)) for each in data.examples]
    background, wrong = _usable(data.background, longest), _usable(data.wrong, longest)
    lost = {
        f"example {each.id} of {each.label}": len(each.moments) - len(kept.moments)
        for each, kept in zip(data.examples, examples, strict=True)
    }
    lost |= {
        "background": len(data.background) - len(background),
        "what was wrong": len(data.wrong) - len(wrong),
    }
    damaged = [*data.damaged, *(_text(what, count) for what, count in lost.items() if count)]
    examples = [each for each in examples if each.moments]
    return replace(data, examples=examples, background=background, wrong=wrong, damaged=damaged)


def _longest(moments: Iterable[StoredMoment | BackgroundMoment | WrongMoment]) -> dict[str, float]:
    """Return how long an embedding may be, by encoder. One that mostly gives zeros has no bound."""
    lengths: dict[str, list[float]] = {}
    for moment in moments:
        for name, vector in moment.vectors.items():
            lengths.setdefault(name, []).append(_length(vector))
    usual = {name: float(np.percentile(found, NEARLY_ALL, method="lower")) for name, found in lengths.items()}
    return {name: FARTHEST * length for name, length in usual.items() if length > 0}


def _usable(moments: Sequence[MomentT], longest: Mapping[str, float]) -> list[MomentT]:
    return [
        moment
        for moment in moments
        if all(_length(vector) <= longest.get(name, np.inf) for name, vector in moment.vectors.items())
    ]


def _length(vector: Array) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))


def _text(what: str, count: int) -> str:
    moments = "1 moment is" if count == 1 else f"{count} moments are"
    return f"{what}: {moments} left out, with numbers that are far larger than those of all others"
