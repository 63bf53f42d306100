"""Known answers: by these an accelerator shows that it computes, and not only answers."""

from dataclasses import dataclass

import numpy as np

from daemon.manifest import TensorSpec
from daemon.records import Tensor

SPREAD_TOLERANCE = 0.1
STEPS_TOLERANCE = 2
LARGEST_TOLERANCE = 0.01
"""How far an output may be off: a tenth of how far the CPU's outputs lie apart, two steps of their quantization, and a
hundredth of the largest, for a GPU may compute in half precision. What computes wrongly is off by the spread itself."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An input, and what the CPU made of it."""

    question: Tensor
    answer: Tensor


def disagreement(answer: Tensor, given: Tensor, spec: TensorSpec) -> str | None:
    """How an accelerator's answer differs from the CPU's, in words; None when it is the same within tolerance.

    Both have the shape and dtype of `spec`, the model's output.
    """
    expected, found = answer.astype(np.float64), given.astype(np.float64)
    step = 0.0 if spec.scale is None else 1.0
    largest = 0.0 if spec.scale is not None else float(np.abs(expected).max())
    tolerance = SPREAD_TOLERANCE * float(np.ptp(expected)) + STEPS_TOLERANCE * step + LARGEST_TOLERANCE * largest
    off = float(np.abs(expected - found).max())
    if off <= tolerance:  # also false where it is no number
        return None
    return f"computes wrongly: an output of a known input is off by {off:.4g}, {tolerance:.4g} would be the most"
