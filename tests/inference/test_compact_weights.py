"""Large float weights become int8: the outputs stay close, and what unpacked the weights goes."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from daemon.core.errors import MismatchError, ModelError
from daemon.core.records import Array
from daemon.inference.compact_weights import compact_weights
from daemon.inference.model_file import operator_name, read_model, write_model
from tests.helpers.recipes import write_pixels
from tests.shared import SHARED, needs_shared

SIDE, INPUTS, OUTPUTS = 3, 128, 160
RANDOM = np.random.default_rng(3)
# three in four are zeros, and one channel has zeros only
WEIGHTS = np.where(RANDOM.random((OUTPUTS, INPUTS)) < 0.25, RANDOM.normal(size=(OUTPUTS, INPUTS)), 0).astype(np.float16)
WEIGHTS[7] = 0
BIAS = RANDOM.normal(size=OUTPUTS).astype(np.float16)
PICTURE = RANDOM.uniform(-1, 1, (1, SIDE, SIDE, INPUTS)).astype(np.float32)


class Convolution:
    """Writes a model of one 1x1 convolution. Its constants are float32, or float16 that the graph unpacks."""

    def __init__(self, weights: Array) -> None:
        self.weights = weights
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []

    def write(self, kind: str) -> bytes:
        """`kind` is float32, float16 or sparse."""
        source = self._tensor([1, SIDE, SIDE, self.weights.shape[1]])
        filters = self._constant(self.weights.reshape(len(self.weights), 1, 1, -1), kind)
        bias = self._constant(BIAS, "float32" if kind == "float32" else "float16")
        target = self._tensor([1, SIDE, SIDE, len(self.weights)])
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        self._operator("CONV_2D", [source, filters, bias], target, options)
        self.graph.inputs, self.graph.outputs = [source], [target]
        return write_model(self.model)

    def _constant(self, values: Array, kind: str) -> int:
        if kind == "float32":
            return self._tensor(list(values.shape), values.astype(np.float32))
        if kind == "float16":
            stored = self._tensor(list(values.shape), values, schema.TensorType.FLOAT16)
        else:
            packed = self._tensor(list(values.shape), values[values != 0], schema.TensorType.FLOAT16)
            self.graph.tensors[packed].sparsity = sparsity(values)
            stored = self._tensor(list(values.shape), kind=schema.TensorType.FLOAT16)
            self._operator("DENSIFY", [packed], stored)
        unpacked = self._tensor(list(values.shape))
        self._operator("DEQUANTIZE", [stored], unpacked, version=3)
        return unpacked

    def _tensor(self, shape: list[int], data: Any = None, kind: int = schema.TensorType.FLOAT32) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = b"t", shape, kind, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _operator(self, name: str, inputs: list[int], output: int, options: Any = None, version: int = 1) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = version
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), inputs, [output]
        if options is not None:
            operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
            operator.builtinOptions = options
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)


def sparsity(values: Array) -> schema.SparsityParametersT:
    """Return the positions of the numbers in each row of (rows, 1, 1, columns)."""
    rows = [np.flatnonzero(row) for row in values.reshape(len(values), -1)]
    dimensions = []
    for length in values.shape[:3]:
        dense = schema.DimensionMetadataT()
        dense.format, dense.denseSize = schema.DimensionType.DENSE, length
        dimensions.append(dense)
    sparse, starts, indices = schema.DimensionMetadataT(), schema.Uint16VectorT(), schema.Uint8VectorT()
    starts.values = np.cumsum([0, *map(len, rows)]).astype(np.uint16)
    indices.values = np.concatenate(rows).astype(np.uint8)
    sparse.format = schema.DimensionType.SPARSE_CSR
    sparse.arraySegments, sparse.arraySegmentsType = starts, schema.SparseIndexVector.Uint16Vector
    sparse.arrayIndices, sparse.arrayIndicesType = indices, schema.SparseIndexVector.Uint8Vector
    found = schema.SparsityParametersT()
    found.traversalOrder, found.dimMetadata = [0, 1, 2, 3], [*dimensions, sparse]
    return found


def output_of(model: bytes, value: Array) -> Array:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    output: Array = interpreter.get_tensor(interpreter.get_output_details()[-1]["index"])
    return output


@pytest.mark.parametrize("kind", ["float32", "float16", "sparse"])
def test_the_outputs_stay_close_and_nothing_is_unpacked(kind: str) -> None:
    before = Convolution(WEIGHTS).write(kind)
    after = compact_weights(before)
    expected = PICTURE @ WEIGHTS.astype(np.float32).T + BIAS.astype(np.float32)
    np.testing.assert_allclose(output_of(after, PICTURE), expected, atol=0.02 * float(np.ptp(expected)))
    model = read_model(after)
    assert [operator_name(model, operator) for operator in model.subgraphs[0].operators] == ["CONV_2D"]
    weights = model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[1]]
    assert (weights.type, len(weights.quantization.scale)) == (schema.TensorType.INT8, OUTPUTS)
    assert sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers) == WEIGHTS.size + 4 * OUTPUTS
    assert compact_weights(before) == after


def test_small_weights_and_models_without_convolutions_are_told() -> None:
    for content in (Convolution(WEIGHTS[:, :100]).write("float32"), write_pixels()):
        with pytest.raises(MismatchError, match=r"no convolution with 16,384 float weights or more; leave out"):
            compact_weights(content)


def test_a_constant_that_another_tensor_uses_too_stays() -> None:
    model = read_model(Convolution(WEIGHTS).write("float32"))
    graph = model.subgraphs[0]
    other = schema.TensorT()
    other.name, other.shape, other.type, other.buffer = b"o", [OUTPUTS, 1, 1, INPUTS], schema.TensorType.FLOAT32, 1
    graph.tensors.append(other)
    graph.outputs = [*graph.outputs, len(graph.tensors) - 1]
    after = read_model(compact_weights(write_model(model)))
    assert len(after.buffers[1].data) == 4 * WEIGHTS.size


@pytest.mark.parametrize("damage", ["outside", "too many", "too few"])
def test_a_damaged_sparse_constant_is_refused(damage: str) -> None:
    model = read_model(Convolution(WEIGHTS).write("sparse"))
    packed = next(tensor for tensor in model.subgraphs[0].tensors if tensor.sparsity is not None)
    dimension = packed.sparsity.dimMetadata[3]
    if damage == "outside":
        dimension.arrayIndices.values = np.full(len(dimension.arrayIndices.values), 255, np.uint8)
    elif damage == "too many":
        dimension.arraySegments.values = np.asarray(dimension.arraySegments.values) + np.arange(
            OUTPUTS + 1, dtype=np.uint16
        )
    else:
        model.buffers[packed.buffer].data = model.buffers[packed.buffer].data[:2]
    with pytest.raises(ModelError, match="a sparse constant does not fit its shape"):
        compact_weights(write_model(model))


@needs_shared
def test_the_detector_of_people_stays_close_and_is_no_larger() -> None:
    before = (SHARED / "models" / "pose_detection.tflite").read_bytes()
    after = compact_weights(before)
    assert len(after) < 1.2 * len(before)
    picture = np.random.default_rng(1).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    logits = [output_of(model, picture).max() for model in (before, after)]
    assert logits[0] == pytest.approx(logits[1], abs=0.3)
