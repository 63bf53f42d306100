"""The process of an accelerator: loads its models and invokes them on request until it is killed.

Light: beside the standard library it imports numpy and the TFLite runtime.
"""

import json
import mmap
import os
import select
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from daemon.inference.litert import Interpreter, load_delegate
from daemon.runtime.child_main import Failed

# Relative. The request holds scales as decimal text, the model holds them as float32.
SCALE_TOLERANCE = 1e-5


class Network(Protocol):
    """A loaded model."""

    def run(self, source: Any, targets: Sequence[Any]) -> None:
        """Compute the output tensors `targets` from the input tensor `source`. Raises RuntimeError or ValueError."""


def serve(request: str) -> NoReturn:
    """Load the models, report that, and invoke them. Raises Failed when the device refuses or an invoke fails.

    `request` is a JSON object:

    - `device` and `models`: what to load. A model's `outputs` are in the model's order, each with its `offset`.
    - `regions`: where each input lies, and for which model it is.
    - `inputs`, `outputs`: descriptors of shared memory.
    - `requested`: an eventfd. The parent writes the number of a region, plus 1, to request an invoke.
    - `completed`: an eventfd. This process writes 1 when all models are loaded, and after every invoke.
    """
    parts = json.loads(request)
    models = parts["models"]
    # Read-only: a library with a memory fault cannot overwrite the inputs.
    input_memory = memoryview(mmap.mmap(parts["inputs"], 0, access=mmap.ACCESS_READ))
    output_memory = memoryview(mmap.mmap(parts["outputs"], 0))
    networks = [load_network(parts["device"], model) for model in models]
    outputs = [[_tensor(output_memory, spec, spec["offset"]) for spec in model["outputs"]] for model in models]
    inputs = [
        (region["model"], _tensor(input_memory, models[region["model"]]["input"], region["offset"]))
        for region in parts["regions"]
    ]
    requested, completed = parts["requested"], parts["completed"]
    poll = select.poll()
    poll.register(requested, select.POLLIN)
    os.eventfd_write(completed, 1)
    while True:
        poll.poll()
        model, source = inputs[os.eventfd_read(requested) - 1]
        try:
            networks[model].run(source, outputs[model])
        except (RuntimeError, ValueError) as error:
            raise Failed(f"its invoke failed: {error}") from error
        os.eventfd_write(completed, 1)


class CompiledNetwork:
    """Implements `Network` with the runtime's own accelerator."""

    def __init__(self, model: Mapping[str, Any], hardware: str) -> None:
        """`hardware` is CPU or GPU. Raises Failed when the accelerator does not work on this machine."""
        try:
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator

            network = CompiledModel.from_file(model["path"], hardware_accel=HardwareAccelerator[hardware])
            signature, names = next(iter(network.get_signature_list().items()))
            _check_input(model, list(network.get_input_tensor_details(signature).values()))
            # in the order of the buffers, which is that of the model's outputs
            outputs = network.get_output_tensor_details(signature)
            _check_outputs(model, [outputs[name] for name in names["outputs"]])
            self._inputs, self._outputs = network.create_input_buffers(0), network.create_output_buffers(0)
        except (ImportError, RuntimeError, ValueError) as error:
            raise Failed(f"the runtime's own {hardware} accelerator does not work here: {error}") from error
        self._network = network

    def run(self, source: Any, targets: Sequence[Any]) -> None:
        """Compute `targets` from `source`."""
        self._inputs[0].write(source)
        self._network.run_by_index(0, self._inputs, self._outputs)
        for target, output in zip(targets, self._outputs, strict=True):
            target[...] = output.read(target.size, target.dtype.type).reshape(target.shape)


class InterpretedNetwork:
    """Implements `Network` with the interpreter, and with a delegate where there is one."""

    def __init__(self, model: Mapping[str, Any], delegates: list[Any]) -> None:
        """Raises Failed when the model cannot be loaded."""
        try:
            interpreter = Interpreter(model_path=model["path"], experimental_delegates=delegates, num_threads=1)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Failed(f"{model['name']} cannot be loaded: {error}") from error
        self._source = _check_input(model, interpreter.get_input_details())
        self._targets = _check_outputs(model, interpreter.get_output_details())
        self._interpreter = interpreter

    def run(self, source: Any, targets: Sequence[Any]) -> None:
        """Compute `targets` from `source`."""
        self._interpreter.set_tensor(self._source, source)
        self._interpreter.invoke()
        for target, index in zip(targets, self._targets, strict=True):
            target[...] = self._interpreter.get_tensor(index)


def load_network(device: Mapping[str, Any], model: Mapping[str, Any]) -> Network:
    """Return a model on a device. Raises Failed when the device or the model cannot be loaded."""
    if device["kind"] == "gpu":
        return CompiledNetwork(model, "GPU")
    return InterpretedNetwork(model, [_delegate(device)] if device["kind"] == "delegate" else [])


def _delegate(device: Mapping[str, Any]) -> Any:
    library = device["library"]
    try:
        return load_delegate(library, dict(device["options"]))
    except OSError as error:
        raise Failed(f"{library} cannot be loaded: {error}") from error
    except ValueError as error:
        reason = str(error).removeprefix(f"Failed to load delegate from {library}").strip()
        raise Failed(f"{library} refuses: {reason or 'it gives no reason'}") from error


def _tensor(memory: memoryview, spec: Mapping[str, Any], offset: int) -> Any:
    size = int(np.prod(spec["shape"]))
    return np.frombuffer(memory, spec["dtype"], size, offset).reshape(spec["shape"])


def _check_input(model: Mapping[str, Any], details: list[Mapping[str, Any]]) -> int:
    """Return the index of the only input. Raises Failed when it differs from that of the CPU model."""
    return _check_tensors(model, "input", [model["input"]], details)[0]


def _check_outputs(model: Mapping[str, Any], details: list[Mapping[str, Any]]) -> list[int]:
    """Return the index of each output. Raises Failed when they differ from those of the CPU model."""
    role = "output" if len(model["outputs"]) == 1 else "outputs"
    return _check_tensors(model, role, model["outputs"], details)


def _check_tensors(
    model: Mapping[str, Any], role: str, specs: list[Mapping[str, Any]], details: list[Mapping[str, Any]]
) -> list[int]:
    if len(details) == len(specs) and all(map(_matches, specs, details)):
        return [int(detail["index"]) for detail in details]
    found = " and ".join(f"{np.dtype(detail['dtype']).name} {[int(n) for n in detail['shape']]}" for detail in details)
    expected = " and ".join(f"{spec['dtype']} {spec['shape']}" for spec in specs)
    verb = "is" if len(specs) == 1 else "are"
    raise Failed(f"{model['name']}: its {role} {verb} {found}, expected {expected} and the CPU model's quantization")


def _matches(spec: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    if list(detail["shape"]) != spec["shape"] or np.dtype(detail["dtype"]) != spec["dtype"]:
        return False
    if spec["scale"] is None or "quantization" not in detail:
        return True
    scale, zero_point = detail["quantization"]
    return bool(abs(scale - spec["scale"]) <= SCALE_TOLERANCE * spec["scale"] and zero_point == spec["zero_point"])
