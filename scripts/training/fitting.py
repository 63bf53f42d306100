"""One way to train every encoder: Adam, a warm-up, a falling rate, softened labels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.specs import LABELS

Augment = Callable[[tf.Tensor], tf.Tensor]


def fit_classifier(
    classifier: keras.Model,
    inputs: NDArray[Any],
    labels: NDArray[np.int64],
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
    prepare: Augment = tf.identity,
    smoothing: float = 0.05,
) -> None:
    """Train in place; `prepare` turns a batch of stored inputs into what the network takes, changed at random.

    `smoothing` is the share of each target that is spread over all labels.
    """
    steps = len(inputs) // batch * epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 20, steps - steps // 20, 0.01, "falling", rate, steps // 20
    )
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        metrics=["accuracy"],
        jit_compile=False,
    )
    targets = np.eye(len(LABELS), dtype=np.float32)[labels]
    data = (
        tf.data.Dataset.range(len(inputs))
        .shuffle(len(inputs), seed=seed)
        .batch(batch, drop_remainder=True)
        .map(lambda rows: tf.numpy_function(lambda r: (inputs[r], targets[r]), [rows], (inputs.dtype, tf.float32)))
        .map(lambda x, y: (tf.ensure_shape(x, (batch, *inputs.shape[1:])), tf.ensure_shape(y, (batch, len(LABELS)))))
        .map(lambda x, y: (prepare(x), y))
        .prefetch(2)
    )
    classifier.fit(data, epochs=epochs, verbose=2)
