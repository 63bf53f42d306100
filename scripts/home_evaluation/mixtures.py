"""Mixtures: two sounds of different classes at the same time, speech among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evaluation.rows import Row, Target, at_least, share

from daemon.bundle.manifest import Manifest
from daemon.core.records import Array64
from home_evaluation.classes import Classes
from home_evaluation.material import ClassifiedSound, Clip, Mixture, SpeechClip, one_of
from home_evaluation.measures import one_percent_level
from home_evaluation.outcome import Outcome, outcomes
from home_evaluation.report import Cell, Part, Table, percent
from home_evaluation.scenes import Scene
from home_evaluation.sounds import SILENCE_S, Heard, foreign_to, levels_of
from home_evaluation.spoken import utterance

Pair = tuple[ClassifiedSound, ClassifiedSound]

SEED = 20261129
PAIRS = 200
SPEECH_CLIPS = 20
SPEECH_SENTENCES = 3
SOFTER_DB = -6.0

COLUMNS = ("class", "sounds", "alone, %", "0 dB, %", "0 dB, exclusive, %")


@dataclass(frozen=True, slots=True)
class Trial:
    """A scene, and the sounds in it whose labels should start."""

    scene: Scene
    sounds: Sequence[ClassifiedSound]


@dataclass(frozen=True, slots=True)
class Presence:
    """A sound that should start: its class and its label's index, and the outcome of its scene."""

    name: str
    index: int
    outcome: Outcome

    def exceeds(self, levels: Array64, *, exclusive: bool) -> bool:
        """Whether the label starts where each label has this level (L,) as its threshold."""
        own = self.outcome.exclusive if exclusive else self.outcome.levels
        return bool(own[self.index] > levels[self.index])


@dataclass(frozen=True, slots=True)
class Kind:
    """Trials of one kind, with the share of sounds that should start, and what has come of them."""

    what: str
    trials: Sequence[Trial]
    target: Target | None
    presences: Sequence[Presence]


def speech_clips(every: int = 1) -> list[SpeechClip]:
    """Clips of speech by all voices; one in `every` of them."""
    rng = np.random.default_rng(SEED)
    clips = [SpeechClip(utterance(index, SPEECH_SENTENCES, rng)) for index in range(SPEECH_CLIPS)]
    return clips[::every]


def pairs(sounds: Mapping[str, Sequence[ClassifiedSound]], classes: Classes, count: int) -> list[Pair]:
    """Random pairs of sounds whose classes have different labels. Every class is as frequent as the others."""
    rng = np.random.default_rng(SEED)
    names, chosen = list(sounds), list[Pair]()
    while len(chosen) < count:
        first, second = rng.choice(names, 2)
        if classes.of(first).label != classes.of(second).label:
            chosen.append((one_of(sounds[first], rng), one_of(sounds[second], rng)))
    return chosen


def mixtures_part(
    bundle: Path,
    manifest: Manifest,
    heard: Sequence[Heard],
    clips: Mapping[str, Sequence[Clip]],
    classes: Classes,
    every: int,
) -> Part:
    """The rows and the table of the part `mixtures`. `heard` has the outcomes of the clips alone."""
    sounds: dict[str, Sequence[ClassifiedSound]] = {**clips}
    if "speech" in manifest.labels:
        sounds["speech"] = speech_clips(every)
    chosen = pairs(sounds, classes, PAIRS // every)
    equal = [Trial(_mixture(first, second, 0.0), (first, second)) for first, second in chosen]
    softer = [Trial(_mixture(*pair, SOFTER_DB), pair[1:]) for one in chosen for pair in (one, one[::-1])]
    alone = [Trial(Scene(sound, around_s=SILENCE_S), (sound,)) for pair in chosen for sound in pair]
    scenes = [trial.scene for trial in (*equal, *softer, *alone)]
    measured = dict(zip(scenes, outcomes(bundle, scenes, "mixtures"), strict=True))
    index_of = {name: manifest.labels.index(classes.of(name).label) for name in sounds}
    kinds = [
        Kind(what, trials, target, _presences(trials, measured, index_of))
        for what, trials, target in (
            ("0 dB: each of the two", equal, at_least(55)),
            ("-6 dB: the softer", softer, at_least(42)),
            ("alone: each of the two", alone, None),
        )
    ]
    levels = {flag: one_percent_levels(heard, manifest.labels, exclusive=flag) for flag in (False, True)}
    rows = [*_rows(kinds, levels, manifest.labels), _false_row(equal, measured, classes)]
    return Part(rows, [_table(kinds, levels)])


def one_percent_levels(heard: Sequence[Heard], labels: Sequence[str], *, exclusive: bool) -> Array64:
    """For each label the level (L,) that 1 % of the foreign clips exceed.

    The clips of the data set may have speech in them. So those beside whose class speech is allowed do not count.
    """
    own = {each.of.label for each in heard}
    levels = []
    for index, label in enumerate(labels):
        foreign = [each for each in foreign_to(label, heard) if label in own or not each.of.allows(label)]
        levels.append(one_percent_level(levels_of(foreign, index, exclusive=exclusive)))
    return np.array(levels)


def _mixture(first: ClassifiedSound, second: ClassifiedSound, second_db: float) -> Scene:
    return Scene(Mixture(first, second, second_db), around_s=SILENCE_S)


def _presences(
    trials: Sequence[Trial], measured: Mapping[Scene, Outcome], index_of: Mapping[str, int]
) -> list[Presence]:
    return [
        Presence(sound.name, index_of[sound.name], measured[trial.scene]) for trial in trials for sound in trial.sounds
    ]


def _rows(kinds: Sequence[Kind], levels: Mapping[bool, Array64], labels: Sequence[str]) -> list[Row]:
    rows = []
    for exclusive in (False, True):
        where = "exclusive, 1 % of foreign clips" if exclusive else "1 % of foreign clips"
        for kind in kinds:
            hits = sum(each.exceeds(levels[exclusive], exclusive=exclusive) for each in kind.presences)
            target = None if exclusive else kind.target
            rows.append(share("mixtures", f"{where}; {kind.what}", hits, len(kind.presences), target))
    for kind in kinds:
        hits = sum(labels[each.index] in each.outcome.labels for each in kind.presences)
        rows.append(share("mixtures", f"shipped thresholds; {kind.what}", hits, len(kind.presences), kind.target))
    return rows


def _false_row(equal: Sequence[Trial], measured: Mapping[Scene, Outcome], classes: Classes) -> Row:
    """How many of the mixtures at 0 dB have an event that is right beside neither of the two."""
    false = 0
    for trial in equal:
        of = [classes.of(sound.name) for sound in trial.sounds]
        false += any(not any(one.allows(label) for one in of) for label in measured[trial.scene].labels)
    return share("mixtures", "shipped thresholds; 0 dB: a false event", false, len(equal))


def _table(kinds: Sequence[Kind], levels: Mapping[bool, Array64]) -> Table:
    """For each class the share of its sounds that start, at the levels of 1 % of foreign clips."""
    equal, _, alone = (kind.presences for kind in kinds)
    rows = []
    for name in sorted({each.name for each in equal}):
        cells: list[Cell] = [name, sum(each.name == name for each in equal)]
        for presences, exclusive in ((alone, False), (equal, False), (equal, True)):
            own = [each for each in presences if each.name == name]
            hits = sum(each.exceeds(levels[exclusive], exclusive=exclusive) for each in own)
            cells.append(percent(hits, len(own)))
        rows.append(cells)
    return Table("Sounds that start in mixtures, where 1 % of foreign clips start", COLUMNS, rows)
