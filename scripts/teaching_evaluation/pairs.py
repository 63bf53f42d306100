"""Picture and sound: six classes are told apart by both senses, by one alone, and with one absent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from evaluation.progress import with_progress
from evaluation.rows import Row, Target, at_least, plain
from home_evaluation.report import Part
from numpy.typing import NDArray

from daemon.core.records import Array, Plane
from teaching_evaluation.embedding import Clips, Heard, see
from teaching_evaluation.garage import empty_yard
from teaching_evaluation.judge import Judge
from teaching_evaluation.lessons import Moments
from teaching_evaluation.sounds import FOLDS, Spread
from teaching_evaluation.subject import Subject

PRESSES = 5
HOURS = 24.0
# Photos that each clip of the test is paired with.
PHOTOS_A_CLIP = 3
GAIN = 3.0
LOSS = 1.0
UNITS = ("whole clips", "single moments")
# The picture stands still, so moments end as those of the sound do.
AGE_MS = 1500
# Where a pair is tested: which senses the fit knew, and which the test has.
CONDITIONS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "both": (("image", "audio"), ("image", "audio")),
    "picture alone": (("image",), ("image",)),
    "sound alone": (("audio",), ("audio",)),
    "sound absent": (("image", "audio"), ("image",)),
    "picture absent": (("image", "audio"), ("audio",)),
}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sounds and photos of the classes that have both. `photos` has the embeddings (n, D) by encoder."""

    clips: Clips
    names: Sequence[str]
    photo_names: NDArray[np.str_]
    photos: Mapping[str, Array]
    yards: Mapping[str, Array]

    def moments(self, heard: Heard, clip: int, photo: int) -> Moments:
        """A clip and a photo at the same time."""
        count = heard.vectors.shape[1]
        seen = {name: np.repeat(rows[[photo]], count, axis=0) for name, rows in self.photos.items()}
        return Moments((heard.times_ns // 1_000_000).tolist(), {"sound": heard.vectors[clip], **seen})

    def photos_of(self, name: str, fold: int, *, held_out: bool) -> list[int]:
        """The photos of a class that are in a fold, or in the others. They are dealt to the folds in turn."""
        own = np.flatnonzero(self.photo_names == name)
        in_fold = np.arange(len(own)) % len(FOLDS) == fold - 1
        return own[in_fold if held_out else ~in_fold].tolist()


def load_pairs(subject: Subject, clips: Clips, names: Sequence[str], pixels: Sequence[Plane]) -> Pairs:
    """The pairs of these photos, given by class and pixels."""
    yards = [empty_yard(np.random.default_rng(seed)) for seed in range(len(subject.hush[0].vectors))]
    return Pairs(
        clips,
        sorted(set(names) & set(clips.names)),
        np.array(names),
        see(subject.bundle, pixels, subject.folder, "photos"),
        see(subject.bundle, yards, subject.folder, "yards"),
    )


def pairs_part(subject: Subject, clips: Clips, photos: tuple[Sequence[str], Sequence[Plane]], seeds: int) -> Part:
    """The rows of both senses, each alone, and each absent: by whole clips, and by their single moments."""
    pairs = load_pairs(subject, clips, *photos)
    tries = [(fold, seed) for fold in FOLDS for seed in range(seeds)]
    tested = [told_apart(subject, pairs, fold, seed) for fold, seed in with_progress("pairs", tries)]
    rows: list[Row] = []
    for place, unit in enumerate(UNITS):
        shares = {name: Spread([each[name][place] for each in tested]) for name in CONDITIONS}
        # in whole clips the sound alone is right nearly always: nothing can be three points better
        gain = at_least(GAIN) if unit == "single moments" else None
        rows += _rows(shares, f"{len(pairs.names)} classes seen and heard, {PRESSES} presses, {unit}", gain)
    return Part(rows)


def _rows(shares: Mapping[str, Spread], what: str, gain: Target | None) -> Iterator[Row]:
    mean = {name: 100 * float(np.mean(spread.shares)) for name, spread in shares.items()}
    for name, spread in shares.items():
        yield spread.row(what, name)
    best = max(mean["picture alone"], mean["sound alone"])
    yield plain(what, "both less the better sense alone", mean["both"] - best, "points", gain)
    for absent, alone in (("sound absent", "picture alone"), ("picture absent", "sound alone")):
        yield plain(what, f"{absent} less the {alone}", mean[absent] - mean[alone], "points", at_least(-LOSS))


def told_apart(subject: Subject, pairs: Pairs, fold: int, seed: int) -> dict[str, tuple[float, float]]:
    """By condition the share of the fold's clips, and of their moments, whose own label is the highest."""
    rng = np.random.default_rng([seed, fold])
    others = [each for each in FOLDS if each != fold]
    presses = {
        name: [
            pairs.moments(pairs.clips.presses, clip, photo)
            for clip, photo in zip(
                rng.permutation(pairs.clips.of(name, others))[:PRESSES],
                rng.permutation(pairs.photos_of(name, fold, held_out=False))[:PRESSES],
                strict=True,
            )
        ]
        for name in pairs.names
    }
    tested = [
        (name, clip, int(photo))
        for name in pairs.names
        for clip in pairs.clips.of(name, [fold])
        for photo in rng.choice(pairs.photos_of(name, fold, held_out=True), PHOTOS_A_CLIP, replace=False)
    ]
    modalities = subject.manifest.encoder_modalities
    judges: dict[Sequence[str], Judge] = {}
    shares = {}
    for condition, (known, present) in CONDITIONS.items():
        encoders = [name for name, modality in modalities.items() if modality in known]
        if known not in judges:
            judges[known] = subject.judge(
                {name: [_only(press, encoders) for press in of_label] for name, of_label in presses.items()},
                _background(subject, pairs, encoders),
                hours=HOURS,
                encoders=encoders,
            )
        shares[condition] = _shares(pairs, judges[known], tested, [n for n, m in modalities.items() if m in present])
    return shares


def _shares(
    pairs: Pairs, judge: Judge, tested: Sequence[tuple[str, int, int]], encoders: Sequence[str]
) -> tuple[float, float]:
    own = np.array([judge.labels.index(name) for name, _, _ in tested])
    levels = judge.levels(
        pairs.clips.streamed.times_ns, _stacked(pairs, pairs.clips.streamed, tested, encoders), AGE_MS
    )
    logits = judge.logits(_stacked(pairs, pairs.clips.presses, tested, encoders))
    moments = logits.argmax(axis=2) == own[:, np.newaxis]
    return float((levels.argmax(axis=1) == own).mean()), float(moments.mean())


def _stacked(
    pairs: Pairs, heard: Heard, tested: Sequence[tuple[str, int, int]], encoders: Sequence[str]
) -> dict[str, Array]:
    streams = [_only(pairs.moments(heard, clip, photo), encoders) for _, clip, photo in tested]
    return {name: np.stack([stream.vectors[name] for stream in streams]) for name in encoders}


def _background(subject: Subject, pairs: Pairs, encoders: Sequence[str]) -> list[dict[str, Array]]:
    """A quiet room with a window to an empty yard."""
    rooms = subject.hush[0].vectors[:, 0]
    moments = [
        {"sound": room, **{name: rows[index] for name, rows in pairs.yards.items()}} for index, room in enumerate(rooms)
    ]
    return [{name: vector for name, vector in moment.items() if name in encoders} for moment in moments]


def _only(moments: Moments, encoders: Sequence[str]) -> Moments:
    return Moments(moments.times_ms, {name: rows for name, rows in moments.vectors.items() if name in encoders})
