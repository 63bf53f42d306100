"""The image encoder: data, training, conversion."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import convert
from training.cells import IGNORED, LEVELS, cell_labels, cells
from training.glyphs import load_digits
from training.image_network import NONE_LOGIT, ImageNetwork
from training.pool import make_items
from training.scenes import CLOSE, FRAME, Composer, Grey, View
from training.specs import NONE, SEED

CLOSE_FRAMES, CLOSE_EPOCHS, CLOSE_RATE = 300_000, 4, 2e-3
FRAMES, EPOCHS, RATE = 60_000, 3, 1e-3
BATCH = 32
REPORTS = 5
"""How often each training says how it goes."""
ELSEWHERE_WEIGHT = 10.0
"""Of all the cells without a digit, in the loss, against those with one: in the frame they outnumber these by far."""


def normalised(frames: Grey) -> NDArray[np.float32]:
    """Frames as the network takes them: float32 (n, height, width, 1) in 0 to 1."""
    return (frames[..., np.newaxis] / np.float32(255)).astype(np.float32)


def train(data: Path, path: Path, float_path: Path) -> None:
    """Train the encoder and write its int8 model, and the float32 model it was made from."""
    digits = load_digits(data, "train")
    keras.utils.set_random_seed(SEED)
    network = ImageNetwork()
    close = make_items(Composer(*digits, view=CLOSE).frames, CLOSE_FRAMES, SEED)
    _fit(network.close, _batches(*close, CLOSE, 1), CLOSE_EPOCHS * CLOSE_FRAMES // BATCH, CLOSE_RATE)
    frames = make_items(Composer(*digits).frames, FRAMES, SEED + 1)
    _fit(network.whole, _batches(*frames, FRAME, LEVELS), EPOCHS * FRAMES // BATCH, RATE)
    convert.to_int8(network.encoder, normalised(frames[0][:1000]), path)
    convert.to_float(network.encoder, float_path)


def _fit(model: keras.Model, batches: tf.data.Dataset, steps: int, rate: float) -> None:
    """Adam with a warm-up and a falling rate; what stays is the moving average of the weights."""
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 20, steps * 19 // 20, 0.01, warmup_target=rate, warmup_steps=steps // 20
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4, use_ema=True, ema_momentum=0.998)
    model.compile(optimizer, loss={"frame": _frame_loss, "cells": _cell_loss})
    model.fit(batches, steps_per_epoch=steps // REPORTS, epochs=REPORTS, verbose=2)


def _batches(
    frames: Grey, labels: NDArray[np.int64], boxes: NDArray[np.int16], view: View, levels: int
) -> tf.data.Dataset:
    """Endless batches in random order, each time lit differently."""
    places = cells(view.height, view.width, levels)

    def rows() -> Iterator[tuple[Grey, NDArray[np.int32], NDArray[np.int8]]]:
        rng = np.random.default_rng(SEED)
        while True:
            order = rng.permutation(len(frames))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                chosen = order[start : start + BATCH]
                named = cell_labels(boxes[chosen], labels[chosen], places)
                yield frames[chosen], labels[chosen].astype(np.int32), named

    signature = (
        tf.TensorSpec((BATCH, view.height, view.width), tf.uint8),
        tf.TensorSpec((BATCH,), tf.int32),
        tf.TensorSpec((BATCH, len(places)), tf.int8),
    )
    batches = tf.data.Dataset.from_generator(rows, output_signature=signature)
    return batches.map(lambda x, label, named: (_lit(x), {"frame": label, "cells": named})).prefetch(4)


def _lit(frames: tf.Tensor) -> tf.Tensor:
    """Scaled to 0 to 1; with light and dark exchanged, less contrast, or more light, each in some of them."""

    def some(share: float, low: float, high: float) -> tf.Tensor:
        shape = (BATCH, 1, 1, 1)
        return tf.where(tf.random.uniform(shape) < share, tf.random.uniform(shape, low, high), tf.zeros(shape))

    x = tf.cast(frames, tf.float32)[..., tf.newaxis] / 255.0 - 0.5
    x = tf.where(tf.random.uniform((BATCH, 1, 1, 1)) < 0.3, -x, x)
    return tf.clip_by_value(x * tf.exp(some(0.5, -0.5, 0.3)) + 0.5 + some(0.5, -0.15, 0.15), 0.0, 1.0)


def _frame_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(tf.reshape(labels, [-1]), tf.int32), logits)
    )


def _cell_loss(named: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the cells that have the digit in them, and of those elsewhere, each a mean."""
    logits = tf.pad(answers, ((0, 0), (0, 0), (0, 1)), constant_values=NONE_LOGIT)
    named = tf.cast(named, tf.int32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(named, 0), logits)
    elsewhere = tf.cast(named == NONE, tf.float32)
    there = tf.cast((named != NONE) & (named != IGNORED), tf.float32)
    return _mean(losses, there) + ELSEWHERE_WEIGHT * _mean(losses, elsewhere)


def _mean(losses: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(losses * where) / (tf.reduce_sum(where) + 1.0)
