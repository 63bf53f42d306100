"""How much evidence for a label a clip holds, in the units of the label's bias. Pure functions.

The smoothed score follows the score p of the latest patch as daemon.fusion.events has it: ds/dt = (p - s) / tau. An
event starts once s has held the threshold for the minimum duration. Here s is computed every STEP_S.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from daemon.core.records import Array64
from daemon.core.timing import NS_PER_S

# The defaults of config.yaml, and the maximum age of an embedding in the recipe.
SMOOTHING_S, MIN_DURATION_S, MAX_AGE_S = 0.3, 0.2, 1.5
STEP_S = 0.01
# No evidence lies beyond these.
LOWEST, HIGHEST = -6.0, 14.0
HALVINGS = 12


def levels(end_ns: NDArray[np.int64], evidence: Array64, threshold: float, temperature: float) -> Array64:
    """Return the level (L,) of each label: an event of the label starts if its bias is at least minus the level.

    `evidence` (n, L) is the sum of weighted evidence for each patch, which ends at `end_ns`.
    """
    steps = np.rint(np.diff(np.append(end_ns, end_ns[-1] + int(MAX_AGE_S * NS_PER_S))) / NS_PER_S / STEP_S).astype(int)
    low, high = np.full(evidence.shape[1], LOWEST), np.full(evidence.shape[1], HIGHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        scores = 1 / (1 + np.exp((middle - evidence) / temperature))
        starts = _longest_hold(scores, steps) >= threshold
        low, high = np.where(starts, middle, low), np.where(starts, high, middle)
    return low


def _longest_hold(scores: Array64, steps: NDArray[np.int64]) -> Array64:
    """Return the highest value (L,) that the smoothed scores hold for the minimum duration."""
    fading = np.exp(-STEP_S / SMOOTHING_S * np.arange(1, steps.max() + 1))[:, np.newaxis]
    smoothed, parts = np.zeros(scores.shape[1]), []
    for score, count in zip(scores, steps, strict=True):
        part = score + (smoothed - score) * fading[:count]
        parts.append(part)
        smoothed = part[-1]
    windows = sliding_window_view(np.concatenate(parts), round(MIN_DURATION_S / STEP_S) + 1, axis=0)
    held: Array64 = windows.min(axis=-1).max(axis=0)
    return held
