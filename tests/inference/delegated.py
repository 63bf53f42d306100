"""A model on the CPU or with the delegate; also what the tests run in child processes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

from daemon.core.records import Array
from daemon.runtime.child_main import Failed, RecordSender

CHARACTERS = 257
"""The shipped text model looks them up in a table of so many rows."""

SPREADS = [2, 10, 50, 250]
"""Of quantized values: an output is neither always at its limits, nor never."""


class Delegated:
    """An interpreter of a model, on the CPU where no delegate is given; `options` are the delegate's."""

    def __init__(self, model: bytes, delegate: Path | None = None, **options: object) -> None:
        delegates = [load_delegate(str(delegate), options)] if delegate else []
        self._interpreter = Interpreter(model_content=model, experimental_delegates=delegates, num_threads=1)
        self._interpreter.allocate_tensors()

    def random_inputs(self, rng: np.random.Generator) -> list[Array]:
        """Normal ones; of integers those around the zero point, near or far."""
        return [_random(detail, rng) for detail in self._interpreter.get_input_details()]

    def invoke(self, inputs: list[Array]) -> list[Array]:
        """The outputs."""
        for detail, values in zip(self._interpreter.get_input_details(), inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._interpreter.get_output_details()]


def _random(detail: dict[str, Any], rng: np.random.Generator) -> Array:
    shape, dtype = detail["shape"], detail["dtype"]
    if dtype == np.float32:
        return rng.normal(size=shape).astype(np.float32)
    if dtype == np.int32:
        return rng.integers(0, CHARACTERS, shape, np.int32)
    limits = np.iinfo(dtype)
    spread = rng.choice(SPREADS)
    return (detail["quantization"][1] + rng.normal(size=shape) * spread).clip(limits.min, limits.max).astype(dtype)


def invoke(address: str, model: str, delegate: str, options: str, inputs: str, times: str) -> None:
    """Send the first output of every invoke; in a child process, whose reason is the runtime's."""
    outlet = RecordSender(address)
    values = [np.array(json.loads(inputs), np.float32)]
    try:
        delegated = Delegated(Path(model).read_bytes(), Path(delegate), **json.loads(options))
        for _ in range(int(times)):
            outlet.send(delegated.invoke(values)[0].tobytes())
    except (RuntimeError, ValueError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
