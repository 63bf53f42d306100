"""Fits labels with parts of the material held out, and chooses L2 and the moments of each press. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import Array
from daemon.teaching.logistic import Weights, log_loss, solve
from daemon.teaching.material import FOLDS, Material
from daemon.teaching.rows import Flags

# Weights are tried with each of these, from the strongest to the weakest.
L2_GRID = (0.1, 0.03, 0.01, 0.003, 0.001)
FIRST_L2 = 0.03
# Of a press, moments whose logit is beyond this part of the way from the others to its highest speak for its label.
CHOSEN_PART = 0.5
ROUNDS = 2


@dataclass(frozen=True)
class HeldOut:
    """The weights that were fitted on all rows, and logits (V, N, T) of each row by weights that did not see it.

    A label with one press is fitted with it each time: it is the only one.
    """

    weights: Weights
    logits: Array
    l2: float
    chosen: Flags


def fit_and_hold_out(material: Material) -> HeldOut:
    """Fit all rows, and each fold's complement."""
    chosen, weights = _choose_moments(material)
    l2, kept = _choose_l2(material, chosen, weights)
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    weights = solve(material.problem(everything, chosen), l2, weights)
    logits = np.zeros((len(material.views), len(material.rows), len(material.labels)), np.float32)
    for fold, of_fold in enumerate(kept):
        rows = material.fold == fold
        blocks = [block[rows] for block in material.blocks]
        for index, view in enumerate(material.views):
            logits[index, rows] = of_fold.logits(blocks, view)
    return HeldOut(weights, logits, l2, chosen)


def _choose_moments(material: Material) -> tuple[Flags, Weights]:
    """Return which moments (N) of presses speak for their label, and the weights of all rows with them.

    A press is a window in which the label is to be found, and not in each moment.
    """
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    chosen = np.ones(len(material.rows), bool)
    weights = solve(material.problem(everything, chosen), FIRST_L2)
    for _ in range(ROUNDS):
        logits = weights.logits(material.blocks)
        for label, presses in enumerate(material.presses):
            others = logits[others_of(material, label), label]
            floor = float(np.median(others)) if others.size else 0.0
            for press in presses:
                own = material.press == press
                highest = float(logits[own, label].max())
                chosen[own] = logits[own, label] >= min(highest, floor + CHOSEN_PART * (highest - floor))
        weights = solve(material.problem(everything, chosen), FIRST_L2, weights)
    return chosen, weights


def others_of(material: Material, label: int) -> Flags:
    """Return the rows that stand for "not this label": its background, or the other states of its group."""
    if material.labels[label].state_of is None:
        flags: Flags = material.of_kind("background") & material.applies[:, label]
        return flags
    group = material.labels[label].state_of
    same = [index for index, each in enumerate(material.labels) if index != label and each.state_of == group]
    return np.isin(material.label, same) | material.of_kind("covered")


def _choose_l2(material: Material, chosen: Flags, start: Weights) -> tuple[float, Sequence[Weights]]:
    """Return the L2 with the smallest loss on held-out rows, and the weights of each fold with it."""
    total = np.zeros(len(L2_GRID))
    kept: list[list[Weights]] = [[] for _ in L2_GRID]
    everything = np.ones((len(material.rows), len(material.labels)), bool)
    judged = material.problem(everything, chosen)
    for fold in range(FOLDS):
        problem = material.problem(_used(material, fold), chosen)
        weights, held_out = start, material.fold == fold
        for index, l2 in enumerate(L2_GRID):
            weights = solve(problem, l2, weights)
            kept[index].append(weights)
            total[index] += log_loss(judged, weights, held_out)
    best = int(total.argmin())
    return L2_GRID[best], kept[best]


def _used(material: Material, fold: int) -> Flags:
    """Return which rows (N, T) each label learns from when a fold is held out."""
    used = np.repeat((material.fold != fold)[:, np.newaxis], len(material.labels), axis=1)
    for label, presses in enumerate(material.presses):
        if len(presses) == 1:
            used[material.press == presses[0], label] = True
    return used
