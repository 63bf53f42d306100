"""Writes small TFLite graphs with the flatbuffer schema of the runtime. TensorFlow is not needed."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.core.records import Array, Scoring

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

    def logistic(self, source: int, output: int) -> None:
        """Add output = 1 / (1 + exp(-source))."""
        self._operator("LOGISTIC", [source], output, schema.BuiltinOptions.NONE, None)

    def add(self, one: int, other: int, output: int) -> None:
        """Add output = one + other."""
        self._operator("ADD", [one, other], output, schema.BuiltinOptions.AddOptions, schema.AddOptionsT())

    def concatenation(self, sources: list[int], output: int) -> None:
        """Add the sources, one after another along the last axis."""
        options = schema.ConcatenationOptionsT()
        options.axis = -1
        self._operator("CONCATENATION", sources, output, schema.BuiltinOptions.ConcatenationOptions, options)

    def split(self, source: int, outputs: list[int], sizes: list[int]) -> None:
        """Add the parts of these sizes of a source of shape (1, n), one after another."""
        options = schema.SplitVOptionsT()
        options.numSplits = len(outputs)
        lengths = self.tensor("sizes", [len(sizes)], np.array(sizes, np.int32), schema.TensorType.INT32)
        axis = self.tensor("axis", [], np.array(1, np.int32), schema.TensorType.INT32)
        self._operator("SPLIT_V", [source, lengths, axis], outputs, schema.BuiltinOptions.SplitVOptions, options)

    def _operator(self, name: str, inputs: list[int], output: int | list[int], kind: int, options: Any) -> None:
        code = getattr(schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self._codes.index(code), inputs
        operator.outputs = output if isinstance(output, list) else [output]
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


def write_head(
    weights: Array, bias: Array, sizes: Sequence[int], scoring: Scoring = "exclusive", background: int | None = None
) -> bytes:
    """Return the model that maps F (1, D + M) to scores (1, L) and shares (1, M, L), all float32.

    `sizes` has the lengths in F of the M encoders, and D is their sum. `weights` has shape (L, D + M). Its last M
    columns belong to the `present` entries. `bias` has shape (L,).

    A product for each encoder gives its share. The sum of the shares plus the bias gives the logits. Exclusive scores
    are their softmax. Independent scores are `sigmoid(logit - logit of the background)`: the weights and the bias of
    the label `background`, an index, are subtracted from all others.
    """
    labels, encoders = len(bias), len(sizes)
    if weights.shape != (labels, sum(sizes) + encoders):
        raise ValueError(f"weights have shape {weights.shape}, expected {(labels, sum(sizes) + encoders)}")
    if scoring == "independent":
        if background is None:
            raise ValueError("independent scoring compares each label with the background, which is not given")
        weights, bias = weights - weights[background], bias - bias[background]
    graph = Graph()
    features = graph.tensor("features", [1, weights.shape[1]])
    flat = _add_shares(graph, features, weights.astype(np.float32), sizes)
    summing = graph.constant("sum_weights", np.tile(np.eye(labels, dtype=np.float32), (1, encoders)))
    offset = graph.constant("bias", bias.astype(np.float32))
    shares = graph.tensor("shares", [1, encoders, labels])
    logits = graph.tensor("logits", [1, labels])
    scores = graph.tensor("scores", [1, labels])
    graph.reshape(flat, shares, [1, encoders, labels])
    graph.fully_connected([flat, summing, offset], logits)
    if scoring == "independent":
        graph.logistic(logits, scores)
    else:
        graph.softmax(logits, scores)
    return graph.serialize(inputs=[features], outputs=[scores, shares])


def _add_shares(graph: Graph, features: int, weights: Array, sizes: Sequence[int]) -> int:
    """Add the shares of all encoders, one after another: (1, M * L). Return their tensor.

    F is split by encoder. A single product with all of F would multiply by zeros mostly: the part of each encoder
    counts in its own share only.
    """
    labels, encoders = len(weights), len(sizes)
    parts = [graph.tensor(f"features_{index}", [1, size]) for index, size in enumerate([*sizes, encoders])]
    graph.split(features, parts, [*sizes, encoders])
    products, start = [], 0
    for index, size in enumerate(sizes):
        matrix = graph.constant(f"weights_{index}", weights[:, start : start + size])
        products.append(graph.tensor(f"product_{index}", [1, labels]))
        graph.fully_connected([parts[index], matrix, -1], products[-1])
        start += size
    presence = np.zeros((encoders * labels, encoders), np.float32)
    for index in range(encoders):
        presence[index * labels : (index + 1) * labels, index] = weights[:, start + index]
    present = graph.tensor("present_shares", [1, encoders * labels])
    graph.fully_connected([parts[-1], graph.constant("present_weights", presence), -1], present)
    joined = graph.tensor("products", [1, encoders * labels])
    flat = graph.tensor("flat_shares", [1, encoders * labels])
    graph.concatenation(products, joined)
    graph.add(joined, present, flat)
    return flat
