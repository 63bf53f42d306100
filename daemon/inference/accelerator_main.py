"""The process of an accelerator: loads its models and invokes them on request until it is killed.

Light: beside the standard library it imports numpy and the TFLite runtime.
"""

import json
import mmap
import os
import select
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import numpy as np

from daemon.inference.litert import Interpreter, load_delegate
from daemon.runtime.child_main import Failed

# Relative. The request holds scales as decimal text, the model holds them as float32.
SCALE_TOLERANCE = 1e-5


class Network(Protocol):
    """A loaded model."""

    def run(self, source: Any, target: Any) -> None:
        """Compute the output tensor `target` from the input tensor `source`. Raises RuntimeError or ValueError."""


def serve(request: str) -> NoReturn:
    """Load the models, report that, and invoke them. Raises Failed when the device refuses or an invoke fails.

    `request` is a JSON object:

    - `device` and `models`: what to load.
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
    networks = [_load(parts["device"], model) for model in models]
    outputs = [_tensor(output_memory, model["output"], model["output_offset"]) for model in models]
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
            signature = next(iter(network.get_signature_list()))
            _check_tensor(model, "input", list(network.get_input_tensor_details(signature).values()))
            _check_tensor(model, "output", list(network.get_output_tensor_details(signature).values()))
            self._inputs, self._outputs = network.create_input_buffers(0), network.create_output_buffers(0)
        except (ImportError, RuntimeError, ValueError) as error:
            raise Failed(f"the runtime's own {hardware} accelerator does not work here: {error}") from error
        self._network = network

    def run(self, source: Any, target: Any) -> None:
        """Compute `target` from `source`."""
        self._inputs[0].write(source)
        self._network.run_by_index(0, self._inputs, self._outputs)
        target[...] = self._outputs[0].read(target.size, target.dtype.type).reshape(target.shape)


class InterpretedNetwork:
    """Implements `Network` with the interpreter, and with a delegate where there is one."""

    def __init__(self, model: Mapping[str, Any], delegates: list[Any]) -> None:
        """Raises Failed when the model cannot be loaded."""
        try:
            interpreter = Interpreter(model_path=model["path"], experimental_delegates=delegates, num_threads=1)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Failed(f"{model['name']} cannot be loaded: {error}") from error
        self._source = _check_tensor(model, "input", interpreter.get_input_details())
        self._target = _check_tensor(model, "output", interpreter.get_output_details())
        self._interpreter = interpreter

    def run(self, source: Any, target: Any) -> None:
        """Compute `target` from `source`."""
        self._interpreter.set_tensor(self._source, source)
        self._interpreter.invoke()
        target[...] = self._interpreter.get_tensor(self._target)


def _load(device: Mapping[str, Any], model: Mapping[str, Any]) -> Network:
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


def _check_tensor(model: Mapping[str, Any], role: str, details: list[Mapping[str, Any]]) -> int:
    """Return the index of the only input or output. Raises Failed when it differs from that of the CPU model."""
    if len(details) == 1 and _matches(model[role], details[0]):
        return int(details[0]["index"])
    found = " and ".join(f"{np.dtype(detail['dtype']).name} {[int(n) for n in detail['shape']]}" for detail in details)
    expected = f"{model[role]['dtype']} {model[role]['shape']}"
    raise Failed(f"{model['name']}: its {role} is {found}, expected {expected} and the CPU model's quantization")


def _matches(spec: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    if list(detail["shape"]) != spec["shape"] or np.dtype(detail["dtype"]) != spec["dtype"]:
        return False
    if spec["scale"] is None or "quantization" not in detail:
        return True
    scale, zero_point = detail["quantization"]
    return bool(abs(scale - spec["scale"]) <= SCALE_TOLERANCE * spec["scale"] and zero_point == spec["zero_point"])
