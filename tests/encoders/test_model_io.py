"""Quantization is exact to half a step, and transforms follow the bundle format."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import TensorSpec
from daemon.encoders.model_io import OutputReader, quantize


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20), st.floats(0.02, 0.05), st.integers(-20, 20))
def test_dequantization_reverts_quantization(values: list[float], scale: float, zero_point: int) -> None:
    spec = TensorSpec(shape=[1, len(values)], dtype="int8", scale=scale, zero_point=zero_point)
    numbers = np.array([values], np.float32)
    limits = (np.array([-128, 127]) - zero_point) * scale
    back = OutputReader(spec, "none")(quantize(numbers, spec))
    assert back.shape == (len(values),)
    np.testing.assert_allclose(back, np.clip(numbers[0], *limits), atol=scale * 0.51)


def test_transforms() -> None:
    spec = TensorSpec(shape=[1, 2], dtype="float32")
    np.testing.assert_allclose(OutputReader(spec, "l2")(np.array([[3, 4]], np.float32)), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(OutputReader(spec, "l2")(np.zeros((1, 2), np.float32)), [0, 0])
    logs = OutputReader(spec, "log")(np.array([[1, 0]], np.float32))
    np.testing.assert_allclose(logs, [0, np.log(1e-6)], rtol=1e-6)
