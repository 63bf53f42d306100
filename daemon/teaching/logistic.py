"""Logistic regression of several labels at once, with weighted rows, and each row with senses absent too. Pure.

NLopt's L-BFGS minimises it: the function is smooth and convex. It is exact enough after some tens of steps.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import nlopt
import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Array, Array64

# Evaluations of the loss: a step takes one, and sometimes two or more.
MAX_STEPS = 75
# Of the loss, from step to step: relative, or absolute for a small loss. Less takes longer, and does not find more.
TOLERANCE = 2e-5
# how many steps L-BFGS remembers
HISTORY = 8


@dataclass(frozen=True)
class Weights:
    """The weights (d, T) of each modality, and the bias (T,)."""

    blocks: Sequence[Array]
    bias: Array

    def logits(self, rows: Sequence[Array], view: NDArray[np.bool_] | None = None) -> Array:
        """Return the logits (N, T) of rows, given by modality. `view` has the modalities that count; None: all."""
        logits = np.tile(self.bias, (len(rows[0]), 1))
        for index, (block, weights) in enumerate(zip(rows, self.blocks, strict=True)):
            if view is None or view[index]:
                logits += block @ weights
        return logits

    def views(self, rows: Sequence[Array], views: NDArray[np.bool_]) -> Array:
        """Return the logits (V, N, T) of rows in each view."""
        return np.stack([self.logits(rows, view) for view in views])


@dataclass(frozen=True)
class Problem:
    """Rows by modality (N, d), and targets (N, T) of 0 and 1 with a weight (N, T) for each.

    `views` (V, modalities) has the ways in which a row is shown, and `view_weights` (N, V) how much each counts.
    `offsets` (V, N) are the logits of all labels of the base together; None with independent scoring.
    `learned` (modalities, T) says which modalities have weights for which label; None: all for all.
    """

    rows: Sequence[Array]
    targets: Array
    weights: Array
    views: NDArray[np.bool_]
    view_weights: Array
    offsets: Array | None = None
    learned: NDArray[np.bool_] | None = None

    def offset(self, view: int) -> Array | None:
        """Return the offsets (N) of a view."""
        return None if self.offsets is None else self.offsets[view]


def solve(problem: Problem, l2: float, start: Weights | None = None, steps: int = MAX_STEPS) -> Weights:
    """Return the weights with the smallest weighted log loss plus l2 / 2 times the sum of their squares.

    They are finite, also where rows are not. Raises MemoryError.
    """
    labels = problem.targets.shape[1]
    sizes = [block.shape[1] for block in problem.rows]
    if start is None:
        start = Weights([np.zeros((size, labels), np.float32) for size in sizes], np.zeros(labels, np.float32))
    objective = _Objective(problem, l2, sizes)
    flat = _flat(start)
    solver = nlopt.opt(nlopt.LD_LBFGS, len(flat))
    solver.set_min_objective(objective)
    solver.set_ftol_rel(TOLERANCE)
    solver.set_ftol_abs(TOLERANCE)
    solver.set_maxeval(steps)
    solver.set_vector_storage(HISTORY)
    # the rows are float32: near the minimum no step along the gradient is better
    with contextlib.suppress(nlopt.RoundoffLimited, nlopt.runtime_error):
        solver.optimize(flat)
    if objective.error is not None:
        raise objective.error
    return objective.best()


class _Objective:
    """The loss and its gradient, for NLopt. It keeps the best weights that it was asked about.

    NLopt does not pass on an exception. `error` is the first one.
    """

    def __init__(self, problem: Problem, l2: float, sizes: Sequence[int]) -> None:
        self._problem, self._l2, self._sizes = problem, l2, sizes
        self._labels = problem.targets.shape[1]
        learned = np.ones((len(sizes), self._labels), bool) if problem.learned is None else problem.learned
        self._learned = np.repeat(learned, sizes, axis=0)
        self.error: BaseException | None = None
        self._smallest, self._best = np.inf, np.zeros((sum(sizes) + 1) * self._labels)

    def best(self) -> Weights:
        return self._weights(self._best)

    def __call__(self, flat: Array64, gradient: Array64) -> float:
        """Return the loss, and write its gradient."""
        try:
            loss, gradient[:] = self._evaluate(flat)
        except BaseException as error:
            self.error = self.error or error
            raise
        if loss < self._smallest:
            self._smallest, self._best = loss, flat.copy()
        return loss

    def _weights(self, flat: Array64) -> Weights:
        values = flat.astype(np.float32).reshape(-1, self._labels)
        ends = np.cumsum(self._sizes)
        return Weights(np.split(values[:-1], ends[:-1]), values[-1])

    def _evaluate(self, flat: Array64) -> tuple[float, Array64]:
        problem, weights = self._problem, self._weights(flat)
        products = [block @ part for block, part in zip(problem.rows, weights.blocks, strict=True)]
        loss = self._l2 / 2 * float(np.square(flat[: -self._labels]).sum())
        slopes = [np.zeros_like(product) for product in products]
        of_bias = np.zeros(self._labels, np.float32)
        for place, (view, counts) in enumerate(zip(problem.views, problem.view_weights.T, strict=True)):
            if not counts.any():
                continue
            logits = np.tile(weights.bias, (len(counts), 1))
            for product in (products[index] for index in np.flatnonzero(view)):
                logits += product
            weighted = problem.weights * counts[:, np.newaxis]
            value, slope = _losses(logits, problem.targets, weighted, problem.offset(place))
            loss += value
            of_bias += slope.sum(axis=0)
            for index in np.flatnonzero(view):
                slopes[index] += slope
        gradient = np.vstack([block.T @ slope for block, slope in zip(problem.rows, slopes, strict=True)])
        gradient += np.float32(self._l2) * np.vstack(weights.blocks)
        gradient *= self._learned  # weights begin with 0, and so stay 0
        return loss, np.concatenate([gradient.ravel(), of_bias]).astype(np.float64)


def _flat(weights: Weights) -> Array64:
    return np.concatenate([*(block.ravel() for block in weights.blocks), weights.bias]).astype(np.float64)


def log_loss(problem: Problem, weights: Weights, rows: NDArray[np.bool_]) -> float:
    """Return the weighted log loss of some rows (N), shown whole. The first view is the whole one."""
    logits = weights.logits([block[rows] for block in problem.rows])
    offset = problem.offset(0)
    return _losses(logits, problem.targets[rows], problem.weights[rows], None if offset is None else offset[rows])[0]


def margins(logits: Array, offset: Array) -> Array:
    """Return by how much the logit of each label (N, T) is above all others together, those of the base too (N)."""
    total = np.logaddexp(np.logaddexp.reduce(logits, axis=1), offset)[:, np.newaxis]
    # the others are what is left of the total: log(e^total - e^logit)
    gap = np.minimum(logits - total, -1e-6)
    return np.asarray(gap - np.log1p(-np.exp(gap)), np.float32)


def _losses(logits: Array, targets: Array, weights: Array, offset: Array | None) -> tuple[float, Array]:
    """Return the weighted loss, and its slope (N, T)."""
    if offset is None:
        return _independent(logits, targets, weights)
    return _exclusive(logits, targets, weights, offset)


def _independent(logits: Array, targets: Array, weights: Array) -> tuple[float, Array]:
    small = np.exp(-np.abs(logits))  # never overflows
    losses = np.maximum(logits, 0) + np.log1p(small) - targets * logits
    scores = np.where(logits >= 0, 1, small) / (1 + small)
    return float(np.vdot(weights, losses)), np.asarray(weights * (scores - targets), np.float32)


def _exclusive(logits: Array, targets: Array, weights: Array, offset: Array) -> tuple[float, Array]:
    """One softmax over the base, whose logit is `offset` (N), and the labels with a weight in the row."""
    in_play = weights > 0
    of_row = weights.max(axis=1)
    logits = np.where(in_play, logits, np.float32(-1e30))
    total = np.logaddexp(np.logaddexp.reduce(logits, axis=1), offset)
    own = targets * in_play
    right = np.where(own.any(axis=1), (own * logits).sum(axis=1), offset)
    slope = of_row[:, np.newaxis] * (np.exp(logits - total[:, np.newaxis]) - own)
    return float((of_row * (total - right)).sum(dtype=np.float64)), slope.astype(np.float32)
