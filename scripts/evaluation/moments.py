"""Measures calibration, and the cost of a missing sense, on moments of all subsets with and without digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from training.specs import NONE

from daemon.core.records import MODALITIES, Array, Modality
from evaluation.fused import SUBSETS
from evaluation.held_out import SEED, Condition, Embedded, Labels
from evaluation.progress import report, with_progress
from evaluation.rows import Row, at_most, plain, share

# Moments of each subset and condition.
MOMENTS = 3_000
# Share of the moments without a digit.
NONE_SHARE = 1 / 7
BINS = 15


@dataclass(frozen=True)
class Moments:
    """Embeddings (n, D) of each sense that is present, and the correct labels (n,)."""

    vectors: dict[Modality, Array]
    labels: Labels


def make_moments(embedded: Embedded, subset: Sequence[Modality], condition: Condition, count: int) -> Moments:
    """Moments of random held-out items that share a label; text is always clean."""
    rng = np.random.default_rng([SEED, SUBSETS.index(tuple(subset))])
    labels = np.where(rng.random(count) < NONE_SHARE, NONE, rng.integers(10, size=count))
    drawn = {name: embedded.items[name].of(condition)[embedded.items[name].draw(labels, rng)] for name in subset}
    return Moments(drawn, labels)


def calibration_rows(embedded: Embedded) -> list[Row]:
    """Expected calibration error of the top score, all subsets in equal parts, one moment in seven without a digit."""
    tops: list[Array] = []
    rights: list[Array] = []
    rows = []
    for condition in ("clean", "degraded"):
        for subset in with_progress(f"calibration, {condition}", SUBSETS):
            moments = make_moments(embedded, subset, condition, MOMENTS)
            scores = embedded.subject.scores(moments.vectors)
            tops.append(scores.max(axis=1))
            rights.append(scores.argmax(axis=1) == moments.labels)
        rows.append(_error_row(condition, tops[-len(SUBSETS) :], rights[-len(SUBSETS) :]))
    return [_error_row("clean and degraded", tops, rights), *rows]


def missing_rows(embedded: Embedded, data: Path) -> list[Row]:
    """Accuracy of the head with senses absent, against a head fitted to the same items for only that subset."""
    # imported late, because they load TensorFlow
    from training.embeddings import embed_items
    from training.fusion import fit_head

    report("missing: embeds development items and fits a head for each of 7 subsets, about 5 minutes")
    directory = embedded.subject.bundle.directory
    embedded_dev = embed_items(directory, data)
    rows = []
    for subset in with_progress("heads", SUBSETS):
        bits = sum(1 << MODALITIES.index(name) for name in subset)
        weights, bias = fit_head(embedded_dev, SEED, [bits])
        for condition in ("clean", "degraded"):
            if condition == "clean" or subset != ("text",):
                rows += _against(embedded, make_moments(embedded, subset, condition, MOMENTS), condition, weights, bias)
    return rows


def _against(embedded: Embedded, moments: Moments, condition: Condition, weights: Array, bias: Array) -> list[Row]:
    """Correct moments with the bundle's head, and by how many points the other head is better."""
    hits = int((embedded.subject.scores(moments.vectors).argmax(axis=1) == moments.labels).sum())
    features = _features(embedded, moments)
    subset_head_hits = int(((features @ weights.T + bias).argmax(axis=1) == moments.labels).sum())
    name, count = f"{' + '.join(moments.vectors)}, {condition}", len(moments.labels)
    lost = 100 * (subset_head_hits - hits) / count
    return [
        share("missing modality", f"{name}: the fused head", hits, count),
        plain("missing modality", f"{name}: behind a head of its own", lost, "points", at_most(0.5), count),
    ]


def _features(embedded: Embedded, moments: Moments) -> Array:
    """F (n, D + M) as the head takes it."""
    count = len(moments.labels)
    parts = [
        moments.vectors.get(name, np.zeros((count, embedded.items[name].clean.shape[1]), np.float32))
        for name in MODALITIES
    ]
    present = np.tile([float(name in moments.vectors) for name in MODALITIES], (count, 1))
    return np.hstack((*parts, present)).astype(np.float32)


def _error_row(condition: str, tops: list[Array], rights: list[Array]) -> Row:
    top, right = np.concatenate(tops), np.concatenate(rights)
    return plain("calibration", f"{condition}: error of the top score", ece(top, right), "", at_most(0.03), len(top))


def ece(top: Array, right: Array) -> float:
    """Expected calibration error over BINS equal parts of 0 to 1: scores (n,) and whether each was right (n,)."""
    part = np.minimum((top * BINS).astype(int), BINS - 1)
    gaps = [abs(float((top[part == n] - right[part == n]).sum())) for n in range(BINS)]
    return sum(gaps) / len(top)
