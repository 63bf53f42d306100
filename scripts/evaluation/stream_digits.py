"""A stream of ten minutes in which 200 digits are shown, spoken and written: its plan, and its captured items."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from daemon.core.records import MODALITIES, Array, Block, Captured, Frame, Line, Modality, modality_of
from daemon.core.timing import NS_PER_S
from evaluation.frames import digit_frame
from evaluation.stream_score import Shown
from evaluation.stream_surfaces import Light, as_filmed, sensor_noise

LENGTH_S = 600.0
COUNT = 200
FPS = 10.0
BLOCK_S = 0.02
SHOWN_S = (1.0, 1.8)
PAUSE_S = (0.8, 2.0)
# The faint noise between the words, as a share of full scale.
ROOM_NOISE = 0.002
CAMERA_NOISE = 2.0

SUBSETS: Sequence[tuple[Modality, ...]] = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]


@dataclass(frozen=True, slots=True)
class Pool:
    """Held-out items to choose from, by digit; sounds are float32 (n,) at `rate_hz`."""

    pictures: Sequence[Sequence[NDArray[np.uint8]]]
    sounds: Sequence[Sequence[Array]]
    lines: Sequence[Sequence[str]]
    rate_hz: int


def plan(rng: np.random.Generator) -> list[Shown]:
    """COUNT random digits one after the other, each by a random subset of the senses, with pauses between them."""
    shown, time_s = [], 0.0
    for _ in range(COUNT):
        onset_s = time_s + rng.uniform(*PAUSE_S)
        time_s = onset_s + rng.uniform(*SHOWN_S)
        shown.append(Shown(str(rng.integers(10)), onset_s, time_s, SUBSETS[rng.integers(len(SUBSETS))]))
    return shown


def captured(shown: Sequence[Shown], pool: Pool, length_s: float, rng: np.random.Generator) -> Iterator[Captured]:
    """All items that camera, microphone and text input deliver within `length_s`, ordered by their end."""
    frames, sound, lines = rng.spawn(3)
    parts = (
        _frames(shown, pool, length_s, frames),
        _blocks(shown, pool, length_s, sound),
        _lines(shown, pool, lines),
    )
    return heapq.merge(*parts, key=_order)


def _order(item: Captured) -> tuple[int, int]:
    end_ns = item.end_ns if isinstance(item, Block) else item.captured_ns
    return end_ns, MODALITIES.index(modality_of(item))


def _frames(shown: Sequence[Shown], pool: Pool, length_s: float, rng: np.random.Generator) -> Iterator[Frame]:
    """Frames of the stream. The scene of a digit lasts from the middle of the pause before it to that of the next."""
    noise = sensor_noise(CAMERA_NOISE, rng)
    ends_s = [(one.end_s + after.onset_s) / 2 for one, after in pairwise(shown)]
    begin_s = 0.0
    for digit, end_s in zip(shown, [*ends_s, length_s], strict=True):
        empty, filled = _scenes(digit, pool, rng)
        for index in range(round(np.ceil(begin_s * FPS)), round(np.ceil(end_s * FPS))):
            is_there = digit.onset_s <= index / FPS < digit.end_s
            yield _filmed(filled if is_there else empty, round(index / FPS * NS_PER_S), noise, rng)
        begin_s = end_s


def _scenes(digit: Shown, pool: Pool, rng: np.random.Generator) -> tuple[Frame, Frame]:
    """The same scene twice: without the digit, and with it where the digit is shown to the camera."""
    seed = int(rng.integers(2**32))
    choices = pool.pictures[int(digit.label)]
    picture = choices[rng.integers(len(choices))]
    empty = digit_frame(picture, np.random.default_rng(seed), drawn=np.zeros_like(picture))
    if "image" not in digit.modalities:
        return empty, empty
    return empty, digit_frame(picture, np.random.default_rng(seed))


def _filmed(frame: Frame, captured_ns: int, noise: list[Light], rng: np.random.Generator) -> Frame:
    """The frame with new noise."""
    first, *others = frame.planes
    fitting = noise if first.ndim == 3 else [light[..., 0] for light in noise]
    return Frame((as_filmed(first.astype(np.float32), fitting, rng), *others), captured_ns)


def _blocks(shown: Sequence[Shown], pool: Pool, length_s: float, rng: np.random.Generator) -> Iterator[Block]:
    """Room noise with the words over it, in blocks."""
    samples = rng.standard_normal(round(length_s * pool.rate_hz), np.float32) * np.float32(ROOM_NOISE)
    for digit in shown:
        if "audio" in digit.modalities:
            choices = pool.sounds[int(digit.label)]
            word = choices[rng.integers(len(choices))]
            part = samples[round(digit.onset_s * pool.rate_hz) :][: len(word)]
            part += word[: len(part)]
    size = round(BLOCK_S * pool.rate_hz)
    for start in range(0, len(samples), size):
        yield Block(np.clip(samples[start : start + size], -1, 1), pool.rate_hz, start * NS_PER_S // pool.rate_hz)


def _lines(shown: Sequence[Shown], pool: Pool, rng: np.random.Generator) -> Iterator[Line]:
    for digit in shown:
        if "text" in digit.modalities:
            choices = pool.lines[int(digit.label)]
            yield Line(choices[rng.integers(len(choices))], round(digit.onset_s * NS_PER_S))
