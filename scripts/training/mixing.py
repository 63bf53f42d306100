"""Makes endless training patches from few stored ones: warps and filters voices, adds noise, and masks parts.

All of this works on mel magnitudes of whole batches, which is much cheaper than work on samples. Two sounds with
unrelated phases add there by their squares.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.specs import AUDIO

Array = NDArray[np.float32]

_FRAMES, _BANDS = AUDIO.frames, AUDIO.mel_bands


def overheard(voices: tf.Tensor, noises: tf.Tensor) -> tf.Tensor:
    """Log-mel patches (n, frames, mel_bands, 1) of `voices` with `noises` under them, changed at random.

    Both are mel magnitudes (n, frames, mel_bands) of sounds with a peak of 1.
    """
    voices = _coloured(_bent(voices))
    noises = _coloured(noises)
    ratio_db = tf.where(_chance(voices, 0.35), _uniform(voices, 12, 45), _uniform(voices, -5, 15))
    noises *= _amplitude(ratio_db) * _loudness(voices, 0.03) / _loudness(noises, 0.0)
    noises = tf.where(_chance(voices, 0.25), 0.0, noises)
    together = _uniform(voices, -0.6, 0.6, (_FRAMES, _BANDS)) * 2 * voices * noises
    mixture = tf.sqrt(voices**2 + noises**2 + together)
    level = 1 / tf.maximum(1.0, _loudest(mixture) / (_loudest(voices) + 1e-6))
    mixture *= level * _amplitude(_uniform(voices, 0, 40))
    return _hidden(tf.math.log(mixture + AUDIO.log_offset))[..., tf.newaxis]


def _bent(x: tf.Tensor) -> tf.Tensor:
    """Warps bands, like longer or shorter vocal tracts, and warps time. The first and the last frame stay."""
    bands = tf.range(_BANDS, dtype=tf.float32)[tf.newaxis]
    stretch, shift = _uniform(x, 0.92, 1.1)[:, 0], _uniform(x, -0.7, 0.7)[:, 0]
    x = tf.matmul(x, _reading(bands * stretch + shift, _BANDS), transpose_b=True)
    frames = tf.range(_FRAMES, dtype=tf.float32)[tf.newaxis]
    positions = frames
    for waves, most in ((1, 3.0), (2, 2.0), (3, 1.3), (5, 0.7)):
        positions += _uniform(x, -most, most)[:, 0] * tf.sin(frames * (np.pi * waves / (_FRAMES - 1)))
    return tf.matmul(_reading(positions, _FRAMES), x)


def _reading(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Matrices (n, len, size) that interpolate a vector (size,) at `positions` (n, len)."""
    positions = tf.clip_by_value(positions, 0, size - 1)[..., tf.newaxis]
    return tf.nn.relu(1 - tf.abs(positions - tf.range(size, dtype=tf.float32)))


def _coloured(x: tf.Tensor) -> tf.Tensor:
    """Simulates other microphones: a smooth curve over the bands, sometimes with both ends attenuated."""
    knots = 6
    curve = tf.random.normal((tf.shape(x)[0], 1, knots), stddev=0.6)
    between = _reading(tf.linspace(0.0, knots - 1.0, _BANDS)[tf.newaxis], knots)[0]
    bands = tf.range(_BANDS, dtype=tf.float32)
    low, high = _uniform(x, 0, 6), _uniform(x, 26, 39)
    beyond = tf.nn.relu(low - bands) + tf.nn.relu(bands - high)
    cut = tf.where(_chance(x, 0.3), beyond, 0.0)
    return x * tf.exp(tf.matmul(curve, between, transpose_b=True) - 0.5 * cut)


def _hidden(x: tf.Tensor) -> tf.Tensor:
    """Replaces a random stretch of time and one of bands by the mean, so that the network relies on no single cue."""
    mean = tf.reduce_mean(x, (1, 2), keepdims=True)
    for shape, size, longest in (((_FRAMES, 1), _FRAMES, 6.0), ((1, _BANDS), _BANDS, 7.0)):
        place = tf.reshape(tf.range(size, dtype=tf.float32), (1, *shape))
        start, length = _uniform(x, 0, size), _uniform(x, -longest, longest)
        x = tf.where((place >= start) & (place < start + length), mean, x)
    return x


def _loudness(x: tf.Tensor, quiet: float) -> tf.Tensor:
    """Root of the mean power over the frames that have more than the share `quiet` of the loudest."""
    power = tf.reduce_sum(x**2, 2, keepdims=True)
    counted = tf.cast(power > quiet * tf.reduce_max(power, 1, keepdims=True), tf.float32)
    mean = tf.reduce_sum(power * counted, 1, keepdims=True) / (tf.reduce_sum(counted, 1, keepdims=True) + 1e-6)
    return tf.sqrt(mean) + 1e-4


def _loudest(x: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_max(tf.reduce_sum(x**2, 2, keepdims=True), 1, keepdims=True))


def _amplitude(below_db: tf.Tensor) -> tf.Tensor:
    return 10 ** (-below_db / 20)


def _chance(x: tf.Tensor, share: float) -> tf.Tensor:
    return _uniform(x, 0, 1) < share


def _uniform(x: tf.Tensor, low: float, high: float, shape: tuple[int, int] = (1, 1)) -> tf.Tensor:
    """One random value, or `shape` of them, for each item of the batch `x`: (n, 1, 1)."""
    return tf.random.uniform((tf.shape(x)[0], *shape), low, high)
