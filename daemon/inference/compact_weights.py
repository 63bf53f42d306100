"""Stores the large float weights of a model as int8, without TensorFlow. Pure: bytes in, bytes out.

The runtime keeps float weights twice: as the graph gives them, and packed for its products. It keeps int8 weights once
beside the file, and multiplies them faster. Inputs, outputs and all other tensors stay float32. Each output channel
has a scale of its own. So the error of a weight is at most 1/254 of the largest weight of its channel.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from daemon.core.errors import MismatchError, ModelError
from daemon.core.records import Array
from daemon.inference.model_file import operator_name, read_model, shape_of, write_model

# Smaller weights stay as they are: they take little memory, and the outputs follow them closely.
LEAST_NUMBERS = 16_384

# The versions in which the operator takes float32 and int8 with a scale for each channel. TensorFlow,
# tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc.
CONV_2D_VERSION = 5

FLOATS = {schema.TensorType.FLOAT32: "<f4", schema.TensorType.FLOAT16: "<f2"}

# how a graph unpacks constants
UNPACKING = ("DENSIFY", "DEQUANTIZE")

INDEX_TYPES = {
    schema.SparseIndexVector.Int32Vector: np.int32,
    schema.SparseIndexVector.Uint16Vector: np.uint16,
    schema.SparseIndexVector.Uint8Vector: np.uint8,
}


def compact_weights(content: bytes) -> bytes:
    """Return the model with the large float weights of its convolutions as int8.

    Raises ModelError when the content is not a model, MismatchError when it has no such weights.
    """
    model = read_model(content)
    graph = model.subgraphs[0]
    makers = {int(output): one for one in graph.operators for output in one.outputs}
    found = 0
    for operator in graph.operators:
        if operator_name(model, operator) != "CONV_2D" or not _is_plain(model, operator):
            continue
        source, *constants = map(int, operator.inputs)
        values = [_constant_floats(model, makers, index) for index in constants]
        if values[0] is None or values[0].size < LEAST_NUMBERS or any(value is None for value in values):
            continue
        # the runtime's kernel needs the bias as it is, not one that the graph unpacks
        biases = [_add_constant(model, value, schema.TensorType.FLOAT32) for value in values[1:] if value is not None]
        operator.inputs = [source, _add_int8(model, values[0]), *biases]
        operator.opcodeIndex = _add_code(model)
        found += 1
    if not found:
        raise MismatchError(f"has no convolution with {LEAST_NUMBERS:,} float weights or more; leave out weights: int8")
    _remove_unused(model)
    return write_model(model)


def _is_plain(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Return whether a convolution takes float32, and each output channel all input channels."""
    if len(operator.inputs) < 2 or min(operator.inputs) < 0:
        return False
    tensors = model.subgraphs[0].tensors
    source, filters = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
    return bool(source.type == schema.TensorType.FLOAT32 and shape_of(source)[-1:] == shape_of(filters)[-1:])


def _constant_floats(model: schema.ModelT, makers: dict[int, schema.OperatorT], index: int) -> Array | None:
    """Return the value of a constant float tensor, or of one that the graph unpacks from a constant; else None."""
    for _ in UNPACKING:  # at most one of each
        maker = makers.get(index)
        if maker is not None and operator_name(model, maker) in UNPACKING and len(maker.inputs):
            index = int(maker.inputs[0])
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if index < 0 or data is None or tensor.type not in FLOATS:
        return None
    values: Array = np.frombuffer(bytes(data), FLOATS[tensor.type]).astype(np.float32)
    if tensor.sparsity is not None:
        return _dense(tensor, values)
    shape = shape_of(tensor)
    if values.size != np.prod(shape):
        raise ModelError("is a damaged TFLite model: a constant has another size than its shape says")
    weights: Array = values.reshape(shape)
    return weights


def _dense(tensor: schema.TensorT, values: Array) -> Array | None:
    """Return a sparse constant as an array; None where it is not stored row by row.

    Each dimension is dense, or has the positions of its entries: SparsityParameters of TensorFlow Lite's schema.fbs.
    """
    shape, sparsity = shape_of(tensor), tensor.sparsity
    if list(sparsity.traversalOrder) != list(range(len(shape))) or sparsity.blockMap is not None:
        return None
    # the flat position of each entry of the dimensions so far
    positions = np.zeros(1, np.int64)
    try:
        for length, dimension in zip(shape, sparsity.dimMetadata, strict=True):
            if dimension.format == schema.DimensionType.DENSE:
                positions = (positions[:, np.newaxis] * length + np.arange(length)).reshape(-1)
                continue
            starts = _indices(dimension.arraySegments, dimension.arraySegmentsType)
            inner = _indices(dimension.arrayIndices, dimension.arrayIndicesType)
            if len(inner) and not 0 <= inner.min() <= inner.max() < length:
                raise IndexError
            positions = np.repeat(positions, np.diff(starts)) * length + inner
        dense = np.zeros(int(np.prod(shape)), np.float32)
        np.put(dense, positions, values, mode="raise")
        if len(positions) != len(values):
            raise IndexError
    except (IndexError, ValueError, KeyError, AttributeError) as error:
        raise ModelError("is a damaged TFLite model: a sparse constant does not fit its shape") from error
    return dense.reshape(shape)


def _indices(vector: Any, kind: int) -> Any:
    return np.asarray(vector.values, INDEX_TYPES[kind]).astype(np.int64)


def _add_int8(model: schema.ModelT, weights: Array) -> int:
    """Add the weights (channels, …) as an int8 constant; return the index of its tensor."""
    channels = weights.reshape(len(weights), -1)
    highest = np.abs(channels).max(axis=1)
    scale = np.where(highest > 0, highest / 127, 1).astype(np.float32)
    rounded = np.rint(channels / scale[:, np.newaxis]).astype(np.int8).reshape(weights.shape)
    index = _add_constant(model, rounded, schema.TensorType.INT8)
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
    quantization.quantizedDimension = 0
    model.subgraphs[0].tensors[index].quantization = quantization
    return index


def _add_constant(model: schema.ModelT, values: NDArray[Any], kind: int) -> int:
    """Add a constant; return the index of its tensor."""
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.name, tensor.shape, tensor.type = b"constant", list(values.shape), kind
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    tensors = model.subgraphs[0].tensors
    tensors.append(tensor)
    return len(tensors) - 1


def _add_code(model: schema.ModelT) -> int:
    """Return the index of the operator code for these convolutions; add it the first time."""
    number = schema.BuiltinOperator.CONV_2D
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == number and code.version == CONV_2D_VERSION:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.version = CONV_2D_VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _remove_unused(model: schema.ModelT) -> None:
    """Remove the operators that unpacked the weights, and the content of constants that nothing uses any longer."""
    graph = model.subgraphs[0]
    used = set(map(int, graph.outputs))
    kept = []
    for operator in reversed(graph.operators):
        if operator_name(model, operator) not in UNPACKING or used & set(map(int, operator.outputs)):
            kept.append(operator)
            used |= set(map(int, operator.inputs))
    graph.operators = kept[::-1]
    used |= {int(index) for operator in kept for index in operator.outputs} | set(map(int, graph.inputs))
    # tensors keep their indices
    for index, tensor in enumerate(graph.tensors):
        if index not in used:
            tensor.sparsity, tensor.buffer = None, 0
    shared = {tensor.buffer for one in model.subgraphs for tensor in one.tensors}
    shared |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in shared:
            buffer.data = None
