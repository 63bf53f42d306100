"""The tests' own delegate runs the FULLY_CONNECTED nodes, and computes what the CPU computes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Array
from daemon.inference.graphs import Graph, write_head
from tests.helpers.bundle_builder import write_encoder
from tests.inference.delegated import Delegated
from tests.inference.layers import Scales, cut_layer, write_layer, write_product
from tests.shared import SHARED, needs_shared

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
ACTIVATIONS = ["NONE", "RELU", "RELU6"]


def encoder() -> bytes:
    return write_encoder(np.random.default_rng(1).normal(size=(5, 17)).astype(np.float32), [1, 4, 4, 1])


def head() -> bytes:
    rng = np.random.default_rng(2)
    return write_head(rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=4).astype(np.float32), [4, 3])


def neighbours() -> bytes:
    """Return two layers, one after the other."""
    rng = np.random.default_rng(8)
    graph = Graph()
    source, between, target = (graph.tensor(name, [2, size]) for name, size in (("a", 7), ("b", 5), ("c", 3)))
    for index, (start, end, shape) in enumerate([(source, between, (5, 7)), (between, target, (3, 5))]):
        weights = graph.constant(f"weights{index}", rng.normal(size=shape).astype(np.float32))
        graph.fully_connected([start, weights, -1], end)
    return graph.serialize(inputs=[source], outputs=[target])


def digits(modality: str) -> bytes:
    return (DIGITS / f"{modality}.tflite").read_bytes()


def shared(name: str) -> bytes:
    return (SHARED / "models" / f"{name}.tflite").read_bytes()


def assert_close(ours: list[Array], theirs: list[Array]) -> None:
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.dtype == yours.dtype
        if mine.dtype == np.float32:
            assert np.allclose(mine, yours, rtol=1e-5, atol=1e-5)
        else:
            assert np.abs(mine.astype(int) - yours.astype(int)).max() <= 1


def compare(model: bytes, delegate: Path, *, times: int) -> None:
    """Check that the delegate runs the layer, and that its outputs for random inputs are the CPU's."""
    rng = np.random.default_rng(3)
    cpu, delegated = Delegated(model), Delegated(model, delegate)
    for _ in range(times):
        inputs = cpu.random_inputs(rng)
        assert_close(delegated.invoke(inputs), cpu.invoke(inputs))
    with pytest.raises(RuntimeError, match="failed, as asked"):
        Delegated(model, delegate, fault="error").invoke(inputs)


@pytest.mark.parametrize("model", [encoder(), head(), neighbours()], ids=["encoder", "head", "neighbours"])
def test_a_float_model_gives_the_same_numbers(model: bytes, delegate: Path) -> None:
    compare(model, delegate, times=50)


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_a_shipped_int8_layer_gives_the_same_numbers_but_for_one_step(modality: str, delegate: Path) -> None:
    compare(cut_layer(digits(modality)), delegate, times=500)


@needs_shared
def test_a_large_int8_layer_gives_the_same_numbers_but_for_one_step(delegate: Path) -> None:
    compare(cut_layer(shared("yamnet_spectra_in")), delegate, times=50)


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(*(st.integers(1, largest) for largest in (3, 20, 70))),
    with_bias=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
)
def test_any_float_layer(
    delegate: Path, seed: int, shape: tuple[int, int, int], with_bias: bool, activation: str
) -> None:
    rng = np.random.default_rng(seed)
    rows, channels, depth = shape
    weights = rng.normal(size=(channels, depth)).astype(np.float32)
    bias = rng.normal(size=channels).astype(np.float32) if with_bias else None
    compare(write_layer(weights, bias, rows, activation), delegate, times=3)


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(*(st.integers(1, largest) for largest in (3, 20, 70))),
    per_channel=st.booleans(),
    with_bias=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
)
def test_any_int8_layer(
    delegate: Path, seed: int, shape: tuple[int, int, int], per_channel: bool, with_bias: bool, activation: str
) -> None:
    rng = np.random.default_rng(seed)
    rows, channels, depth = shape
    weights = rng.integers(-127, 127, (channels, depth), np.int8, endpoint=True)
    bias = rng.integers(-5000, 5000, channels, np.int32) if with_bias else None
    scales = int8_scales(rng, channels if per_channel else 1)
    compare(write_layer(weights, bias, rows, activation, scales), delegate, times=3)


def int8_scales(rng: np.random.Generator, channels: int) -> Scales:
    """Return scales with which the outputs lie all over the range, and beyond it."""
    source, factors = rng.uniform(0.01, 0.1, 1), rng.uniform(0.002, 0.01, channels)
    nowhere = np.zeros(channels)
    return {
        "input": (source, rng.integers(-128, 127, 1)),
        "weights": (factors, nowhere),
        "bias": (source * factors, nowhere),
        "output": (rng.uniform(0.02, 0.2, 1), rng.integers(-128, 127, 1)),
    }


@pytest.mark.parametrize(
    "model", [encoder(), head(), digits("audio"), digits("text")], ids=["encoder", "head", "audio", "text"]
)
def test_the_delegate_computes_the_nodes(model: bytes, delegate: Path) -> None:
    inputs = Delegated(model).random_inputs(np.random.default_rng(4))
    sound, wrong = (Delegated(model, delegate, fault=fault).invoke(inputs) for fault in ("none", "wrong"))
    for right, spoiled in zip(sound, wrong, strict=True):
        assert not np.allclose(right, spoiled)
    with pytest.raises(RuntimeError, match="failed, as asked"):
        Delegated(model, delegate, fault="error").invoke(inputs)


def test_a_wrong_output_is_wrong_in_every_value_and_the_other_way_round(delegate: Path) -> None:
    rng = np.random.default_rng(5)
    layer = write_layer(rng.normal(size=(9, 6)).astype(np.float32), None, rows=4)
    for model, least in ((layer, 1), (cut_layer(digits("audio")), 64)):
        sound, wrong = Delegated(model, delegate), Delegated(model, delegate, fault="wrong")
        for _ in range(100):
            inputs = sound.random_inputs(rng)
            right, spoiled = (one.invoke(inputs)[0].astype(float) for one in (sound, wrong))
            assert np.all(np.abs(right - spoiled) >= least)
            assert np.all(np.diff(np.take_along_axis(spoiled, right.argsort(axis=-1), axis=-1)) <= 0)


def models_for_the_cpu() -> dict[str, bytes]:
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(3, 8)).astype(np.float32)
    hybrid = {"weights": (np.full(1, 0.01), np.zeros(1))}
    return {
        "no layer": digits("image"),
        "another activation": write_layer(weights, None, 1, "RELU_N1_TO_1"),
        "float input and int8 weights": write_layer(rng.integers(-9, 9, (3, 8), np.int8), None, 1, scales=hybrid),
        "weights that are an input": write_product(2, 8, 3),
    }


def assert_untouched(model: bytes, delegate: Path) -> None:
    cpu, delegated = Delegated(model), Delegated(model, delegate, fault="error")
    inputs = cpu.random_inputs(np.random.default_rng(7))
    for ours, theirs in zip(delegated.invoke(inputs), cpu.invoke(inputs), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("what", models_for_the_cpu())
def test_other_nodes_stay_on_the_cpu(what: str, delegate: Path) -> None:
    assert_untouched(models_for_the_cpu()[what], delegate)


@needs_shared
def test_a_classifier_written_as_a_convolution_stays_on_the_cpu(delegate: Path) -> None:
    assert_untouched(shared("tf2_mobilenet_v2_1.0_224_ptq"), delegate)
