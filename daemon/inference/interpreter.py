"""A `.tflite` model on the CPU: loaded, checked against the manifest, and invoked."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import MismatchError, ModelError
from daemon.core.files import open_regular
from daemon.core.records import CPU, Tensor
from daemon.core.sealed import SealedFile
from daemon.inference.litert import Interpreter

# The Edge TPU compiler replaces the operators that the chip runs by this one.
EDGETPU_OPERATOR = "edgetpu-custom-op"

# Relative. A manifest holds scales as decimal text, the model holds them as float32.
SCALE_TOLERANCE = 1e-5


class TfliteModel:
    """Implements `Model` with an interpreter of one thread. Used by one thread at a time.

    `input` may be replaced by another array of the same shape and dtype.
    """

    device = CPU

    def __init__(
        self, file: SealedFile, inputs: TensorSpec, outputs: Sequence[TensorSpec], *, by_shape: bool = False
    ) -> None:
        """Load the copy of a file. The interpreter maps it, and keeps it as long as it needs it.

        `outputs` are in the order of the model's. With `by_shape` their order does not matter, and shapes differ.
        Raises ModelError when the file is not a model, or needs an operator that the runtime lacks.
        Raises MismatchError when its tensors are not those of `inputs` and `outputs`. Its key for an output begins
        with `outputs` and the number of the spec.
        """
        self._interpreter, name = open_interpreter(file), file.source.name
        details = self._interpreter.get_input_details()
        if len(details) != 1:
            raise MismatchError(f"{name} has {len(details)} inputs, expected one", "input")
        _check(name, "an input", details[0], inputs, "input")
        self._index = details[0]["index"]
        self.input: Tensor = np.zeros(inputs.shape, inputs.dtype)
        found = self._interpreter.get_output_details()
        if len(found) != len(outputs):
            raise MismatchError(f"{name} has {len(found)} outputs, expected {len(outputs)}", "outputs")
        match = _match_by_shape if by_shape else _match_in_order
        self._outputs = match(name, found, outputs)
        self._shapes = [tuple(spec.shape) for spec in outputs]

    def invoke(self) -> list[Tensor]:
        """Run the model on `input`, and return copies of the outputs in the order of the constructor's specs.

        Raises ModelError when the runtime fails, and when an output has another shape than at the time of loading.
        """
        try:
            self._interpreter.set_tensor(self._index, self.input)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"invoke failed: {_reason(error)}") from error
        outputs = [self._interpreter.get_tensor(index) for index in self._outputs]
        for output, shape in zip(outputs, self._shapes, strict=True):
            if output.shape != shape:  # a graph may compute the shape from the input
                raise ModelError(
                    f"gave an output of shape {list(output.shape)}, expected {list(shape)} for every input"
                )
        return outputs


def open_interpreter(file: SealedFile) -> Any:
    """Return the runtime's interpreter of a copied file, ready to run. Raises ModelError, naming the file."""
    try:
        open_regular(file.path).close()  # the runtime does not say why it cannot open a file
        interpreter = Interpreter(model_path=str(file.path), num_threads=1)
        interpreter.allocate_tensors()
    except OSError as error:
        raise ModelError(f"{file.source}: cannot be read: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        reason = _reason(error).replace(str(file.path), str(file.source))
        raise ModelError(_why_not_loaded(file.source, reason)) from error
    return interpreter


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or "the runtime gives no reason; it may lack memory"


def _why_not_loaded(path: Path, reason: str) -> str:
    custom = re.search(r"unresolved custom op: (\S+?)\.? ", reason)
    if custom is None:
        return f"{path}: cannot be loaded: {reason}"
    if custom[1] == EDGETPU_OPERATOR:
        return (
            f"{path}: is compiled for an Edge TPU (operator {EDGETPU_OPERATOR}), so the CPU cannot run it; "
            "the model that it was compiled from is missing: name that model here, and this file under edgetpu"
        )
    return f"{path}: needs the operator {custom[1]}, which is none of TFLite's own, so the CPU cannot run it"


def _match_in_order(name: str, details: list[dict[str, Any]], specs: Sequence[TensorSpec]) -> list[int]:
    """Return the index of each output."""
    for number, (detail, spec) in enumerate(zip(details, specs, strict=True)):
        if len(specs) == 1:
            _check(name, "an output", detail, spec, "outputs", number)
            break
        try:
            _check(name, f"as output {number + 1} one", detail, spec, "outputs", number)
        except MismatchError as error:
            order = ", ".join(_described(each) for each in details)
            raise MismatchError(f"{error}; its outputs are, in this order: {order}", *error.key) from error
    return [detail["index"] for detail in details]


def _match_by_shape(name: str, details: list[dict[str, Any]], specs: Sequence[TensorSpec]) -> list[int]:
    """Return the index of the output with each spec's shape. Converters do not keep the order of outputs."""
    by_shape = {tuple(_shape(detail)): detail for detail in details}
    indices = []
    for number, spec in enumerate(specs):
        detail = by_shape.get(tuple(spec.shape))
        if detail is None:
            found = " and ".join(str(list(shape)) for shape in by_shape)
            raise MismatchError(f"{name} has outputs of shape {found}, expected one of {spec.shape}", "outputs", number)
        _check(name, "an output", detail, spec, "outputs", number)
        indices.append(detail["index"])
    return indices


def _check(name: str, role: str, detail: dict[str, Any], spec: TensorSpec, *key: str | int) -> None:
    """Raise MismatchError when a tensor is not that of the spec."""
    if _shape(detail) != spec.shape:
        raise MismatchError(f"{name} has {role} of shape {_shape(detail)}, expected {spec.shape}", *key, "shape")
    if _dtype(detail) != spec.dtype:
        raise MismatchError(f"{name} has {role} of {_dtype(detail)}, expected {spec.dtype}", *key, "dtype")
    if len(detail["quantization_parameters"]["scales"]) > 1:
        raise MismatchError(f"{name} has {role} quantized per channel, expected one scale", *key)
    scale, zero_point = detail["quantization"]
    if spec.scale is None:
        return
    if abs(scale - spec.scale) > SCALE_TOLERANCE * spec.scale:
        raise MismatchError(f"{name} has scale {scale:.9g}, expected {spec.scale:.9g}", *key, "scale")
    if zero_point != spec.zero_point:
        raise MismatchError(f"{name} has zero point {zero_point}, expected {spec.zero_point}", *key, "zero_point")


def _described(detail: dict[str, Any]) -> str:
    return f"{_dtype(detail)} {_shape(detail)}"


def _shape(detail: dict[str, Any]) -> list[int]:
    return [int(n) for n in detail["shape"]]


def _dtype(detail: dict[str, Any]) -> str:
    return str(np.dtype(detail["dtype"]))
