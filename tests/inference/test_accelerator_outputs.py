"""A model of several outputs on an accelerator: each is verified, and one that its model lacks is empty."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import AcceleratorError
from daemon.core.sealed import SealedFile
from daemon.core.timing import NS_PER_S, Backoff
from daemon.inference.accelerator import Accelerator, FallbackModel
from daemon.inference.accelerator_process import AcceleratorModel, AcceleratorProcess, SharedInputs
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import CPU_DEVICE
from daemon.inference.verification import Workload
from daemon.runtime.child import Child
from tests.helpers.accelerators import delegate_device
from tests.helpers.format2_bundle import write_layers
from tests.helpers.mosquitto import wait_until
from tests.inference import compiled
from tests.inference.layers import edited

INPUT = TensorSpec(shape=[1, 6], dtype="float32")
RNG = np.random.default_rng(5)
# the sizes fill no cache line, and two outputs have one shape
WEIGHTS = {"groups": RNG.normal(size=(3, 6)), "frames": RNG.normal(size=(5, 6)), "embedding": RNG.normal(size=(5, 6))}
SPECS = {name: TensorSpec(shape=[1, len(matrix)], dtype="float32") for name, matrix in WEIGHTS.items()}
TEST_INPUTS = list(np.random.default_rng(6).normal(size=(2, 1, 6)).astype(np.float32))


def write_model(path: Path, weights: dict[str, np.ndarray]) -> SealedFile:
    path.write_bytes(write_layers(INPUT.shape, weights, {}))
    return SealedFile(path)


def workload(directory: Path, weights: dict[str, np.ndarray]) -> Workload:
    """Return the model with all outputs on the CPU, and one with these outputs for the accelerator."""
    cpu = TfliteModel(write_model(directory / "cpu.tflite", WEIGHTS), INPUT, list(SPECS.values()))
    file = write_model(directory / "twin.tflite", weights)
    model = AcceleratorModel(file, INPUT, {name: SPECS[name] for name in weights})
    return Workload("scene", model, cpu, TEST_INPUTS, list(SPECS))


@contextmanager
def running(work: Workload, library: Path) -> Iterator[Accelerator]:
    never = Backoff(60, 60)
    accelerator = Accelerator(delegate_device(library), [work], check_every_ns=3600 * NS_PER_S, backoff=never)
    accelerator.start()
    try:
        yield accelerator
    finally:
        assert accelerator.close(10)


@pytest.mark.parametrize("names", [["groups", "frames", "embedding"], ["groups"], ["groups", "embedding"], ["frames"]])
def test_outputs_come_in_the_order_of_the_cpu_model_and_those_that_are_lacking_are_empty(
    tmp_path: Path, delegate: Path, names: list[str]
) -> None:
    work = workload(tmp_path, {name: WEIGHTS[name] for name in names})
    with running(work, delegate) as accelerator:
        model = FallbackModel(accelerator, 0, work)
        wait_until(lambda: accelerator.status.state != "starting", "it is settled")
        assert accelerator.status.state == "in_use", accelerator.status
        numbers = RNG.normal(size=(1, 6)).astype(np.float32)
        model.input[...] = numbers
        outputs = model.invoke()
        assert model.device == "test"
        for (name, matrix), output in zip(WEIGHTS.items(), outputs, strict=True):
            if name in names:
                np.testing.assert_allclose(output, numbers @ matrix.T, rtol=1e-4, atol=1e-5)
            else:
                assert output.size == 0
    for output, matrix in zip(model.invoke(), WEIGHTS.values(), strict=True):
        np.testing.assert_allclose(output, numbers @ matrix.T, rtol=1e-4, atol=1e-5)
    assert model.device == "cpu", "which gives all outputs"


@pytest.mark.parametrize("wrong", list(WEIGHTS))
def test_every_output_is_compared_with_that_of_the_cpu(tmp_path: Path, delegate: Path, wrong: str) -> None:
    work = workload(tmp_path, WEIGHTS | {wrong: -WEIGHTS[wrong]})
    with running(work, delegate) as accelerator:
        wait_until(lambda: accelerator.status.state != "starting", "it is settled")
        status = accelerator.status
        assert (status.state, dict(status.failures)) == ("failed", {"wrong": 1})
        assert (status.reason or "").startswith(
            f"scene: computes wrongly: the output {wrong} of a test input differs by"
        )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["groups"], ["groups", "frames"]),
        (["frames", "groups"], ["groups", "frames"]),
        (["groups", "frames"], ["groups"]),
    ],
)
def test_a_model_with_other_outputs_is_refused(tmp_path: Path, found: list[str], expected: list[str]) -> None:
    file = write_model(tmp_path / "m.tflite", {name: WEIGHTS[name] for name in found})
    model = AcceleratorModel(file, INPUT, {name: SPECS[name] for name in expected})
    inputs = SharedInputs([np.zeros((1, 6), np.float32)], [[]])
    raises = pytest.raises(AcceleratorError)
    with AcceleratorProcess(CPU_DEVICE, [model], inputs) as process, raises as caught:
        process.wait_until_loaded(20, threading.Event())
    inputs.close()
    texts = [" and ".join(f"float32 {SPECS[name].shape}" for name in names) for names in (found, expected)]
    role = "output is" if len(expected) == 1 else "outputs are"
    assert f"m.tflite: its {role} {texts[0]}, expected {texts[1]} and the CPU model's quantization" in str(caught.value)


def test_the_runtimes_own_accelerator_gives_outputs_in_the_models_order_whatever_its_signature_says(
    tmp_path: Path,
) -> None:
    """The CPU stands in for a GPU."""

    def sign(model: schema.ModelT) -> None:
        (graph,) = model.subgraphs
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving", 0
        signature.inputs = [_named(b"x", graph.inputs[0])]
        backwards = list(enumerate(graph.outputs))[::-1]
        signature.outputs = [_named(f"output_{9 - number}".encode(), index) for number, index in backwards]
        model.signatureDefs = [signature]

    path = tmp_path / "signed.tflite"
    path.write_bytes(edited(write_layers(INPUT.shape, WEIGHTS, {}), sign))
    file = SealedFile(path)
    outputs = [{"name": name, **spec.model_dump()} for name, spec in SPECS.items()]
    request = {"path": str(file.path), "name": path.name, "input": INPUT.model_dump(), "outputs": outputs}
    numbers = RNG.normal(size=(1, 6)).astype(np.float32)
    arguments = json.dumps(request), json.dumps(numbers.tolist())
    with Child(compiled.compute, *arguments, inherits=[file.descriptor]) as child:
        computed = json.loads(child.result(60))
    for output, matrix in zip(computed, WEIGHTS.values(), strict=True):
        np.testing.assert_allclose(output, numbers @ matrix.T, rtol=1e-4, atol=1e-5)


def _named(name: bytes, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
