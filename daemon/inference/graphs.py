"""Writes small TFLite graphs with the flatbuffer schema of the runtime. TensorFlow is not needed."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.core.records import Array

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"


class Graph:
    """Collects the tensors and operators of a graph, in the object form of the schema."""

    def __init__(self) -> None:
        self._subgraph = schema.SubGraphT()
        self._subgraph.tensors, self._subgraph.operators = [], []
        self._buffers = [schema.BufferT()]  # the format requires an empty first buffer
        self._codes: list[int] = []

    def tensor(self, name: str, shape: list[int], data: Any = None, kind: int = schema.TensorType.FLOAT32) -> int:
        """Add a tensor, and return its index. With `data` it is a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), shape, kind, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def constant(self, name: str, values: Array) -> int:
        """Add a float32 constant, and return its index."""
        return self.tensor(name, list(values.shape), values)

    def fully_connected(self, inputs: list[int], output: int) -> None:
        """Add output = input x weights^T + bias. `inputs` are the indices of the three, -1 for no bias."""
        options = schema.FullyConnectedOptionsT()
        self._operator("FULLY_CONNECTED", inputs, output, schema.BuiltinOptions.FullyConnectedOptions, options)

    def softmax(self, source: int, output: int) -> None:
        """Add a softmax over the last axis."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        self._operator("SOFTMAX", [source], output, schema.BuiltinOptions.SoftmaxOptions, options)

    def reshape(self, source: int, output: int, shape: list[int]) -> None:
        """Add a reshape to `shape`."""
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        target = self.tensor("new_shape", [len(shape)], np.array(shape, np.int32), schema.TensorType.INT32)
        self._operator("RESHAPE", [source, target], output, schema.BuiltinOptions.ReshapeOptions, options)

    def _operator(self, name: str, inputs: list[int], output: int, kind: int, options: Any) -> None:
        code = getattr(schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._codes.index(code), inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._subgraph.operators.append(operator)

    def serialize(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the model as the bytes of a `.tflite` file."""
        self._subgraph.inputs, self._subgraph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version, model.description = SCHEMA_VERSION, b"written by perceptd"
        model.subgraphs, model.buffers, model.operatorCodes = [self._subgraph], self._buffers, []
        for code in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, code, 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
        return bytes(builder.Output())


def write_head(weights: Array, bias: Array, sizes: Sequence[int]) -> bytes:
    """Return the model that maps F (1, D + M) to scores (1, L) and shares (1, M, L), all float32.

    `weights` has shape (L, D + M) with D the sum of `sizes`, the embedding lengths of the M modalities; its last M
    columns belong to the `present` entries. `bias` has shape (L,).

    F times a block matrix gives the share of every modality. The sum over the modalities plus the bias gives the
    logits, and softmax gives the scores.
    """
    labels, modalities = len(bias), len(sizes)
    if weights.shape != (labels, sum(sizes) + modalities):
        raise ValueError(f"weights have shape {weights.shape}, expected {(labels, sum(sizes) + modalities)}")
    graph = Graph()
    features = graph.tensor("features", [1, weights.shape[1]])
    blocks = graph.constant("share_weights", _share_matrix(weights, sizes))
    summing = graph.constant("sum_weights", np.tile(np.eye(labels, dtype=np.float32), (1, modalities)))
    offset = graph.constant("bias", bias.astype(np.float32))
    flat = graph.tensor("flat_shares", [1, modalities * labels])
    shares = graph.tensor("shares", [1, modalities, labels])
    logits = graph.tensor("logits", [1, labels])
    scores = graph.tensor("scores", [1, labels])
    graph.fully_connected([features, blocks, -1], flat)
    graph.reshape(flat, shares, [1, modalities, labels])
    graph.fully_connected([flat, summing, offset], logits)
    graph.softmax(logits, scores)
    return graph.serialize(inputs=[features], outputs=[scores, shares])


def _share_matrix(weights: Array, sizes: Sequence[int]) -> Array:
    """Return the block matrix (M * L, D + M): row block m has the columns of modality m and of its present entry."""
    labels = weights.shape[0]
    matrix = np.zeros((len(sizes) * labels, weights.shape[1]), np.float32)
    start = 0
    for index, size in enumerate(sizes):
        rows = slice(index * labels, (index + 1) * labels)
        matrix[rows, start : start + size] = weights[:, start : start + size]
        present = sum(sizes) + index
        matrix[rows, present] = weights[:, present]
        start += size
    return matrix
