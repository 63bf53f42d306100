"""An output may differ from the expected one by rounding, and by no more."""

import numpy as np
import pytest

from daemon.bundle.encoder_specs import TensorSpec
from daemon.inference.verification import disagreement

INT8 = TensorSpec(shape=[1, 4], dtype="int8", scale=0.02, zero_point=-128)
FLOAT = TensorSpec(shape=[1, 4], dtype="float32")


@pytest.mark.parametrize(
    ("expected", "actual", "is_right"),
    [
        ([-128, 0, 100, 20], [-128, 0, 100, 20], True),
        ([-128, 0, 100, 20], [-127, 3, 98, 19], True),
        ([-128, 0, 100, 20], [20, 100, 0, -128], False),
        ([-128, 0, 100, 20], [-128, -128, -128, -128], False),
        ([5, 5, 5, 5], [6, 4, 7, 5], True),  # no spread: only the steps count
        ([5, 5, 5, 5], [9, 5, 5, 5], False),
    ],
)
def test_quantized(expected: list[int], actual: list[int], is_right: bool) -> None:
    trouble = disagreement(np.array([expected], np.int8), np.array([actual], np.int8), INT8)
    assert (trouble is None) == is_right
    assert trouble is None or "differs by" in trouble


@pytest.mark.parametrize(
    ("expected", "actual", "is_right"),
    [
        ([0.1, 0.9, -3.0, 2.0], [0.1, 0.9, -3.0, 2.0], True),
        ([0.1, 0.9, -3.0, 2.0], [0.11, 0.88, -2.99, 2.01], True),  # half precision
        ([0.1, 0.9, -3.0, 2.0], [2.0, -3.0, 0.9, 0.1], False),
        ([1e-6, 2e-6, 3e-6, 9e-6], [0.0, 0.0, 0.0, 0.0], False),
        ([0.1, 0.9, -3.0, 2.0], [0.1, float("nan"), -3.0, 2.0], False),
        ([0.1, 0.9, -3.0, 2.0], [0.1, float("inf"), -3.0, 2.0], False),
        ([1e30, -1e30, 0, 0], [1e30, 1e30, 0, 0], False),
    ],
)
def test_floats(expected: list[float], actual: list[float], is_right: bool) -> None:
    trouble = disagreement(np.array([expected], np.float32), np.array([actual], np.float32), FLOAT)
    assert (trouble is None) == is_right
