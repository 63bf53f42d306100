"""What held-out presses tell about each label: how many are found, by which sense, and what else they start. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import Array, Modality
from daemon.teaching.decisions import DEFAULT_TIMES, Decision
from daemon.teaching.held_out import others_of
from daemon.teaching.material import Material
from daemon.teaching.rows import EventTimes, Flags, Indices, TrainingSet
from daemon.teaching.thresholds import sustained


@dataclass(frozen=True)
class Judged:
    """One held-out press of the label `label`: whether it was found, and without which senses.

    `is_short`: it was not found, and would have been with the default times of events.
    `also` are other labels that it started. `score` and `rival` are the highest scores of its own and of any of these.
    `senses` has the part of each sense in what spoke for its label.
    """

    press: int
    label: int
    found: bool
    is_short: bool
    found_without: Mapping[Modality, bool]
    also: Sequence[int]
    score: float
    rival: float
    senses: Mapping[Modality, float]


def judge(training: TrainingSet, material: Material, decisions: Sequence[Decision], views: Array) -> list[Judged]:
    """Return the judgement of each press. `views` (V, N, T) has held-out logits; the first view is the whole one."""
    judge_one = _Judge(training, material, decisions, views)
    return [judge_one.judged(label, press) for label, own in enumerate(material.presses) for press in own]


class _Judge:
    def __init__(self, training: TrainingSet, material: Material, decisions: Sequence[Decision], views: Array) -> None:
        self._training, self._material, self._decisions, self._views = training, material, decisions, views
        groups = {label.state_of for label in material.labels if label.state_of is not None}
        self._groups = [
            [index for index, label in enumerate(material.labels) if label.state_of == group]
            for group in sorted(groups)
        ]
        self._backdrop = {
            label: self._shares(label, np.flatnonzero(others_of(material, label))) for label in range(len(decisions))
        }

    def judged(self, label: int, press: int) -> Judged:
        material = self._material
        rows = np.flatnonzero(material.press == press)
        stream = material.rows[rows[0]].stream
        everything = np.ones(len(material.basis.modalities), bool)
        times = self._training.times_of(stream)
        whole = self._levels(rows, everything, times)
        starts = np.array([each.start(stream) for each in self._decisions])
        rivals = [
            other
            for other, each in enumerate(material.labels)
            if other != label and material.applies[rows[0], other] and each.state_of == material.labels[label].state_of
        ]
        also = [other for other in rivals if whole[other] >= starts[other]]
        found_without = {}
        senses = material.senses[rows].any(axis=0)
        if senses.sum() > 1:
            for index in np.flatnonzero(senses).tolist():
                left = self._levels(rows, np.arange(senses.size) != index, times)
                found_without[material.basis.modalities[index]] = bool(left[label] >= starts[label])
        found = bool(whole[label] >= starts[label])
        is_short = not found and times != DEFAULT_TIMES
        return Judged(
            press,
            label,
            found,
            is_short and bool(self._levels(rows, everything, DEFAULT_TIMES)[label] >= starts[label]),
            found_without,
            also,
            float(whole[label]),
            max((float(whole[other]) for other in also), default=0.0),
            self._parts(label, rows),
        )

    def _levels(self, rows: Indices, view: Flags, events: EventTimes) -> Array:
        """Return the score (T) that decides about a press in a view: sustained, or of most votes for a state.

        A moment of which the view leaves nothing scores 0.
        """
        material = self._material
        logits = self._views[_place(material.views, view)][rows]
        scores = np.column_stack([each.scale.scores(logits[:, index]) for index, each in enumerate(self._decisions)])
        scores[~(material.senses[rows] & view).any(axis=1)] = 0
        levels = sustained(scores, [material.rows[row].time_ms for row in rows.tolist()], events)
        for of_group in self._groups:
            levels[of_group] = votes(scores[:, of_group])
        return levels

    def _parts(self, label: int, rows: Indices) -> dict[Modality, float]:
        """Return the part of each sense in what speaks for the label in its highest moment, beside the background."""
        highest = rows[[int(self._views[0, rows, label].argmax())]]
        shares = np.maximum(0, self._shares(label, highest) - self._backdrop[label])
        total = float(shares.sum())
        present = self._material.senses[highest[0]]
        modalities = self._material.basis.modalities
        return {
            modalities[index]: float(shares[index]) / total if total else 0.0
            for index in np.flatnonzero(present).tolist()
        }

    def _shares(self, label: int, rows: Indices) -> Array:
        """Return the mean share of each modality (modalities) in the logits of rows."""
        count = len(self._material.basis.modalities)
        if count == 1 or not len(rows):
            return self._views[0, rows, label].mean(keepdims=True) if len(rows) else np.zeros(count, np.float32)
        whole = self._views[0, rows, label]
        without = [
            self._views[_place(self._material.views, np.arange(count) != index), rows, label] for index in range(count)
        ]
        return np.array([(whole - each).mean() for each in without], np.float32)


def votes(scores: Array) -> Array:
    """Return the score of each state (S) that most moments reach while it is the highest. `scores` is (n, S)."""
    highest = np.where(scores == scores.max(axis=1, keepdims=True), scores, np.float32(0))
    return np.asarray(np.sort(highest, axis=0)[::-1][len(scores) // 2], np.float32)


def _place(views: Flags, view: Flags) -> int:
    return int(np.flatnonzero((views == view).all(axis=1))[0])
