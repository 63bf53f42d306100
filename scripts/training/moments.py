"""Random moments that the head is fitted to, put together from embeddings of single items. Pure functions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.core.records import MODALITIES, Array, Modality
from training.specs import LABELS, NONE

Labels = NDArray[np.int64]
_NOTHING = -1.0

# Which modalities are present, one bit for each.
ALL_SUBSETS = tuple(range(1, 2 ** len(MODALITIES)))
# Share of the moments in which no modality has a digit.
NONE_SHARE = 1 / 7
# Share of the moments with a digit and several modalities in which some modalities have no digit.
MIXED_SHARE = 0.3
# Share of the moments with a digit and several modalities in which one clearly has another digit. There the target is
# divided.
CONTRADICTION_SHARE = 0.28
# An item is clear if the evidence for its label exceeds this. Unclear items need no training on contradictions: a clear
# one outweighs them anyway.
CLEAR = 5.5


class LabelledEmbeddings:
    """Embeddings (n, D) of one modality with their labels (n,). They are evidence, so D is the number of labels."""

    def __init__(self, embeddings: Array, labels: Labels) -> None:
        self.embeddings = embeddings
        self._rows = [np.flatnonzero(labels == label) for label in range(len(LABELS))]
        clear_rows = [rows[embeddings[rows, label] > CLEAR] for label, rows in enumerate(self._rows)]
        # an encoder may have no clear item of a label
        self._clear_rows = [clear if len(clear) else rows for clear, rows in zip(clear_rows, self._rows, strict=True)]

    def of(self, label: int) -> Array:
        """The embeddings (m, D) of all items with this label."""
        return self.embeddings[self._rows[label]]

    def pick(self, labels: Labels, clear: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        """The embeddings (n, D) of random items with `labels` (n,); of clear items where `clear` (n,) is true."""
        chosen = np.empty(len(labels), np.int64)
        for kind, rows_of in ((False, self._rows), (True, self._clear_rows)):
            for label, rows in enumerate(rows_of):
                selected = (labels == label) & (clear == kind)
                if selected.any():
                    chosen[selected] = rows[rng.integers(len(rows), size=int(selected.sum()))]
        return self.embeddings[chosen]


def make_moments(
    embedded: Mapping[Modality, LabelledEmbeddings],
    count: int,
    rng: np.random.Generator,
    subsets: Sequence[int] = ALL_SUBSETS,
) -> tuple[Array, Array]:
    """F (n, D + M) and target scores (n, L) of random moments."""
    bits = np.array(subsets)[rng.integers(len(subsets), size=count)]
    present = (bits[:, np.newaxis] >> np.arange(len(MODALITIES)) & 1).astype(bool)
    shown, contradicting = _labels_shown(present, rng)
    parts = [
        embedded[modality].pick(shown[:, index], contradicting, rng) * present[:, index, np.newaxis]
        for index, modality in enumerate(MODALITIES)
    ]
    features = np.concatenate([*parts, present.astype(np.float32)], axis=1)
    return features.astype(np.float32), _targets(present, shown)


def _labels_shown(present: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Labels, NDArray[np.bool_]]:
    """The label of each modality (n, M), a digit or NONE; and in which moments digits contradict each other (n,)."""
    count = len(present)
    shown = np.repeat(rng.integers(10, size=count)[:, np.newaxis], present.shape[1], axis=1)
    # ranks the present modalities in random order, before the absent ones
    rank = np.where(present, rng.random(present.shape), 2.0).argsort(axis=1).argsort(axis=1)
    present_count = present.sum(axis=1)
    kind = np.where(present_count > 1, rng.random(count), 1.0)
    kind[rng.random(count) < NONE_SHARE] = _NOTHING
    contradicting = (kind >= 0) & (kind < CONTRADICTION_SHARE)
    others = (shown[:, :1] + rng.integers(1, 10, size=(count, 1))) % 10
    shown = np.where(contradicting[:, np.newaxis] & (rank == 0), others, shown)
    mixed = (kind >= CONTRADICTION_SHARE) & (kind < CONTRADICTION_SHARE + MIXED_SHARE)
    silent = rng.integers(1, np.maximum(present_count, 2))[:, np.newaxis]
    shown = np.where(mixed[:, np.newaxis] & (rank < silent), NONE, shown)
    return np.where(kind[:, np.newaxis] == _NOTHING, NONE, shown), contradicting


def _targets(present: NDArray[np.bool_], shown: Labels) -> Array:
    """Target scores (n, L): every digit that is shown gets an equal part, and NONE only where there is no digit."""
    votes = np.zeros((len(shown), len(LABELS)), np.float32)
    for index in range(shown.shape[1]):
        digit = present[:, index] & (shown[:, index] != NONE)
        votes[np.flatnonzero(digit), shown[digit, index]] += 1
    votes[votes.sum(axis=1) == 0, NONE] = 1
    return votes / votes.sum(axis=1, keepdims=True)
