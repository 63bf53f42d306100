"""Small TFLite graphs, written through the flatbuffer schema that comes with the runtime: no TensorFlow needed."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.records import Array

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"


class Graph:
    """Collects tensors and operators of one subgraph in the schema's object form."""

    def __init__(self) -> None:
        self._subgraph = schema.SubGraphT()
        self._subgraph.tensors, self._subgraph.operators = [], []
        self._buffers = [schema.BufferT()]  # by the format's rule the first buffer is empty
        self._codes: list[int] = []

    def tensor(self, name: str, shape: list[int], data: Any = None, kind: int = schema.TensorType.FLOAT32) -> int:
        """Add a tensor, a constant when `data` is given; gives its index."""
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
        """Add a float32 constant."""
        return self.tensor(name, list(values.shape), values)

    def fully_connected(self, inputs: list[int], output: int) -> None:
        """Add output = input x weights^T + bias; `inputs` are their indices, -1 for no bias."""
        options = schema.FullyConnectedOptionsT()
        self._operator("FULLY_CONNECTED", inputs, output, schema.BuiltinOptions.FullyConnectedOptions, options)

    def softmax(self, source: int, output: int) -> None:
        """Softmax over the last axis."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        self._operator("SOFTMAX", [source], output, schema.BuiltinOptions.SoftmaxOptions, options)

    def reshape(self, source: int, output: int, shape: list[int]) -> None:
        """The same numbers in another shape."""
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
        """The model as the bytes of a `.tflite` file."""
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
