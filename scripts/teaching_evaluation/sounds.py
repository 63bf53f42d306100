"""Classes of sound against each other, and one event against classes that were never heard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from evaluation.progress import with_progress
from evaluation.rows import Row, Target, at_least, plain
from home_evaluation.measures import auroc, found
from home_evaluation.report import Cell, Part, Table, percent

from daemon.core.records import Array
from teaching_evaluation.embedding import Clips, Heard
from teaching_evaluation.lessons import Moments
from teaching_evaluation.subject import Subject

FOLDS = (1, 2, 3, 4)
ESC10 = (
    "chainsaw",
    "clock_tick",
    "crackling_fire",
    "crying_baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea_waves",
    "sneezing",
)
# Presses a class, and the share of clips that must be told apart, in %.
ESC10_TARGETS: Mapping[int, float] = {1: 82, 5: 94, 10: 96}
ALL_TARGETS: Mapping[int, float] = {1: 80, 5: 88, 20: 92}
CHOICES_OF_ONE = 4
PRESSES = 5
BACKGROUND_CLIPS = 100
KNOWN_CLASSES = 9
HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A share of each fold and seed."""

    shares: Sequence[float]

    def row(self, what: str, condition: str, target: Target | None = None) -> Row:
        """The mean in %, with its spread (standard deviation) in the condition."""
        values = 100 * np.array(self.shares)
        return plain(what, f"{condition} (spread {values.std():.1f})", float(values.mean()), "%", target, len(values))


def press(heard: Heard, index: int) -> Moments:
    """The moments of one press of a sound."""
    return Moments((heard.times_ns // 1_000_000).tolist(), {"sound": heard.vectors[index]})


def single_moments(vectors: Array) -> list[dict[str, Array]]:
    """Vectors (..., D) of sound as moments of background."""
    return [{"sound": vector} for vector in vectors.reshape(-1, vectors.shape[-1])]


def classes_part(subject: Subject, clips: Clips, seeds: int) -> Part:
    """Rows of ESC-10 and of all 19 classes, at several presses a class."""
    rows = []
    every = sorted(set(clips.names))
    for names, targets, what in ((ESC10, ESC10_TARGETS, "ESC-10"), (every, ALL_TARGETS, f"{len(every)} sounds")):
        for count, target in targets.items():
            # which one press is taught decides much
            tries = [(fold, seed) for fold in FOLDS for seed in range(seeds * (CHOICES_OF_ONE if count == 1 else 1))]
            shares = [
                told_apart(subject, clips, names, count, fold, seed)
                for fold, seed in with_progress(f"{what}, {count} presses", tries)
            ]
            condition = f"{count} press{'es' if count > 1 else ''} a class, against each other"
            rows.append(Spread(shares).row(what, condition, at_least(target)))
    return Part(rows)


def told_apart(subject: Subject, clips: Clips, names: Sequence[str], count: int, fold: int, seed: int) -> float:
    """The share of the fold's clips whose own label has the highest start level. Presses come from other folds."""
    rng = np.random.default_rng([seed, fold])
    others = [each for each in FOLDS if each != fold]
    presses = {
        name: [press(clips.presses, index) for index in rng.permutation(clips.of(name, others))[:count]]
        for name in names
    }
    judge = subject.judge(presses, single_moments(subject.hush[0].vectors[:, 0]), hours=HOURS)
    tested = [index for name in names for index in clips.of(name, [fold])]
    levels = subject.sound_levels(judge, clips.streamed, tested)
    highest = [judge.labels[place] for place in levels.argmax(axis=1)]
    return float(np.mean([clips.names[index] == name for index, name in zip(tested, highest, strict=True)]))


@dataclass(frozen=True, slots=True)
class OneEvent:
    """One label of PRESSES presses against classes never heard: AUROC, own clips found at 1 % false, their number."""

    auroc: float
    found: int
    count: int


def foreign_part(subject: Subject, clips: Clips, seeds: int) -> Part:
    """Rows of one event against classes that were never heard, and a table by class."""
    names = sorted(set(clips.names))
    tries = [(name, fold, seed) for name in names for fold in FOLDS for seed in range(seeds)]
    measured = [
        (name, one_event(subject, clips, name, fold, seed)) for name, fold, seed in with_progress("foreign", tries)
    ]
    results = [result for _, result in measured]
    spread = np.std([result.auroc for result in results])
    what = f"one event, {PRESSES} presses"
    rows = [
        plain(
            what,
            f"AUROC against classes never heard (spread {spread:.3f})",
            float(np.mean([r.auroc for r in results])),
            "",
            at_least(0.99),
            len(results),
        ),
        Spread([r.found / r.count for r in results]).row(what, "found where 1 % of foreign clips start", at_least(85)),
    ]
    cells: list[list[Cell]] = []
    for name in names:
        own = [result for each, result in measured if each == name]
        cells.append(
            [
                name,
                round(float(np.mean([r.auroc for r in own])), 3),
                percent(sum(r.found for r in own), sum(r.count for r in own)),
            ]
        )
    return Part(rows, [Table("One event by class", ("class", "AUROC", "found at 1 % false, %"), cells)])


def one_event(subject: Subject, clips: Clips, name: str, fold: int, seed: int) -> OneEvent:
    """Teach one class with background of KNOWN_CLASSES others; the clips of the remaining classes are foreign."""
    rng = np.random.default_rng([seed, fold, sorted(set(clips.names)).index(name)])
    others = rng.permutation([each for each in sorted(set(clips.names)) if each != name]).tolist()
    training = [each for each in FOLDS if each != fold]
    known = [index for each in others[:KNOWN_CLASSES] for index in clips.of(each, training)]
    background = rng.permutation(known)[:BACKGROUND_CLIPS]
    taught = rng.permutation(clips.of(name, training))[:PRESSES]
    judge = subject.judge(
        {name: [press(clips.presses, index) for index in taught]},
        single_moments(clips.presses.vectors[background]),
        hours=HOURS,
    )
    own = subject.sound_levels(judge, clips.streamed, clips.of(name, [fold]))[:, 0]
    never = [index for each in others[KNOWN_CLASSES:] for index in clips.of(each, FOLDS)]
    foreign = subject.sound_levels(judge, clips.streamed, never)[:, 0]
    return OneEvent(auroc(own, foreign), found(own, foreign), len(own))
