"""Finds examples that harm: without them the other presses of their label stand out more from the background. Pure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from daemon.core.records import Array
from daemon.teaching.held_out import HeldOut, others_of, used_without
from daemon.teaching.judging import Judged
from daemon.teaching.logistic import Problem, Weights, solve
from daemon.teaching.material import FOLDS, Material

# So many of the presses that held-out fits missed are looked at, the furthest from their start first.
MOST_TRIED = 4
FEWEST_PRESSES = 4
STEPS = 12
# A press harms when without it the others stand out by so much more, in logits.
LEAST_GAIN = 0.3


def harmful_presses(material: Material, held_out: HeldOut, judged: Sequence[Judged]) -> set[int]:
    """Return the presses that harm. Each is left out, and the folds of its label are fitted again."""
    missed = [each for each in judged if not each.found and len(material.presses[each.label]) >= FEWEST_PRESSES]
    tried = sorted(missed, key=lambda each: each.score)[:MOST_TRIED]
    return {each.press for each in tried if _gain(material, held_out, each.label, each.press) >= LEAST_GAIN}


def _gain(material: Material, held_out: HeldOut, label: int, press: int) -> float:
    """Return by how much more the other presses stand out without a press."""
    logits = np.zeros(len(material.rows), np.float32)
    for fold in range(FOLDS):
        used = used_without(material, fold)
        used[material.press == press] = False
        problem = _of_label(material.problem(used, held_out.shares), label)
        weights = held_out.of_folds[fold]
        start = Weights([block[:, [label]] for block in weights.blocks], weights.bias[[label]])
        rows = material.fold == fold
        logits[rows] = solve(problem, held_out.l2, start, STEPS).logits([block[rows] for block in material.blocks])[
            :, 0
        ]
    before = held_out.logits[0, :, label]
    return _distance(material, logits, label, press) - _distance(material, before, label, press)


def _distance(material: Material, logits: Array, label: int, press: int) -> float:
    """Return how far the presses other than one stand out from what is not the label."""
    peaks = [logits[material.press == other].max() for other in material.presses[label] if other != press]
    return float(np.mean(peaks) - np.quantile(logits[others_of(material, label)], 0.99))


def _of_label(problem: Problem, label: int) -> Problem:
    learned = None if problem.learned is None else problem.learned[:, [label]]
    targets, weights = problem.targets[:, [label]], problem.weights[:, [label]]
    return replace(problem, targets=targets, weights=weights, learned=learned)
