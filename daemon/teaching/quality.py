"""Whether a press can be an example, and which of its senses cannot be used. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import Array, Array64, Modality, Plane
from daemon.teaching.records import StoredMoment

# of 255: below both, nothing can be seen
MAX_DARK_MEAN, MAX_DARK_PEAK = 12.0, 40.0

# a picture of one colour has no more than this as standard deviation of its brightness, of 255
MAX_FLAT = 1.0

# so many rows and columns of a picture are looked at, or more
LEAST_SIDE = 32

# From so many pictures on, equality in every bit is no chance. A camera has frozen then, shows a test picture, or its
# encoder sends nothing of a still scene from one keyframe to the next.
LEAST_FRAMES = 3
FROZEN = (
    "the picture stays the same to the last bit: has the camera frozen? If not, let something move before it, or let "
    "it send a keyframe each second"
)

# the lowest three bits of 16
MAX_SILENCE = 8 / 32768

FULL_SCALE = 0.99
MAX_AT_FULL_SCALE = 0.01

# Two embeddings are nearly the same at this distance, as a part of their length. Drawn signs before a camera with
# noise have these distances on `home`: 0.07 to 0.2 within a press, 0.2 to 0.5 between presses. So only the same
# pictures and the same sound are found. Scores cannot tell presses apart: on `digits` it is 0 to 0.6 in both cases,
# because many scores are 0 or the highest one.
MAX_DISTANCE = 0.02

# An example is nearly the same as another one when more of its different moments are.
LEAST_SAME = 0.5

ALL_LEFT_OUT = "nothing of it can be used: "
NOTHING_CAPTURED = "nothing was captured at that time: look whether the stream has a camera, microphone or text"
NEARLY_THE_SAME = (
    "to the encoders of the bundle it is nearly the same as an example that is there: show it in another way, or at "
    "another time"
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be used of a press. `refusal`: why nothing can be; None: it is an example.

    `moments` has the embeddings of the usable senses, which are `senses`. `left_out` says in words what is not used.
    """

    refusal: str | None
    moments: Sequence[StoredMoment]
    senses: frozenset[Modality]
    left_out: Sequence[str]


def judged(
    frames: Sequence[Plane],
    sound: Array | None,
    moments: Sequence[StoredMoment],
    modalities: Mapping[str, Modality],
    others: Iterable[Sequence[StoredMoment]],
    *,
    scores: Collection[str] = (),
    overlaps: bool = False,
) -> Judgement:
    """Return what of a press can be used.

    `frames` are all its pictures (BGR), `sound` is float32 of shape (n,). `modalities` has that of each encoder.
    `others` has the moments of each example of the same label. `scores` are the encoders that give scores and no
    embedding. Where there are no others, a press repeats an example if it has all of its moments, or if `overlaps`:
    an example shows most of its time.
    """
    problems: dict[Modality, str] = {}
    if (problem := frames_problem(frames)) is not None:
        problems["image"] = problem
    if (problem := sound_problem(sound)) is not None:
        problems["audio"] = problem
    usable = _without(moments, {name for name, modality in modalities.items() if modality in problems})
    senses = frozenset(modalities[name] for moment in usable for name in moment.vectors)
    left_out = tuple(problems.values())
    # A line of text is the same whenever a machine sends it. So text says no more than scores about a repetition.
    alike = set(scores) | {name for name, modality in modalities.items() if modality == "text"}
    refusal = None
    if not usable:
        refusal = ALL_LEFT_OUT + "; ".join(left_out) if left_out else NOTHING_CAPTURED
    elif embedded := _without(usable, alike):
        if any(_is_nearly_same(embedded, _without(other, alike)) for other in others):
            refusal = NEARLY_THE_SAME
    elif overlaps or any(_are_equal(usable, other) for other in others):
        refusal = NEARLY_THE_SAME
    return Judgement(refusal, usable, senses, left_out)


def frames_problem(frames: Sequence[Plane]) -> str | None:
    """Return why pictures (BGR) cannot be used; None if they can, or if there are none."""
    if not frames:
        return None
    if all(map(_is_dark, frames)):
        return "the picture is dark: nothing can be seen"
    if all(float(np.std(_grey(frame))) <= MAX_FLAT for frame in frames):
        return "the picture is of one colour: is the camera covered?"
    if len(frames) >= LEAST_FRAMES and all(np.array_equal(frames[0], frame) for frame in frames[1:]):
        return FROZEN
    return None


def sound_problem(sound: Array | None) -> str | None:
    """Return why sound cannot be used; None if it can, or if there is none."""
    if sound is None or len(sound) == 0:
        return None
    if not np.isfinite(sound).all():
        return "the sound is damaged: it has numbers that are not finite"
    loudness = np.abs(sound)
    if float(loudness.max()) < MAX_SILENCE:
        return "the sound is silent: is the microphone muted?"
    if np.count_nonzero(loudness >= FULL_SCALE) > MAX_AT_FULL_SCALE * len(sound):
        return "the sound is clipped: it is too loud for its input, turn the microphone down"
    return None


def _grey(frame: Plane) -> Array64:
    """Return the brightness of some pixels of a picture: all of a small one, which an encoder may see as it is."""
    step = max(1, min(frame.shape[:2]) // LEAST_SIDE)
    grey: Array64 = frame[::step, ::step].mean(axis=2)
    return grey


def _is_dark(frame: Plane) -> bool:
    seen = _grey(frame)
    return float(seen.mean()) < MAX_DARK_MEAN and float(np.percentile(seen, 99)) < MAX_DARK_PEAK


def _without(moments: Sequence[StoredMoment], encoders: set[str]) -> list[StoredMoment]:
    """Return the moments without these encoders; those without any other are left out."""
    found = []
    for moment in moments:
        vectors = {name: vector for name, vector in moment.vectors.items() if name not in encoders}
        if vectors:
            found.append(StoredMoment(moment.time_ms, vectors))
    return found


def _is_nearly_same(moments: Sequence[StoredMoment], other: Sequence[StoredMoment]) -> bool:
    """Whether most of the different moments have one in the other example that is nearly the same for each encoder.

    Moments that are much alike count once: the silence around a short sound is the same in every recording.
    """
    moments = _different(moments)
    same = 0
    for names in {frozenset(moment.vectors) for moment in moments}:
        own = [moment for moment in moments if moment.vectors.keys() == names]
        comparable = [moment for moment in other if moment.vectors.keys() == names]
        if not comparable:
            continue
        near = np.ones((len(own), len(comparable)), bool)
        for name in names:
            near &= _are_near(_stacked(own, name), _stacked(comparable, name))
        same += int(near.any(axis=1).sum())
    return same > LEAST_SAME * len(moments)


def _are_equal(moments: Sequence[StoredMoment], other: Sequence[StoredMoment]) -> bool:
    """Whether several moments are those of another example, at the same times: they come from the same file."""
    return (
        len(moments) == len(other) > 1
        and all(
            first.time_ms == second.time_ms
            and first.vectors.keys() == second.vectors.keys()
            and all(np.array_equal(vector, second.vectors[name]) for name, vector in first.vectors.items())
            for first, second in zip(moments, other, strict=True)
        )
        and len(_different(moments)) > 1
    )


def _different(moments: Sequence[StoredMoment]) -> list[StoredMoment]:
    """Return the moments without those that are nearly the same as one before."""
    found: list[StoredMoment] = []
    for moment in moments:
        if not any(_are_alike(moment, other) for other in found):
            found.append(moment)
    return found


def _are_alike(first: StoredMoment, second: StoredMoment) -> bool:
    return first.vectors.keys() == second.vectors.keys() and all(
        len(vector) == len(second.vectors[name]) and _distance(vector, second.vectors[name]) <= MAX_DISTANCE
        for name, vector in first.vectors.items()
    )


def _stacked(moments: Sequence[StoredMoment], name: str) -> list[Array]:
    return [moment.vectors[name] for moment in moments]


def _are_near(first: Sequence[Array], second: Sequence[Array]) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Return which vectors are nearly the same: bool of shape (first, second)."""
    near = np.zeros((len(first), len(second)), bool)
    for row, vector in enumerate(first):
        for column, other in enumerate(second):
            near[row, column] = len(vector) == len(other) and _distance(vector, other) <= MAX_DISTANCE
    return near


def _distance(first: Array, second: Array) -> float:
    long = max(float(np.linalg.norm(first)), float(np.linalg.norm(second)), 1e-12)
    return float(np.linalg.norm(first - second)) / long
