"""One thing seen and heard under bad conditions: does fusion find what one sense misses?

A scene lasts 9 s. The camera's picture is dark and noisy, and it rains. From second 2 to 7 a thing is there. Its
picture has an eighth of the light, and its sound the power of the rain. Before and after there are black frames with
the same noise, and the rain alone.

Each label has pairs of one of its pictures with each of its sounds. Foreign pairs are drawn at random. They have a
picture of another group, and a sound of a class that has another label and does not allow this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from evaluation.rows import at_least, plain

from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError
from daemon.core.records import Array64, Modality
from home_evaluation.classes import Classes, SeenAndHeard
from home_evaluation.material import CLIP_S, Clip, InRain, one_of
from home_evaluation.measures import found, mean
from home_evaluation.outcome import Outcome, outcomes
from home_evaluation.pictures import Picture
from home_evaluation.report import Cell, Part, Table, percent
from home_evaluation.scenes import Scene, Sight

SEED = 20261130
AROUND_S = 2.0
LIGHT = 1 / 8
# The standard deviation of the camera's noise, of 255. The same noise is in the streams of scripts/evaluate-digits.
NOISE = 2.0
# Pictures that go with each sound of a label, and foreign pairs.
PICTURES_A_SOUND = 3
FOREIGN = 400
RAIN = "rain"

COLUMNS = ("label", "pairs", "both, %", "picture alone, %", "sound alone, %", "no sound, %", "no picture, %")
SHIPPED_COLUMNS = (
    "label",
    "both, %",
    "both: false, %",
    "no sound, %",
    "no sound: false, %",
    "no picture, %",
    "no picture: false, %",
)
KINDS = ("both", "no_sound", "no_picture")


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and a sound, with the rain in which it is heard."""

    picture: Picture
    sound: Clip
    rain: Clip

    def scene(self) -> Scene:
        """The pair, seen and heard under bad conditions."""
        sight = Sight(self.picture.path, CLIP_S, AROUND_S, LIGHT, NOISE)
        return Scene(InRain(self.sound, self.rain, AROUND_S), sight)


@dataclass(frozen=True, slots=True)
class Perceived:
    """A pair, and the outcomes with both senses, without sound, and without the picture."""

    pair: Pair
    both: Outcome
    no_sound: Outcome
    no_picture: Outcome


def own_pairs(
    entry: SeenAndHeard,
    pictures: Sequence[Picture],
    clips: Mapping[str, Sequence[Clip]],
    rng: np.random.Generator,
) -> list[Pair]:
    """Each sound of the label with random pictures of its group, or with all of them where there are few."""
    group = [picture for picture in pictures if picture.group == entry.picture]
    count = min(PICTURES_A_SOUND, len(group))
    return [
        Pair(group[index], sound, one_of(clips[RAIN], rng))
        for sound in clips[entry.sound]
        for index in rng.choice(len(group), count, replace=False)
    ]


def foreign_pairs(
    pictures: Sequence[Picture], clips: Mapping[str, Sequence[Clip]], rng: np.random.Generator, count: int
) -> list[Pair]:
    """Random pictures with random sounds of random classes other than rain."""
    names = [name for name in clips if name != RAIN]
    return [
        Pair(one_of(pictures, rng), one_of(clips[str(rng.choice(names))], rng), one_of(clips[RAIN], rng))
        for _ in range(count)
    ]


def is_foreign(pair: Pair, entry: SeenAndHeard, classes: Classes) -> bool:
    """Whether neither the picture nor the sound of the pair may have the label."""
    return pair.picture.group != entry.picture and not classes.of(pair.sound.name).allows(entry.label)


def fused_part(
    bundle: Path,
    manifest: Manifest,
    pictures: Sequence[Picture],
    clips: Mapping[str, Sequence[Clip]],
    classes: Classes,
    every: int,
) -> Part:
    """The rows and the table of the part `fused`."""
    rng = np.random.default_rng(SEED)
    entries = [
        entry
        for entry in classes.seen_and_heard
        if entry.label in manifest.labels and entry.sound in clips and any(p.group == entry.picture for p in pictures)
    ]
    if not entries:
        raise InputError(f"{manifest.id} has no label that is both seen and heard")
    own = {entry.label: own_pairs(entry, pictures, clips, rng) for entry in entries}
    foreign = foreign_pairs(pictures, clips, rng, FOREIGN // every)
    chosen = dict.fromkeys([*(pair for of_label in own.values() for pair in of_label), *foreign])
    perceived = {each.pair: each for each in _perceive(bundle, list(chosen))}
    shares, shipped = [], []
    rows: list[list[Cell]] = []
    for entry in entries:
        right = [perceived[pair] for pair in own[entry.label]]
        wrong = [perceived[pair] for pair in foreign if is_foreign(pair, entry, classes)]
        shares.append(_found(manifest.labels.index(entry.label), right, wrong))
        rows.append([entry.label, len(right), *[round(value, 1) for value in shares[-1]]])
        shipped.append(_shipped(entry.label, right, wrong))
    both, seen, heard, no_sound, no_picture = (mean(values) for values in zip(*shares, strict=True))
    best = mean([max(of_label[1:3]) for of_label in shares])
    what = "seen and heard, at 1 % false"
    return Part(
        [
            plain(what, "found by both senses, mean of labels", both, "%"),
            plain(what, "found by the picture alone", seen, "%"),
            plain(what, "found by the sound alone", heard, "%"),
            plain(what, "both above the better sense", both - max(seen, heard), "points", at_least(3)),
            plain(what, "both above the better sense of each label", both - best, "points"),
            plain(what, "the sound is absent: above the picture alone", no_sound - seen, "points", at_least(0)),
            plain(what, "the picture is absent: above the sound alone", no_picture - heard, "points", at_least(0)),
        ],
        [
            Table("Things seen and heard in the dark and in rain, found at 1 % false", COLUMNS, rows),
            Table("The same at the shipped thresholds", SHIPPED_COLUMNS, shipped),
        ],
    )


def _perceive(bundle: Path, pairs: Sequence[Pair]) -> list[Perceived]:
    scenes = [pair.scene() for pair in pairs]
    kinds = [scenes, [replace(one, sound=None) for one in scenes], [replace(one, sight=None) for one in scenes]]
    measured = outcomes(bundle, [scene for kind in kinds for scene in kind], "fused")
    parts = (measured[len(pairs) * index :][: len(pairs)] for index in range(len(kinds)))
    return [Perceived(*row) for row in zip(pairs, *parts, strict=True)]


def _found(index: int, own: Sequence[Perceived], others: Sequence[Perceived]) -> list[float]:
    """How much of one label is found in each condition of COLUMNS, in %, at 1 % of foreign pairs in that condition.

    A sense alone is the evidence of that sense in the scene with both. Where a sense is absent nothing comes from it.
    """
    both, no_sound, no_picture = (found(_levels(own, index, kind), _levels(others, index, kind)) for kind in KINDS)
    seen, heard = (found(_sense(own, index, sense), _sense(others, index, sense)) for sense in ("image", "audio"))
    return [100 * hits / len(own) for hits in (both, seen, heard, no_sound, no_picture)]


def _shipped(label: str, own: Sequence[Perceived], others: Sequence[Perceived]) -> Sequence[Cell]:
    """The events of one label at the shipped thresholds, in its pairs and in foreign ones."""
    shares = []
    for kind in KINDS:
        for perceived in (own, others):
            hits = sum(label in getattr(each, kind).labels for each in perceived)
            shares.append(percent(hits, len(perceived)))
    return (label, *shares)


def _levels(perceived: Sequence[Perceived], index: int, kind: str) -> Array64:
    return np.array([getattr(each, kind).levels[index] for each in perceived])


def _sense(perceived: Sequence[Perceived], index: int, sense: Modality) -> Array64:
    return np.array([each.both.by_sense[sense][index] for each in perceived])
