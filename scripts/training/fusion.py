"""Fits the head, softmax(W F + b), to embeddings of items that no encoder was trained on."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from daemon.core.records import MODALITIES, Array, Modality
from training.moments import ALL_SUBSETS, LabelledEmbeddings, make_moments
from training.specs import LABELS, NONE

MOMENTS = 200_000
# A spoken digit is in the window for half a second. Smoothed over 0.3 s, its score hardly exceeds 0.8.
START_RANGE = (0.6, 0.7)
L2 = 1e-5
_EPOCHS, _BATCH, _RATE = 12, 512, 5e-3


def fit_head(
    embedded: Mapping[Modality, LabelledEmbeddings], seed: int, subsets: Sequence[int] = ALL_SUBSETS
) -> tuple[Array, Array]:
    """Weights (L, D + M) and bias (L,), fitted to moments with these subsets of the modalities."""
    features, targets = make_moments(embedded, MOMENTS, np.random.default_rng(seed), subsets)
    keras.utils.set_random_seed(seed)
    head = keras.Sequential(
        [
            keras.Input((features.shape[1],)),
            keras.layers.Dense(len(LABELS), kernel_regularizer=keras.regularizers.L2(L2)),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(_RATE, _EPOCHS * (MOMENTS // _BATCH))
    head.compile(keras.optimizers.Adam(rate), keras.losses.CategoricalCrossentropy(from_logits=True))
    head.fit(features, targets, _BATCH, _EPOCHS, verbose=0)
    kernel, bias = head.get_weights()
    return kernel.T.astype(np.float32), bias.astype(np.float32)


def start_threshold(embedded: Mapping[Modality, LabelledEmbeddings], weights: Array, bias: Array) -> float:
    """The score that 999 of 1,000 items without a digit stay below, for each modality alone; clipped to START_RANGE."""
    highest, start = [], 0
    for index, modality in enumerate(MODALITIES):
        rows = embedded[modality].of(NONE)
        end = start + rows.shape[1]
        logits = rows @ weights[:, start:end].T + weights[:, index - len(MODALITIES)] + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        highest.append((powers / powers.sum(axis=1, keepdims=True))[:, :NONE].max(axis=1))
        start = end
    return float(np.clip(np.quantile(np.concatenate(highest), 0.999), *START_RANGE))
