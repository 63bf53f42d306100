"""The archive beside the head of taught labels: its bias, and stored features with the scores that they must give."""

from dataclasses import dataclass

import numpy as np

from daemon.bundle.bundle import Bundle
from daemon.bundle.taught import Taught
from daemon.core.arrays import read_arrays
from daemon.core.records import Array, Array64, Tensor
from daemon.fusion.taught import TaughtHead

# of the archive, unpacked: a hundred cases of the longest F
MAX_CASES_BYTES = 32 * 1024 * 1024

# Scores are computed from the same numbers as where they were fitted. Processors differ in how they round sums.
TOLERANCE = 0.01

BIAS, FEATURES, SCORES = "bias", "features", "scores"


@dataclass(frozen=True, slots=True)
class TaughtCases:
    """The bias (T,) of the head, and features (n, D + M) with their scores (n, T)."""

    bias: Array
    features: Array
    scores: Array


def load_taught_cases(bundle: Bundle, taught: Taught) -> TaughtCases:
    """Return the content of the archive. Raises Refused when it cannot be used."""
    stored = read_arrays(bundle.model(taught.cases), MAX_CASES_BYTES)
    labels = len(taught.labels)
    bias = _array(bundle, taught, stored, BIAS, labels)
    features = _array(bundle, taught, stored, FEATURES, None, bundle.manifest.head_input_size)
    scores = _array(bundle, taught, stored, SCORES, None, labels)
    if len(features) != len(scores) or not len(scores):
        found = f"{len(features)} rows of {FEATURES} and {len(scores)} of {SCORES}"
        message = f"{bundle.file(taught.cases)}: has {found}, expected as many of each"
        raise bundle.problem(message, "taught", "cases")
    return TaughtCases(bias, features, scores)


def taught_failures(cases: TaughtCases, head: TaughtHead, labels: list[str], file: str) -> list[str]:
    """Return a message for each stored case that fails. `file` is the name of the archive. Raises ModelError."""
    failures = []
    for number, (features, expected) in enumerate(zip(cases.features, cases.scores, strict=True)):
        found = head.recognise(features, head.everywhere)
        for index in np.flatnonzero(~(np.abs(found.scores - expected) <= TOLERANCE)):  # also true for NaN
            what = f"{labels[index]} scored {found.scores[index]:.3f}, expected {expected[index]:.3f}"
            failures.append(f"{file}: case {number}: {what} within {TOLERANCE}")
        logits = found.bias + np.add.reduce(found.shares, axis=0)
        for index in np.flatnonzero(~(np.abs(logistic(logits) - expected) <= TOLERANCE)):
            failures.append(f"{file}: case {number}: bias and shares of {labels[index]} do not give its score")
    return failures


def logistic(logits: Array | Array64) -> Array:
    """Return 1 / (1 + exp(-logit)) of each logit, without overflow."""
    scores: Array = np.exp(-np.logaddexp(0, -logits.astype(np.float64))).astype(np.float32)
    return scores


def scores_of(weights: Array, bias: Array, features: Array) -> Array:
    """Return the scores (n, T) of features (n, D + M) by the rows of a head (T, D + M) and their bias (T,)."""
    return logistic(features.astype(np.float64) @ weights.astype(np.float64).T + bias)


def _array(bundle: Bundle, taught: Taught, stored: dict[str, Tensor], name: str, *shape: int | None) -> Array:
    """Return an array with finite numbers of this shape; None stands for any number. Raises BundleError."""
    found = stored.get(name)
    if (
        found is None
        or found.dtype != np.float32
        or found.ndim != len(shape)
        or any(wanted not in (None, size) for wanted, size in zip(shape, found.shape, strict=True))
        or not np.isfinite(found).all()
    ):
        wanted = ", ".join("n" if size is None else str(size) for size in shape)
        message = (
            f"{bundle.file(taught.cases)}: expected an array {name} of finite float32 numbers, of shape [{wanted}]"
        )
        raise bundle.problem(message, "taught", "cases")
    array: Array = found
    return array
