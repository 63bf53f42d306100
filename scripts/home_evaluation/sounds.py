"""Sounds alone: every clip of the data set, streamed with silence around it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evaluation.rows import at_least, at_most, plain, share

from daemon.core.records import Array64
from home_evaluation.classes import Classes, SoundClass
from home_evaluation.material import Clip
from home_evaluation.measures import auroc, found, mean
from home_evaluation.outcome import Outcome, outcomes
from home_evaluation.report import Cell, Part, Table, percent
from home_evaluation.scenes import Scene

SILENCE_S = 2.0
COLUMNS = ("class", "label", "clips", "AUROC", "found at 1 % false, %", "own event, %", "false event, %", "top-1, %")


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip that was streamed, its class, and the outcome."""

    of: SoundClass
    outcome: Outcome


def hear(bundle: Path, clips: Mapping[str, Sequence[Clip]], classes: Classes) -> list[Heard]:
    """Stream each clip with SILENCE_S of silence before and after it."""
    every = [clip for of_class in clips.values() for clip in of_class]
    scenes = [Scene(sound=clip, around_s=SILENCE_S) for clip in every]
    measured = outcomes(bundle, scenes, "sounds")
    return [Heard(classes.of(clip.name), outcome) for clip, outcome in zip(every, measured, strict=True)]


def sounds_part(heard: Sequence[Heard], labels: Sequence[str], background: Sequence[str]) -> Part:
    """The rows and tables of the part `sounds`. `labels` are all labels of the bundle, in its order."""
    names = list(dict.fromkeys(each.of.name for each in heard))
    by_class = {name: [each for each in heard if each.of.name == name] for name in names}
    known = sorted({each.of.label for each in heard})
    cells = {name: _cells(own, heard, labels) for name, own in by_class.items()}
    own_events = sum(each.of.label in each.outcome.labels for each in heard)
    false_events = sum(bool(false_labels(each)) for each in heard)
    foreseen = [label for label in labels if label not in background]
    rows = [
        plain("sounds", "mean AUROC over classes", mean([each for each, _ in cells.values()]), "", at_least(0.985)),
        share(
            "sounds",
            "found where 1 % of foreign clips start",
            sum(n for _, n in cells.values()),
            len(heard),
            at_least(82),
        ),
        share("sounds", "shipped thresholds: own event", own_events, len(heard), at_least(75)),
        share("sounds", "shipped thresholds: a false event", false_events, len(heard), at_most(5)),
        share("sounds", "top-1 of all labels", _top(heard, labels, foreseen), len(heard)),
        share("sounds", f"top-1 of the {len(known)} labels of these classes", _top(heard, labels, known), len(heard)),
    ]
    details = [_detail(name, by_class[name], *cells[name], labels, foreseen) for name in names]
    return Part(rows, [Table("Sounds by class", COLUMNS, details), _false_events(heard)])


def levels_of(heard: Sequence[Heard], index: int, *, exclusive: bool = False) -> Array64:
    """The start levels (n,) of one label, by its index."""
    return np.array([(each.outcome.exclusive if exclusive else each.outcome.levels)[index] for each in heard])


def foreign_to(label: str, heard: Sequence[Heard]) -> list[Heard]:
    """The clips of classes that have another label."""
    return [each for each in heard if each.of.label != label]


def false_labels(heard: Heard) -> set[str]:
    """The labels of events that are neither in the clip nor allowed beside it."""
    return {label for label in heard.outcome.labels if not heard.of.allows(label)}


def _cells(own: Sequence[Heard], heard: Sequence[Heard], labels: Sequence[str]) -> tuple[float, int]:
    """AUROC of a class against all clips of other labels, and how many of its clips are found at 1 % false."""
    label = own[0].of.label
    index = labels.index(label)
    levels, foreign = levels_of(own, index), levels_of(foreign_to(label, heard), index)
    return auroc(levels, foreign), found(levels, foreign)


def _top(heard: Sequence[Heard], labels: Sequence[str], among: Sequence[str]) -> int:
    """How many clips have the highest start level at their own label."""
    indices = [labels.index(label) for label in among]
    return sum(among[int(np.argmax(each.outcome.levels[indices]))] == each.of.label for each in heard)


def _detail(
    name: str, own: Sequence[Heard], area: float, hits: int, labels: Sequence[str], among: Sequence[str]
) -> Sequence[Cell]:
    label, count = own[0].of.label, len(own)
    events = sum(label in each.outcome.labels for each in own)
    false = sum(bool(false_labels(each)) for each in own)
    top = _top(own, labels, among)
    return (name, label, count, round(area, 4), *(percent(n, count) for n in (hits, events, false, top)))


def _false_events(heard: Sequence[Heard]) -> Table:
    """The false labels at the shipped thresholds, the most frequent first."""
    counts = Counter((label, each.of.name) for each in heard for label in false_labels(each))
    rows = [(label, name, count) for (label, name), count in counts.most_common()]
    return Table("Clips with a false event", ("label", "class", "clips"), rows)
