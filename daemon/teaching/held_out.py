"""Fits labels with parts of the material held out, and chooses L2 and the moments of each press. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import Array
from daemon.teaching.logistic import Weights, log_loss, solve
from daemon.teaching.material import FOLDS, Material
from daemon.teaching.rows import Flags

# Weights are tried with each of these, from the strongest to the weakest.
L2_GRID = (0.003, 0.001, 0.0003)
FIRST_L2 = 0.001
# It is chosen by so many folds; the others change the choice rarely, and cost as much.
FOLDS_FOR_L2 = 2
ROUNDS = 3


@dataclass(frozen=True)
class HeldOut:
    """The weights that were fitted on all rows, and logits (V, N, T) of each row by weights that did not see it.

    A label with one press is fitted with it each time: it is the only one.
    """

    weights: Weights
    of_folds: Sequence[Weights]
    logits: Array
    l2: float
    shares: Array


def fit_and_hold_out(material: Material) -> HeldOut:
    """Fit all rows, and each fold's complement."""
    shares, weights = _choose_moments(material)
    l2 = _choose_l2(material, shares, weights)
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    weights = solve(material.problem(everything, shares), l2, weights)
    logits = np.zeros((len(material.views), len(material.rows), len(material.labels)), np.float32)
    of_folds = []
    for fold in range(FOLDS):
        of_folds.append(solve(material.problem(used_without(material, fold), shares), l2, weights))
        rows = material.fold == fold
        blocks = [block[rows] for block in material.blocks]
        logits[:, rows] = of_folds[fold].views(blocks, material.views)
    return HeldOut(weights, of_folds, logits, l2, shares)


def _choose_moments(material: Material) -> tuple[Array, Weights]:
    """Return how much each moment (N) of a press speaks for its label, and the weights of all rows with that.

    A press is a window in which the label is to be found, and not in each moment. So the moments of a press have the
    softmax of their logits, which add up to 1.
    """
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    shares = np.ones(len(material.rows), np.float32)
    rows_of_press = [np.flatnonzero(material.press == press) for own in material.presses for press in own]
    for rows in rows_of_press:
        shares[rows] = 1 / len(rows)
    weights = solve(material.problem(everything, shares), FIRST_L2)
    for _ in range(ROUNDS):
        logits = weights.logits(material.blocks)
        for rows in rows_of_press:
            own = logits[rows, material.label[rows]]
            powers = np.exp(own - own.max())
            shares[rows] = powers / powers.sum()
        weights = solve(material.problem(everything, shares), FIRST_L2, weights)
    return shares, weights


def others_of(material: Material, label: int) -> Flags:
    """Return the rows that stand for "not this label": its background, or the other states of its group."""
    if material.labels[label].state_of is None:
        flags: Flags = material.of_kind("background") & material.applies[:, label]
        return flags
    group = material.labels[label].state_of
    same = [index for index, each in enumerate(material.labels) if index != label and each.state_of == group]
    return np.isin(material.label, same) | material.of_kind("covered")


def _choose_l2(material: Material, shares: Array, start: Weights) -> float:
    """Return the L2 with the smallest loss on held-out rows."""
    total = np.zeros(len(L2_GRID))
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    judged = material.problem(everything, shares)
    for fold in range(FOLDS_FOR_L2):
        problem, weights = material.problem(used_without(material, fold), shares), start
        for index, l2 in enumerate(L2_GRID):
            weights = solve(problem, l2, weights)
            total[index] += log_loss(judged, weights, material.fold == fold)
    return L2_GRID[int(total.argmin())]


def used_without(material: Material, fold: int) -> Flags:
    """Return which rows (N, T) each label learns from when a fold is held out."""
    used = np.repeat((material.fold != fold)[:, np.newaxis], len(material.labels), axis=1)
    for label, presses in enumerate(material.presses):
        if len(presses) == 1:
            used[material.press == presses[0], label] = True
    return used
