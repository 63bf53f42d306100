"""The rows of a fit as matrices: targets, weights, views and folds. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Array, Modality
from daemon.teaching.basis import Basis, basis_of
from daemon.teaching.logistic import Problem
from daemon.teaching.mirrors import mirrored_rows
from daemon.teaching.rows import NONE, BaseLogits, Flags, Indices, Kind, LabelToFit, Row, TrainingSet, rows_of

FOLDS = 5

# The part of the weight of all rows against a label that its background has. The other labels' presses have the rest.
BACKGROUND_PART = 0.5
# What the base knows weighs as much as everything else against a label: it must not lose what it is sure of.
KNOWN_PART = 1.0
# Of the weight of all rows, what speaks for a label has this part. With half of it, few presses saturate the sigmoid.
POSITIVE_PART = 0.05
# One of the states of a group is always there.
POSITIVE_PART_OF_STATE = 0.5
# What was called wrong at once counts as much as so many presses, and all of them together at most this part.
WRONG_PRESSES = 2
MOST_OF_WRONG = 0.2
# A label learns from a sense that so large a part of its presses has, and of its background.
LEAST_OF_PRESSES = 0.5
LEAST_OF_BACKGROUND = 0.25
# The view with every sense has this part of a row's weight. The views with senses absent share the rest.
WHOLE_VIEW_PART = 0.5


@dataclass(frozen=True)
class Material:
    """Rows (N) of T labels. `blocks` has the reduced rows by modality, `senses` (N, modalities) which it has.

    `label` and `press` are NONE where a row has none. `presses` has by label the presses of its rows.
    `applies` (N, T) says whether a label applies to the stream of a row. `fold` is the fold that holds a row out.
    """

    labels: Sequence[LabelToFit]
    rows: Sequence[Row]
    basis: Basis
    blocks: Sequence[Array]
    senses: Flags
    views: Flags
    view_weights: Array
    offsets: Array | None
    kind: NDArray[np.str_]
    label: Indices
    press: Indices
    fold: Indices
    applies: Flags
    presses: Sequence[Sequence[int]]

    def of_kind(self, kind: Kind) -> Flags:
        """Return which rows are of a kind."""
        flags: Flags = self.kind == kind
        return flags

    def problem(self, used: Flags, shares: Array) -> Problem:
        """Return the problem of the rows `used` (N, T). `shares` (N) is the part of each moment in its press."""
        targets = (self.label[:, np.newaxis] == np.arange(len(self.labels))) & (self.of_kind("example"))[:, np.newaxis]
        weights = np.column_stack(
            [self._weights_of(index, used[:, index], shares) for index in range(len(self.labels))]
        )
        learned = np.column_stack([self._learned_by(index) for index in range(len(self.labels))])
        return Problem(
            self.blocks, targets.astype(np.float32), weights, self.views, self.view_weights, self.offsets, learned
        )

    def _learned_by(self, index: int) -> Flags:
        """Return which modalities a label learns from.

        Without this, that a sense is there at all would speak for or against the label.
        """
        presses = [self.senses[self.press == press].any(axis=0) for press in self.presses[index]]
        of_presses = np.mean(presses, axis=0)
        background = self.senses[self.of_kind("background") & self.applies[:, index]]
        is_state = self.labels[index].state_of is not None  # it learns from no background
        of_background = np.ones_like(of_presses) if is_state else background.mean(axis=0)
        learned = (of_presses >= LEAST_OF_PRESSES) & (of_background >= LEAST_OF_BACKGROUND)
        return np.asarray(learned if learned.any() else of_presses == of_presses.max(), bool)

    def _weights_of(self, index: int, used: Flags, shares: Array) -> Array:
        """Return the weight (N) of each row for one label. All weights add up to 1."""
        own = used & (self.label == index) & self.of_kind("example")
        wrong = used & (self.label == index) & self.of_kind("wrong")
        presses = len(np.unique(self.press[own]))
        positive = POSITIVE_PART if self.labels[index].state_of is None else POSITIVE_PART_OF_STATE
        weights = np.where(own, np.float32(positive / max(1, presses)) * shares, np.float32(0))
        parts = np.array([row.part for row in self.rows], np.float32) * wrong
        of_wrong = min(MOST_OF_WRONG, WRONG_PRESSES * positive / max(1, presses) * float(parts.sum()))
        weights += np.float32(of_wrong) * parts / max(1e-9, float(parts.sum()))
        against = self._against(index, used)
        total = sum(part for part, _ in against)
        for part, rows in against:
            weights += np.float32((1 - positive - of_wrong) * part / total) * rows
        return np.asarray(weights, np.float32)

    def _against(self, index: int, used: Flags) -> list[tuple[float, Array]]:
        """Return what speaks against a label, in parts, each with weights (N) that add up to 1."""
        label, examples = self.labels[index], self.of_kind("example")
        parts = []
        for other, each in enumerate(self.labels):
            if other != index and each.state_of == label.state_of:
                parts.append((1.0, _even_by_press(self.press, used & examples & (self.label == other))))
        if label.state_of is not None:
            parts.append((1.0, _even(used & self.of_kind("covered"))))
            return [(part, rows) for part, rows in parts if rows.any()]
        others = [(part, rows) for part, rows in parts if rows.any()]
        others = [((1 - BACKGROUND_PART) / len(others), rows) for _, rows in others]
        others.append((BACKGROUND_PART, _even(used & self.of_kind("background") & self.applies[:, index])))
        others.append((KNOWN_PART, _even(used & self.of_kind("known"))))
        return [(part, rows) for part, rows in others if rows.any()]


def material_of(training: TrainingSet, labels: Sequence[LabelToFit], base: BaseLogits) -> Material:
    """Return the material of these labels."""
    rows = rows_of(training, labels)
    if training.scoring == "exclusive":
        rows += mirrored_rows(rows, base, training.sizes, training.modalities)
    basis = basis_of(rows, training.sizes, training.modalities)
    senses = _senses(rows, training.modalities, basis.modalities)
    views = views_of(len(basis.modalities))
    label = np.array([row.label for row in rows], np.int64)
    press = np.array([row.press for row in rows], np.int64)
    applies = np.array([[each.applies_to(row.stream) for each in labels] for row in rows], bool)
    presses = [
        sorted({row.press for row in rows if row.kind == "example" and row.label == index})
        for index in range(len(labels))
    ]
    fold = _folds(rows, presses)
    offsets = _offsets(rows, views, basis, base) if training.scoring == "exclusive" else None
    return Material(
        labels,
        rows,
        basis,
        basis.reduce(rows),
        senses,
        views,
        _view_weights(senses, views),
        offsets,
        np.array([row.kind for row in rows]),
        label,
        press,
        fold,
        applies.reshape(len(rows), len(labels)),
        presses,
    )


def views_of(senses: int) -> Flags:
    """Return the ways (V, senses) in which a moment is shown: whole, each sense alone, each sense absent."""
    alone = np.eye(senses, dtype=bool)
    return np.unique(np.vstack([np.ones((1, senses), bool), alone, *([~alone] if senses > 2 else [])]), axis=0)[::-1]


def _senses(rows: Sequence[Row], modality_of: Mapping[str, Modality], modalities: Sequence[Modality]) -> Flags:
    """Return which modalities each row has: (N, modalities)."""
    present = np.zeros((len(rows), len(modalities)), bool)
    for index, row in enumerate(rows):
        for name in row.vectors:
            present[index, modalities.index(modality_of[name])] = True
    return present


def _view_weights(senses: Flags, views: Flags) -> Array:
    """Return how much each view of a row counts: (N, V). Views that leave all it has, or nothing, do not count."""
    whole = views.all(axis=1)
    left = senses[:, np.newaxis] & views
    differs = (left != senses[:, np.newaxis]).any(axis=2) & left.any(axis=2)
    weights = np.where(
        whole, WHOLE_VIEW_PART, (1 - WHOLE_VIEW_PART) * differs / np.maximum(1, differs.sum(axis=1))[:, np.newaxis]
    )
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _offsets(rows: Sequence[Row], views: Flags, basis: Basis, base: BaseLogits) -> Array:
    """Return the logits of all labels of the base together, log sum exp: (V, N)."""
    return np.array([list(_base_logits(rows, view, basis, base)) for view in views], np.float32)


def _base_logits(rows: Sequence[Row], view: Flags, basis: Basis, base: BaseLogits) -> Iterator[float]:
    kept = {basis.modalities[index] for index in np.flatnonzero(view).tolist()}
    for row in rows:
        vectors = {name: vector for name, vector in row.vectors.items() if basis.modality_of[name] in kept}
        logits = base(vectors, row.stream or None)
        yield float(np.logaddexp.reduce(logits.astype(np.float64)))


def _folds(rows: Sequence[Row], presses: Sequence[Sequence[int]]) -> Indices:
    """Return the fold of each row. A press is in one fold, and so is an hour of background where there are enough."""
    fold = np.zeros(len(rows), np.int64)
    of_press = {press: place % FOLDS for own in presses for place, press in enumerate(own)}
    others: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        if row.press != NONE:
            fold[index] = of_press[row.press]
        else:
            others.setdefault((row.kind, row.stream), []).append(index)
    for indices in others.values():
        hours = np.array([rows[index].hour for index in indices])
        distinct, place = np.unique(hours, return_inverse=True)
        if len(distinct) < 2 * FOLDS:  # too few hours: spells of the same length, one after another
            place = np.empty(len(hours), np.int64)
            place[np.argsort(hours, kind="stable")] = np.arange(len(hours)) * FOLDS // len(hours)
        fold[indices] = place % FOLDS
    return fold


def _even(rows: Flags) -> Array:
    return np.asarray(rows / max(1, int(rows.sum())), np.float32)


def _even_by_press(press: Indices, rows: Flags) -> Array:
    """Return weights (N) that add up to 1, the same for each press that has any of the rows."""
    weights = np.zeros(len(press), np.float32)
    found, place, moments = np.unique(press[rows], return_inverse=True, return_counts=True)
    if len(found):
        weights[rows] = 1 / (len(found) * moments[place])
    return weights
