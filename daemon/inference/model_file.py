"""Reads and writes `.tflite` files in the object form of the runtime's flatbuffer schema. Pure: bytes in, bytes out."""

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from pydantic import ValidationError

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.document import expected_text
from daemon.core.errors import MismatchError, ModelError
from daemon.core.text import clean
from daemon.inference.graphs import FILE_IDENTIFIER
from daemon.inference.interpreter import EDGETPU_OPERATOR

# the schema wants constants aligned to this, and kernels may rely on it
ALIGNMENT = 16

OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
TYPE_NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that aligns every vector: the object form of the schema has lost the alignment of constants."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803  (overridden)
        offset: int = super().StartVector(elemSize, numElems, max(alignment, ALIGNMENT))
        return offset


def read_model(content: bytes) -> schema.ModelT:
    """Return the objects of a model. Raises ModelError when the content is not a whole TFLite model."""
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError("is not a TFLite model")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        is_whole = _is_whole(model)
    except Exception as error:  # the schema's reader checks nothing, and raises whatever damage leads to
        raise ModelError(f"is a damaged TFLite model: {type(error).__name__}") from error
    if not is_whole:
        raise ModelError("is a damaged TFLite model: it refers to parts that it does not have")
    if any(buffer.offset for buffer in model.buffers):
        raise ModelError("keeps its weights outside of its graph, which is not supported")
    return model


def write_model(model: schema.ModelT) -> bytes:
    """Return the model as the bytes of a `.tflite` file. Equal objects give equal bytes."""
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def operator_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Return the name of an operator: of TFLite's own as in the schema, of a custom one as in the model."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # older files have the latter only
    if number == schema.BuiltinOperator.CUSTOM:
        return clean((code.customCode or b"").decode("utf-8", "replace"))
    return OPERATOR_NAMES.get(number, f"number {number}")


def is_compiled_for_edgetpu(model: schema.ModelT) -> bool:
    """Return whether a part of the model runs on an Edge TPU only."""
    return any(operator_name(model, operator) == EDGETPU_OPERATOR for operator in model.subgraphs[0].operators)


def input_spec(model: schema.ModelT) -> TensorSpec:
    """Return the only input of a model, as a manifest has it. Raises MismatchError."""
    indices = model.subgraphs[0].inputs
    if len(indices) != 1:
        raise MismatchError(f"has {len(indices)} inputs, expected one")
    return _spec(model, indices[0], "input")


def output_spec(model: schema.ModelT, position: int, *key: str) -> TensorSpec:
    """Return one output of a model, as a manifest has it. Raises MismatchError with `key`."""
    return _spec(model, model.subgraphs[0].outputs[position], "output", *key)


def _spec(model: schema.ModelT, index: int, role: str, *key: str) -> TensorSpec:
    tensor = model.subgraphs[0].tensors[index]
    value: dict[str, Any] = {"shape": shape_of(tensor), "dtype": TYPE_NAMES.get(tensor.type, str(tensor.type))}
    scales = [] if tensor.quantization is None else _values(tensor.quantization.scale)
    if len(scales) > 1:
        raise MismatchError(f"has an {role} quantized per channel, expected one scale", *key)
    if len(scales) == 1:
        zero_points = _values(tensor.quantization.zeroPoint)
        value |= {"scale": float(scales[0]), "zero_point": int(zero_points[0]) if len(zero_points) else 0}
    try:
        return TensorSpec.model_validate(value)
    except ValidationError as error:
        found = f"{value['dtype']} of shape {value['shape']}"
        problem = expected_text(error.errors(include_url=False)[0])
        raise MismatchError(f"has an {role} that a bundle cannot have: {found}: {problem}", *key) from error


def shape_of(tensor: schema.TensorT) -> list[int]:
    """Return the shape of a tensor; a scalar has none."""
    return [int(length) for length in _values(tensor.shape)]


def _is_whole(model: schema.ModelT) -> bool:
    """Return whether all indices of the first subgraph are in range."""
    graph = model.subgraphs[0]
    tensors, operators = len(graph.tensors), graph.operators
    indices = [*graph.inputs, *graph.outputs, *(index for one in operators for index in one.outputs)]
    optional = [index for one in operators for index in _values(one.inputs)]  # -1 stands for none
    return (
        all(0 <= index < tensors for index in indices)
        and all(-1 <= index < tensors for index in optional)
        and all(0 <= one.opcodeIndex < len(model.operatorCodes) for one in operators)
        and all(0 <= tensor.buffer < max(1, len(model.buffers)) for tensor in graph.tensors)
    )


def _values(vector: Any) -> list[Any]:
    """Return a vector of numbers; in the schema's objects one is None where it is empty."""
    return [] if vector is None else list(vector)
