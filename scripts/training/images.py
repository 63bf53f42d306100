"""The image encoder: data, training, conversion."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import convert, networks
from training.fitting import fit_classifier
from training.pool import make_items
from training.scenes import Composer, Grey
from training.specs import IMAGE, SEED
from training.splits import Part, part_of_picture

FRAMES = 36_000
EPOCHS = 9


def load_digits(data: Path, part: Part) -> Composer:
    """The handwritten digits of this part of the data."""
    with np.load(data / "handwritten-digits.npz") as archive:
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    rows = [index for index in range(len(images)) if part_of_picture(index, len(images)) == part]
    return Composer(images[rows], labels[rows], IMAGE)


def normalised(frames: Grey) -> NDArray[np.float32]:
    """Frames as the network takes them: float32 (n, height, width, 1) in 0 to 1."""
    return (frames[..., np.newaxis] / np.float32(255)).astype(np.float32)


def train(composer: Composer, path: Path) -> None:
    """Train the encoder and write its int8 model."""
    frames, labels = make_items(composer.frames, FRAMES, SEED)
    encoder, classifier = networks.image_network()
    fit_classifier(classifier, frames, labels, epochs=EPOCHS, batch=32, rate=1.5e-3, seed=SEED, prepare=_prepare)
    convert.to_int8(encoder, normalised(frames[:500]), path)


def _prepare(frames: tf.Tensor) -> tf.Tensor:
    """Scale to 0 to 1, sometimes with light and dark exchanged."""
    x = tf.cast(frames, tf.float32)[..., tf.newaxis] / 255.0
    invert = tf.random.uniform((tf.shape(x)[0], 1, 1, 1)) < 0.3
    return tf.where(invert, 1.0 - x, x)
