"""Writes models of one FULLY_CONNECTED layer, or cuts the layer out of a model."""

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.core.records import Array
from daemon.inference.graphs import FILE_IDENTIFIER, Graph

KINDS = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}

# The scales and zero points of each tensor by name: one of each, or one of each per row.
Scales = dict[str, tuple[Array, Array]]


def write_layer(
    weights: Array, bias: Array | None, rows: int, activation: str = "NONE", scales: Scales | None = None
) -> bytes:
    """Return the layer with weights (L, D) and bias (L,), from (rows, D) to (rows, L).

    Input and output are int8 where `scales` has theirs, float32 otherwise.
    """
    scales = scales or {}
    graph = Graph()
    kinds = {name: KINDS[np.dtype(np.int8 if name in scales else np.float32)] for name in ("input", "output")}
    source = graph.tensor("input", [rows, weights.shape[1]], kind=kinds["input"])
    target = graph.tensor("output", [rows, weights.shape[0]], kind=kinds["output"])
    constants = [
        graph.tensor(name, list(values.shape), values, KINDS[values.dtype])
        for name, values in (("weights", weights), ("bias", bias))
        if values is not None
    ]
    graph.fully_connected([source, *constants, *([] if bias is not None else [-1])], target)

    def finish(model: schema.ModelT) -> None:
        (subgraph,) = model.subgraphs
        code = getattr(schema.ActivationFunctionType, activation)
        subgraph.operators[0].builtinOptions.fusedActivationFunction = code
        for tensor in subgraph.tensors:
            if tensor.name.decode() in scales:
                tensor.quantization = _quantization(*scales[tensor.name.decode()])

    return edited(graph.serialize(inputs=[source], outputs=[target]), finish)


def write_product(rows: int, depth: int, channels: int) -> bytes:
    """Return the layer whose weights are an input too."""
    graph = Graph()
    source, weights = graph.tensor("input", [rows, depth]), graph.tensor("weights", [channels, depth])
    target = graph.tensor("output", [rows, channels])
    graph.fully_connected([source, weights, -1], target)
    return graph.serialize(inputs=[source, weights], outputs=[target])


def cut_layer(model: bytes) -> bytes:
    """Return the only FULLY_CONNECTED of a model as a model."""

    def cut(model: schema.ModelT) -> None:
        (subgraph,) = model.subgraphs
        code = schema.BuiltinOperator.FULLY_CONNECTED
        (layer,) = [one for one in subgraph.operators if model.operatorCodes[one.opcodeIndex].builtinCode == code]
        subgraph.operators, subgraph.inputs, subgraph.outputs = [layer], [layer.inputs[0]], list(layer.outputs)
        model.signatureDefs, model.metadata = [], []

    return edited(model, cut)


def _quantization(scales: Array, zero_points: Array) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint = np.asarray(scales, np.float32), np.asarray(zero_points, np.int64)
    parameters.quantizedDimension = 0
    return parameters


def edited(model: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    """Return the model after `edit` has changed its objects."""
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    edit(unpacked)
    builder = flatbuffers.Builder(4096)
    builder.Finish(unpacked.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())
