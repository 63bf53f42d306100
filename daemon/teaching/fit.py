"""Fits the weights of taught labels, and tells how well they do. Pure; imported in a child process only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from daemon.bundle.taught import TaughtLabel
from daemon.core.errors import Refused
from daemon.core.records import Array
from daemon.teaching.claims import claims_of
from daemon.teaching.decisions import Decision, decide
from daemon.teaching.harm import harmful_presses
from daemon.teaching.held_out import fit_and_hold_out
from daemon.teaching.judging import judge
from daemon.teaching.logistic import Weights, margins
from daemon.teaching.material import Material, material_of
from daemon.teaching.records import NEEDED_BACKGROUND
from daemon.teaching.report import Report
from daemon.teaching.rows import BaseLogits, LabelToFit, TrainingSet, usable
from daemon.teaching.telling import report_of


@dataclass(frozen=True)
class Fitted:
    """The weights (T, D + M) and the bias (T,) of the labels that were fitted, in the order of `labels`."""

    weights: Array
    bias: Array
    labels: Mapping[str, TaughtLabel]
    report: Report


def fit(training: TrainingSet, base: BaseLogits) -> Fitted:
    """Return the fitted labels. `base` gives the logits of the labels that were there before.

    Raises Refused when no label can be fitted, with the reason of each.
    """
    labels, left_out = labels_to_fit(training)
    if not labels:
        raise Refused("; ".join(left_out) or "nothing was taught yet")
    material = material_of(training, labels, base)
    held_out = fit_and_hold_out(material)
    logits = _deciding(material, held_out.logits)
    learned = _deciding(material, held_out.weights.views(material.blocks, material.views))
    decisions = [decide(index, training, material, logits[0], learned[0]) for index in range(len(labels))]
    judged = judge(training, material, decisions, logits)
    harmful = harmful_presses(material, held_out, judged)
    claims = claims_of(training, material, base)
    report = report_of(training, material, decisions, judged, harmful, left_out, claims)
    weights, bias = _scaled(material, held_out.weights, decisions)
    taught = {label.name: decision.taught for label, decision in zip(labels, decisions, strict=True)}
    return Fitted(weights, bias, taught, report)


def labels_to_fit(training: TrainingSet) -> tuple[list[LabelToFit], list[str]]:
    """Return the labels that can be fitted, with the streams whose background is enough, and why others cannot."""
    counts: dict[str, int] = {}
    for moment in training.background:
        if usable(moment.vectors, training.sizes):
            counts[moment.stream] = counts.get(moment.stream, 0) + 1
    known = frozenset(stream for stream, count in counts.items() if count >= NEEDED_BACKGROUND)
    shown = {
        example.label
        for example in training.examples
        if any(usable(moment.vectors, training.sizes) for moment in example.moments)
    }
    states: dict[str, int] = {}
    for label in training.labels:
        if label.state_of is not None and label.name in shown:
            states[label.state_of] = states.get(label.state_of, 0) + 1
    fitted, left_out = [], []
    for label in training.labels:
        if label.name not in shown:
            left_out.append(f"{label.name} has no example that this bundle can use")
        elif label.state_of is not None:
            if states[label.state_of] > 1:
                fitted.append(label)
            else:
                left_out.append(f"{label.name} is the only state of {label.state_of} so far: teach another one")
        else:
            if streams := (known if label.everywhere else known & label.streams):
                fitted.append(replace(label, streams=streams))
            if waiting := sorted(label.streams - known):
                places = ", ".join(f"{each} {counts.get(each, 0)} of {NEEDED_BACKGROUND}" for each in waiting)
                left_out.append(f"{label.name} waits for background: {places}")
    return fitted, left_out


def _deciding(material: Material, views: Array) -> Array:
    """Return the logits (V, N, T) whose sigmoid is the score: with exclusive scoring, beside all other labels."""
    if material.offsets is None:
        return views
    masked = np.where(material.applies, views, np.float32(-1e30))
    return np.stack([margins(logits, offset) for logits, offset in zip(masked, material.offsets, strict=True)])


def _scaled(material: Material, weights: Weights, decisions: Sequence[Decision]) -> tuple[Array, Array]:
    """Return the weights and the bias of F, so that the scores fit the thresholds."""
    units = np.array([decision.scale.unit for decision in decisions], np.float32)
    zeros = np.array([decision.scale.zero for decision in decisions], np.float32)
    return material.basis.to_features(weights.blocks) / units[:, np.newaxis], (weights.bias - zeros) / units
