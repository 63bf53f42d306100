"""The self-test of taught labels: stored features, and the scores that the head must give for them."""

import numpy as np

from daemon.bundle.bundle import Bundle
from daemon.bundle.taught import Taught
from daemon.core.arrays import read_arrays
from daemon.core.records import Array, Tensor
from daemon.pipeline.heads import load_taught_head

# of the archive, unpacked: a hundred cases of the longest F
MAX_CASES_BYTES = 32 * 1024 * 1024

# Scores are computed from the same numbers as where they were fitted. Processors differ in how they round sums.
TOLERANCE = 0.01

FEATURES, SCORES = "features", "scores"


def taught_failures(bundle: Bundle) -> list[str]:
    """Return a message for each stored case of the taught labels that fails; none where nothing was taught.

    Raises Refused when the cases or the head cannot be used.
    """
    taught, head = bundle.manifest.taught, load_taught_head(bundle)
    if taught is None or head is None:
        return []
    features, expected = _load(bundle, taught)
    labels, failures = list(taught.labels), []
    for number, (row, wanted) in enumerate(zip(features, expected, strict=True)):
        found = head.recognise(row, head.everywhere).scores
        for index in np.flatnonzero(~(np.abs(found - wanted) <= TOLERANCE)):  # also true for NaN
            what = f"{labels[index]} scored {found[index]:.3f}, expected {wanted[index]:.3f} within {TOLERANCE}"
            failures.append(f"{taught.cases}: case {number}: {what}")
    return failures


def _load(bundle: Bundle, taught: Taught) -> tuple[Array, Array]:
    """Return the features (n, D + M) and the scores (n, T) of the stored cases. Raises Refused."""
    stored = read_arrays(bundle.model(taught.cases), MAX_CASES_BYTES)
    shapes = {FEATURES: bundle.manifest.head_input_size, SCORES: len(taught.labels)}
    for name, columns in shapes.items():
        if name not in stored or not _fits(stored[name], columns):
            expected = f"expected an array {name} of float32 numbers, of shape [n, {columns}]"
            raise bundle.problem(f"{bundle.file(taught.cases)}: {expected}", "taught", "cases")
    features, scores = stored[FEATURES], stored[SCORES]
    if len(features) != len(scores):
        found = f"{len(features)} rows of {FEATURES} and {len(scores)} of {SCORES}"
        raise bundle.problem(f"{bundle.file(taught.cases)}: has {found}, expected as many", "taught", "cases")
    return features, scores


def _fits(found: Tensor, columns: int) -> bool:
    return found.dtype == np.float32 and found.ndim == 2 and len(found) > 0 and found.shape[1] == columns
