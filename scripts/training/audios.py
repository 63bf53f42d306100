"""The audio encoder: data, training, conversion."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import convert, networks, speech
from training.fitting import fit_classifier
from training.patches import Listener
from training.specs import AUDIO, NONE, SEED

PATCHES = 44_000
EPOCHS = 8
_CHUNK = 2_000


def load_listeners(data: Path) -> tuple[Listener, Listener]:
    """What is heard in training, and in tests: other recordings, other sounds, other synthesised words."""
    listeners = []
    for test in (False, True):
        spoken = speech.synthesised(SEED + test)
        digits = [item for item in spoken if item.label != NONE]
        words = [item for item in spoken if item.label == NONE]
        # each recording counts twice: synthesised speech is the less like people
        recorded = speech.recorded_digits(data, test)
        listeners.append(Listener(recorded * 2 + ([] if test else digits), words, speech.sounds(data, test)))
    return listeners[0], listeners[1]


def make_patches(listener: Listener, count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` patches with labels, made by two processes."""
    seeds = np.random.SeedSequence(seed).spawn(count // _CHUNK)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_chunk, listener), seeds))
    return np.concatenate([patches for patches, _ in parts]), np.concatenate([labels for _, labels in parts])


def _chunk(listener: Listener, seed: np.random.SeedSequence) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return listener.patches(_CHUNK, np.random.default_rng(seed))


def train(listener: Listener, path: Path) -> None:
    """Train the encoder and write its int8 model."""
    patches, labels = make_patches(listener, PATCHES, SEED)
    encoder, classifier = networks.audio_network()
    fit_classifier(classifier, patches, labels, epochs=EPOCHS, batch=64, rate=2e-3, seed=SEED, prepare=_masked)
    convert.to_int8(encoder, patches[:500, ..., np.newaxis], path)


def _masked(patches: tf.Tensor) -> tf.Tensor:
    """One stretch of bands and one of time hidden, so that no single cue is relied on."""
    count = tf.shape(patches)[0]
    x = patches[..., tf.newaxis]
    for axis, size, longest in ((1, AUDIO.frames, 12), (2, AUDIO.mel_bands, 6)):
        shape = (count, 1, 1, 1)
        start = tf.random.uniform(shape, 0, size, tf.int32)
        length = tf.random.uniform(shape, 0, longest, tf.int32)
        place = tf.reshape(tf.range(size), (1, size, 1, 1) if axis == 1 else (1, 1, size, 1))
        hidden = (place >= start) & (place < start + length)
        x = tf.where(hidden, tf.reduce_mean(x, (1, 2, 3), keepdims=True), x)
    return x
