"""Sound for measuring: a recorded digit anywhere in the window, alone or among other sounds."""

from collections.abc import Iterator, Sequence

import numpy as np
from training.speech import Sound

QUIET = 0.1
"""A stretch of a clip with less than this part of the clip's loudness is a pause, not noise."""


def windows(
    spoken: Sequence[Sound], size: int, rng: np.random.Generator, noises: Sequence[Sound] = (), snr_db: float = 0
) -> Iterator[Sound]:
    """For each utterance a window float32 (size,) with it anywhere inside, over a stretch of one of the noises, if any.

    The noise lies throughout the window, `snr_db` below the utterance, each by its mean power.
    """
    for voice in spoken:
        window = _placed(voice, size, rng)
        if len(noises):
            noise = _stretch(noises[rng.integers(len(noises))], size, rng)
            window = window + noise * (_loudness(voice) / _loudness(noise) * 10 ** (-snr_db / 20))
        yield (window / max(1.0, float(np.abs(window).max()))).astype(np.float32)


def stretches(clips: Sequence[Sound], size: int, rng: np.random.Generator) -> Iterator[Sound]:
    """A random part of each clip: float32 (size,)."""
    for clip in clips:
        start = int(rng.integers(len(clip) - size))
        yield clip[start : start + size]


def _placed(voice: Sound, size: int, rng: np.random.Generator) -> Sound:
    """The utterance at a random place in silence of `size`; of one that is longer, a random part."""
    spare = size - len(voice)
    start = int(rng.integers(abs(spare) + 1))
    if spare < 0:
        return voice[start : start + size]
    window = np.zeros(size, np.float32)
    window[start : start + len(voice)] = voice
    return window


def _stretch(clip: Sound, size: int, rng: np.random.Generator) -> Sound:
    """A random part of the clip that is no pause."""
    while True:
        start = int(rng.integers(len(clip) - size))
        part = clip[start : start + size]
        if _loudness(part) >= QUIET * _loudness(clip):
            return part


def _loudness(samples: Sound) -> float:
    return float(np.sqrt(np.mean(samples**2)))
