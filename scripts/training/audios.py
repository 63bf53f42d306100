"""The audio encoder: data, training, conversion."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from training import convert, networks, speech
from training.fitting import fit_classifier
from training.patches import Listener
from training.pool import make_items
from training.specs import AUDIO, NONE, SEED

PATCHES = 38_000
EPOCHS = 7


def load_listener(data: Path) -> Listener:
    """What is heard in training: recordings and sounds of the training side, and synthesised speech."""
    spoken = speech.synthesised(SEED)
    digits = [item for item in spoken if item.label != NONE]
    words = [item for item in spoken if item.label == NONE]
    return Listener(speech.recorded_digits(data, "train") + digits, words, speech.sounds(data, "train"))


def train(listener: Listener, path: Path) -> None:
    """Train the encoder and write its int8 model."""
    patches, labels = make_items(listener.patches, PATCHES, SEED)
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
