"""Quantization is exact to half a step, and transforms follow the bundle format."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import OutputSpec
from daemon.core.records import CPU, Tensor
from daemon.encoders.model_io import Embedder, OutputReader, quantize


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20), st.floats(0.02, 0.05), st.integers(-20, 20))
def test_dequantization_reverts_quantization(values: list[float], scale: float, zero_point: int) -> None:
    spec = OutputSpec(shape=[1, len(values)], dtype="int8", scale=scale, zero_point=zero_point)
    numbers = np.array([values], np.float32)
    limits = (np.array([-128, 127]) - zero_point) * scale
    back = OutputReader(spec)(quantize(numbers, spec))
    assert back.shape == (len(values),)
    np.testing.assert_allclose(back, np.clip(numbers[0], *limits), atol=scale * 0.51)


@pytest.mark.parametrize(
    ("how", "output", "expected"),
    [
        ({"transform": "l2"}, [3, 4], [0.6, 0.8]),
        ({"transform": "l2"}, [0, 0], [0, 0]),
        ({"transform": "log"}, [1, 0], [0, np.log(1e-6)]),
        ({"transform": "log", "floor": 0.5}, [2, 0], [np.log(2), np.log(0.5)]),
        ({"factor": 0.1}, [1, 20], [0.1, 2]),
        ({"transform": "log", "factor": 2}, [7, 1], [2 * np.log(7), 0]),
        ({"transform": "l2", "factor": 10}, [3, 4], [6, 8]),
    ],
)
@pytest.mark.parametrize("tensor", [{"dtype": "float32"}, {"dtype": "uint8", "scale": 1.0, "zero_point": 0}])
def test_transforms(how: dict[str, object], output: list[float], expected: list[float], tensor: dict) -> None:
    read = OutputReader(OutputSpec(shape=[1, 2], **tensor, **how))
    np.testing.assert_allclose(read(np.array([output], tensor["dtype"])), expected, rtol=1e-6)


class Giving:
    """Implements `Model`: gives the same outputs for every input."""

    device = CPU

    def __init__(self, *outputs: Tensor) -> None:
        self.input: Tensor = np.zeros((1, 1), np.float32)
        self._outputs = list(outputs)

    def invoke(self) -> list[Tensor]:
        return self._outputs


GROUPS = OutputSpec(shape=[1, 2], dtype="uint8", scale=0.5, zero_point=0, transform="log", floor=0.25, factor=2)
VECTOR = OutputSpec(shape=[1, 1, 3], dtype="float32", factor=0.1)


@pytest.mark.parametrize(
    ("groups", "vector", "expected"),
    [
        ([[2, 0]], [[[1, 2, 3]]], [0, 2 * np.log(0.25), 0.1, 0.2, 0.3]),
        ([[2, 0]], [], [0, 2 * np.log(0.25), 0, 0, 0]),
        ([], [[[1, 2, 3]]], [0, 0, 0.1, 0.2, 0.3]),
    ],
)
def test_an_embedding_is_all_outputs_one_after_another_and_zeros_for_those_that_the_device_lacks(
    groups: list, vector: list, expected: list[float]
) -> None:
    model = Giving(np.array(groups, np.uint8), np.array(vector, np.float32))
    embedding = Embedder("scene", model, {"groups": GROUPS, "embedding": VECTOR}).embed(False, list, 3, 5)
    assert (embedding.encoder, embedding.start_ns, embedding.end_ns) == ("scene", 3, 5)
    assert embedding.vector.dtype == np.float32
    np.testing.assert_allclose(embedding.vector, expected, rtol=1e-6)
