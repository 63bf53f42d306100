"""The image encoder: data, training, conversion."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import convert
from training.cells import cell_labels, cells
from training.glyphs import load_digits
from training.image_network import NONE_LOGIT, ImageNetwork
from training.pool import Arrays, make_items
from training.scenes import CLOSE, FRAME, PART, Composer, Grey, View
from training.specs import NONE, SEED


@dataclass(frozen=True)
class Stage:
    """One stage of training: `count` pictures of `view`, each once per epoch; `none_share` of them without a digit."""

    view: View
    count: int
    none_share: float
    epochs: int
    batch: int
    rate: float

    @property
    def steps(self) -> int:
        """Number of batches in this stage."""
        return self.epochs * self.count // self.batch


STAGES = (
    Stage(CLOSE, 200_000, 0.15, 11, 128, 4e-3),
    Stage(PART, 100_000, 0.3, 2, 64, 1.5e-3),
    Stage(FRAME, 40_000, 0.35, 1, 32, 7e-4),
)
# How often each stage reports its loss.
REPORTS = 5
# Weight in the loss of the cells without a digit, against those with one. In a frame they are far more.
ELSEWHERE_WEIGHT = 10.0


def normalised(frames: Grey) -> NDArray[np.float32]:
    """Frames as the network takes them: float32 (n, height, width, 1) in 0 to 1."""
    return (frames[..., np.newaxis] / np.float32(255)).astype(np.float32)


def train(data: Path, path: Path, float_path: Path) -> None:
    """Train the encoder; write its int8 model, and the float32 model that it was converted from."""
    digits = load_digits(data, "train")
    keras.utils.set_random_seed(SEED)
    network = ImageNetwork()
    for index, stage in enumerate(STAGES):
        maker = partial(Composer(*digits, stage.view).frames, none_share=stage.none_share)
        items = make_items(maker, stage.count, SEED + index)
        _fit(network.models[stage.view], items, stage)
    convert.to_int8(network.encoder, normalised(items[0][:1000]), path)
    convert.to_float(network.encoder, float_path)


def _fit(model: keras.Model, items: Arrays, stage: Stage) -> None:
    """Train with AdamW, a warm-up and a falling rate. The moving average of the weights becomes the result."""
    steps = stage.steps
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.rate / 20, steps * 19 // 20, 0.01, warmup_target=stage.rate, warmup_steps=steps // 20
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4, use_ema=True, ema_momentum=0.998)
    model.compile(optimizer, loss={"frame": _frame_loss, "cells": _cell_loss})
    model.fit(_batches(items, stage), steps_per_epoch=steps // REPORTS, epochs=REPORTS, verbose=2)


def _batches(items: Arrays, stage: Stage) -> tf.data.Dataset:
    """Endless batches of frames, their labels and the labels of their cells, in random order and with random light."""
    frames, labels, boxes = items
    batch, view = stage.batch, stage.view
    positions = cells(view.height, view.width, view.levels)

    def rows() -> Iterator[tuple[Grey, NDArray[np.int32], NDArray[np.int8]]]:
        rng = np.random.default_rng(SEED)
        while True:
            order = rng.permutation(len(frames))
            for start in range(0, len(order) - batch + 1, batch):
                chosen = order[start : start + batch]
                named = cell_labels(boxes[chosen], labels[chosen], positions)
                yield frames[chosen], labels[chosen].astype(np.int32), named

    signature = (
        tf.TensorSpec((batch, view.height, view.width), tf.uint8),
        tf.TensorSpec((batch,), tf.int32),
        tf.TensorSpec((batch, len(positions)), tf.int8),
    )
    batches = tf.data.Dataset.from_generator(rows, output_signature=signature)
    return batches.map(lambda x, label, named: (_lit(x), {"frame": label, "cells": named})).prefetch(4)


def _lit(frames: tf.Tensor) -> tf.Tensor:
    """Frames scaled to 0 to 1. Random frames get inverted tones, another contrast, or another brightness."""
    shape = (len(frames), 1, 1, 1)

    def some(share: float, low: float, high: float) -> tf.Tensor:
        return tf.where(tf.random.uniform(shape) < share, tf.random.uniform(shape, low, high), tf.zeros(shape))

    x = tf.cast(frames, tf.float32)[..., tf.newaxis] / 255.0 - 0.5
    x = tf.where(tf.random.uniform(shape) < 0.3, -x, x)
    return tf.clip_by_value(x * tf.exp(some(0.5, -0.5, 0.3)) + 0.5 + some(0.5, -0.15, 0.15), 0.0, 1.0)


def _frame_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(tf.reshape(labels, [-1]), tf.int32), logits)
    )


def _cell_loss(named: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of three groups of cells: with a digit, with either answer accepted, and without a digit.

    Each group contributes its mean.
    """
    scores = tf.nn.log_softmax(tf.pad(answers, ((0, 0), (0, 0), (0, 1)), constant_values=NONE_LOGIT))
    named = tf.cast(named, tf.int32)
    is_either = named < 0
    of_label = tf.gather(scores, tf.where(is_either, -1 - named, named), axis=2, batch_dims=2)
    either = tf.reduce_logsumexp(tf.stack((of_label, scores[..., NONE])), 0)
    losses = -tf.where(is_either, either, of_label)
    elsewhere = named == NONE
    there = ~(is_either | elsewhere)
    return _mean(losses, there) + _mean(losses, is_either) + ELSEWHERE_WEIGHT * _mean(losses, elsewhere)


def _mean(losses: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    counted = tf.cast(where, tf.float32)
    return tf.reduce_sum(losses * counted) / (tf.reduce_sum(counted) + 1.0)
