"""A day at a place: how often a label starts wrongly at its own thresholds, and whether the report tells it.

The place has the sounds of five classes. Its background is a day of recordings of the training folds, its test a day
of those of the held-out fold. Each recording is there once an hour, at another loudness each hour. Quiet rooms are
between them. The label is another class, of which the test counts how many clips start it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from evaluation.progress import with_progress
from evaluation.rows import at_least, at_most, plain, share
from home_evaluation.material import Clip, power, scaled
from home_evaluation.report import Cell, Part, Table, percent

from daemon.core.records import Array
from teaching_evaluation.embedding import SILENCE_S, Clips, Heard, hear
from teaching_evaluation.sounds import ESC10, FOLDS, press, single_moments
from teaching_evaluation.subject import Subject

CLASSES = 5
HOURS = 24
BACKGROUND = 2000
# How much softer the recordings of the place are, hour by hour.
SOFTER_DB = (0.0, 6.0, 12.0, 18.0)
# A recording with the silence around it takes so long.
PRESSES = (5, 10)
MOMENTS_AN_HOUR = 7500
WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Softer:
    """A clip that is so many dB softer."""

    clip: Clip
    by_db: float

    def samples(self, rate_hz: int) -> Array:
        """The sound: float32 (n,) in [-1, 1]."""
        samples = self.clip.samples(rate_hz)
        return scaled(samples, power(samples) * 10 ** (-self.by_db / 10))


@dataclass(frozen=True, slots=True)
class Day:
    """What a label did in a day at a place, and what its report had told.

    `recordings` are the distinct ones that started it, `rooms` the quiet ones, `starts` the starts in 24 hours.
    """

    name: str
    recordings: int
    rooms: int
    starts: int
    found: int
    clips: int
    told_found: int
    told_tried: int
    told_rate: float


class Place:
    """The recordings of ESC-10, in each loudness."""

    def __init__(self, subject: Subject, clips: Clips) -> None:
        self._subject, self._clips = subject, clips
        self._indices = [index for index, name in enumerate(clips.names) if name in ESC10]
        self._place_of = {index: place for place, index in enumerate(self._indices)}
        sounds = [
            Softer(Clip(clips.names[index], clips.paths[index]), by_db)
            for by_db in SOFTER_DB
            for index in self._indices
        ]
        heard = hear(subject.bundle, sounds, SILENCE_S, subject.folder, "place")
        self.times_ns = heard.times_ns
        self._vectors = heard.vectors.reshape(len(SOFTER_DB), len(self._indices), *heard.vectors.shape[1:])

    def vectors(self, indices: Sequence[int]) -> Array:
        """The moments (loudness, clips, n, D) of these clips."""
        return self._vectors[:, [self._place_of[index] for index in indices]]

    def background(
        self, names: Sequence[str], folds: Sequence[int], rng: np.random.Generator
    ) -> list[dict[str, Array]]:
        """BACKGROUND random moments of a day in the order of time: of recordings, and more often of quiet rooms."""
        indices = [index for name in names for index in self._clips.of(name, folds)]
        of_place, rooms = self.vectors(indices), self._subject.hush[0].vectors
        moments = of_place.shape[1] * of_place.shape[2]
        chosen = []
        for place in range(BACKGROUND):
            loudness = place * HOURS // BACKGROUND % len(SOFTER_DB)
            which = int(rng.integers(MOMENTS_AN_HOUR))
            if which < moments:
                chosen.append(of_place[loudness, which // of_place.shape[2], which % of_place.shape[2]])
            else:
                chosen.append(rooms[rng.integers(len(rooms)), rng.integers(rooms.shape[1])])
        return single_moments(np.stack(chosen))


def place_part(subject: Subject, clips: Clips, seeds: int) -> Part:
    """The rows of a day at a place, and of what the report told, with a table by class."""
    place = Place(subject, clips)
    rows, tables = [], []
    for presses in PRESSES:
        tries = [(name, fold, seed) for name in sorted(set(clips.names)) for fold in FOLDS for seed in range(seeds)]
        days = [
            day(subject, clips, place, name, fold, seed, presses)
            for name, fold, seed in with_progress(f"place, {presses} presses", tries)
        ]
        target = presses == PRESSES[0]
        what = f"24 h at a place, {presses} presses"
        quiet = sum(each.recordings + each.rooms <= 2 for each in days)
        told, lived = _share(days, "told_found", "told_tried"), _share(days, "found", "clips")
        rows += [
            plain(
                what,
                "distinct recordings that start the label, mean",
                float(np.mean([d.recordings + d.rooms for d in days])),
                "",
                at_most(2) if target else None,
                len(days),
            ),
            share(what, "labels that at most 2 recordings start", quiet, len(days)),
            plain(
                what,
                "starts a day with repetitions, median",
                float(np.median([d.starts for d in days])),
                "",
                None,
                len(days),
            ),
            share(
                what,
                "clips of the label that start it",
                sum(d.found for d in days),
                sum(d.clips for d in days),
                at_least(85) if target else None,
            ),
            plain(
                "told against lived",
                f"{presses} presses: told {told:.1f} %, lived {lived:.1f} %",
                abs(told - lived),
                "points",
                at_most(WITHIN),
                len(days),
            ),
            plain(
                "told against lived",
                f"{presses} presses: false alarms told a day, mean",
                float(np.mean([d.told_rate for d in days])),
                "",
                None,
                len(days),
            ),
        ]
        tables.append(_table(days, what))
    return Part(rows, tables)


def day(subject: Subject, clips: Clips, place: Place, name: str, fold: int, seed: int, presses: int) -> Day:
    """Teach one class at a place of CLASSES others of ESC-10, and let it live there for a day."""
    rng = np.random.default_rng([seed, fold, sorted(set(clips.names)).index(name)])
    names = rng.permutation([each for each in ESC10 if each != name])[:CLASSES].tolist()
    training = [each for each in FOLDS if each != fold]
    taught = rng.permutation(clips.of(name, training))[:presses]
    judge = subject.judge(
        {name: [press(clips.presses, index) for index in taught]},
        place.background(names, training, rng),
        hours=HOURS,
    )
    own = judge.starts(subject.sound_levels(judge, clips.streamed, clips.of(name, [fold])))[:, 0]
    tested = [index for each in names for index in clips.of(each, [fold])]
    starts = np.stack(
        [
            judge.starts(subject.sound_levels(judge, Heard(place.times_ns, of_loudness), range(len(tested))))[:, 0]
            for of_loudness in place.vectors(tested)
        ]
    )
    rooms = judge.starts(subject.sound_levels(judge, subject.hush[1], range(len(subject.hush[1].vectors))))[:, 0]
    (told,) = judge.fitted.report.labels
    rate = told.false_alarms_a_day
    return Day(
        name,
        int(starts.any(axis=0).sum()),
        int(rooms.sum()),
        int(starts.sum()) * HOURS // len(SOFTER_DB) + int(rooms.sum()),
        int(own.sum()),
        len(own),
        told.found or 0,
        told.tried or 0,
        rate.expected if rate else 0.0,
    )


def _share(days: Sequence[Day], hits: str, count: str) -> float:
    return 100 * sum(getattr(each, hits) for each in days) / sum(getattr(each, count) for each in days)


def _table(days: Sequence[Day], what: str) -> Table:
    cells: list[list[Cell]] = []
    for name in sorted({each.name for each in days}):
        own = [each for each in days if each.name == name]
        recordings = round(float(np.mean([each.recordings for each in own])), 2)
        told = percent(sum(each.told_found for each in own), sum(each.told_tried for each in own))
        cells.append([name, recordings, percent(sum(d.found for d in own), sum(d.clips for d in own)), told])
    return Table(f"{what}, by class", ("class", "recordings that start it", "own clips found, %", "told, %"), cells)
