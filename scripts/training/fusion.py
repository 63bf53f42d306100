"""The head: softmax(W F + b), fitted to what the int8 encoders say of training items."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from daemon.records import MODALITIES, Modality
from training.specs import LABELS, NONE

Array = NDArray[np.float32]

MOMENTS = 120_000
NONE_SHARE = 1 / 7
"""Of the moments, those in which no modality has a digit."""
MIXED_SHARE = 0.3
"""Of the moments with a digit and several modalities, those in which some of them have none."""
CONTRADICTION_SHARE = 0.15
"""Of the moments with a digit and several modalities, those in which one has another; the target is half of each."""
L2 = 1e-4
START_RANGE = (0.5, 0.65)
"""A spoken digit is in the window for half a second; smoothed with 0.3 s, its score hardly passes 0.8."""
_EPOCHS, _BATCH, _RATE = 25, 256, 3e-3


class Heard:
    """Embeddings (n, D) of one modality with their labels (n,)."""

    def __init__(self, embeddings: Array, labels: NDArray[np.int64]) -> None:
        self.embeddings = embeddings
        self._rows = [np.flatnonzero(labels == label) for label in range(len(LABELS))]

    def of(self, label: int) -> Array:
        """The embeddings (m, D) of all items with this label."""
        return self.embeddings[self._rows[label]]

    def pick(self, label: int, rng: np.random.Generator) -> Array:
        """The embedding of some item with this label."""
        rows = self._rows[label]
        return self.embeddings[rows[rng.integers(len(rows))]]


def fit_head(heard: Mapping[Modality, Heard], seed: int) -> tuple[Array, Array]:
    """Weights (L, D + M) and bias (L,)."""
    rng = np.random.default_rng(seed)
    features, targets = _moments(heard, rng)
    scale = features.std(axis=0) + 1e-6
    weights, bias = _softmax_regression(features / scale, targets, rng)
    return (weights / scale).astype(np.float32), bias.astype(np.float32)


def start_threshold(heard: Mapping[Modality, Heard], weights: Array, bias: Array) -> float:
    """The score that 99 % of training items without a digit stay below, each modality alone."""
    highest, start = [], 0
    for index, modality in enumerate(MODALITIES):
        rows = heard[modality].of(NONE)
        end = start + rows.shape[1]
        present = weights[:, index - len(MODALITIES)]
        highest.append(_softmax(rows @ weights[:, start:end].T + present + bias)[:, :NONE].max(axis=1))
        start = end
    return float(np.clip(np.quantile(np.concatenate(highest), 0.99), *START_RANGE))


def _moments(heard: Mapping[Modality, Heard], rng: np.random.Generator) -> tuple[Array, Array]:
    """F (n, D + M) and target scores (n, L) of moments with every subset of the modalities."""
    sizes = [heard[modality].embeddings.shape[1] for modality in MODALITIES]
    starts = np.cumsum([0, *sizes])
    features = np.zeros((MOMENTS, int(starts[-1]) + len(sizes)), np.float32)
    targets = np.zeros((MOMENTS, len(LABELS)), np.float32)
    for row, target in zip(features, targets, strict=True):
        subset = int(rng.integers(1, 8))
        present = [index for index in range(len(sizes)) if subset >> index & 1]
        shown = _labels_shown(len(present), rng)
        for index, label in zip(present, shown, strict=True):
            row[starts[index] : starts[index + 1]] = heard[MODALITIES[index]].pick(label, rng)
            row[starts[-1] + index] = 1.0
        digits = sorted({label for label in shown if label != NONE}) or [NONE]
        target[digits] = 1 / len(digits)
    return features, targets


def _labels_shown(count: int, rng: np.random.Generator) -> list[int]:
    """What each of the present modalities has to say: one digit, none, or contradicting digits."""
    if rng.random() < NONE_SHARE:
        return [NONE] * count
    digit = int(rng.integers(10))
    shown = [digit] * count
    if count == 1:
        return shown
    kind = rng.random()
    if kind < CONTRADICTION_SHARE:
        shown[rng.integers(count)] = (digit + int(rng.integers(1, 10))) % 10
    elif kind < CONTRADICTION_SHARE + MIXED_SHARE:
        for index in rng.permutation(count)[: rng.integers(1, count)]:
            shown[index] = NONE
    return shown


def _softmax_regression(features: Array, targets: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Cross-entropy with L2, by Adam."""
    inputs = np.hstack((features, np.ones((len(features), 1), np.float32)))
    weights = np.zeros((targets.shape[1], inputs.shape[1]), np.float32)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    step, steps = 0, _EPOCHS * (len(inputs) // _BATCH)
    for _ in range(_EPOCHS):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            rows = order[start : start + _BATCH]
            x = inputs[rows]
            gradient = (_softmax(x @ weights.T) - targets[rows]).T @ x / _BATCH + L2 * weights
            step += 1
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            rate = _RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            weights -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights[:, :-1], weights[:, -1]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
