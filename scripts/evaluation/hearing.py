"""Sound for measuring: a recorded digit anywhere in the window, alone or among other sounds."""

from collections.abc import Iterator, Sequence

import numpy as np
from training.speech import Sound

# A stretch of a clip below this part of the clip's loudness counts as a pause, not as noise.
QUIET = 0.1


def windows(
    spoken: Sequence[Sound], size: int, rng: np.random.Generator, noises: Sequence[Sound] = (), snr_db: float = 0
) -> Iterator[Sound]:
    """For each utterance a window float32 (size,) with it at a random position, over one of the noises, if any.

    The noise fills the window. Its mean power is `snr_db` below that of the utterance.
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
    """The utterance at a random position in silence of `size`; a random part of an utterance that is longer."""
    spare = size - len(voice)
    start = int(rng.integers(abs(spare) + 1))
    if spare < 0:
        return voice[start : start + size]
    window = np.zeros(size, np.float32)
    window[start : start + len(voice)] = voice
    return window


def _stretch(clip: Sound, size: int, rng: np.random.Generator) -> Sound:
    """A random part of the clip that is not a pause."""
    while True:
        start = int(rng.integers(len(clip) - size))
        part = clip[start : start + size]
        if _loudness(part) >= QUIET * _loudness(clip):
            return part


def _loudness(samples: Sound) -> float:
    return float(np.sqrt(np.mean(samples**2)))
