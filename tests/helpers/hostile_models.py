"""Encoders that fail to load or to run, for the bundle of tests/helpers/bundle_builder.py."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.inference.graphs import Graph
from tests.inference.layers import edited

FRAME = [1, 4, 4, 1]
PIXELS = 16
KINDS = schema.TensorType

# so many float32 for each pixel are 8 GB
HUGE = 2**27 - 1


class Layers(Graph):
    """A graph of arbitrary operators. Its first tensor is the input, of shape FRAME."""

    def __init__(self) -> None:
        super().__init__()
        self.source = self.tensor("input", FRAME)

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **values: Any) -> int:
        """Add an operator; return its output. `options` is the schema's class of its options, if it has any."""
        if not options:
            self._operator(name, inputs, output, schema.BuiltinOptions.NONE, None)
            return output
        table = getattr(schema, f"{options}T")()
        for key, value in values.items():
            setattr(table, key, value)
        self._operator(name, inputs, output, getattr(schema.BuiltinOptions, options), table)
        return output

    def integers(self, name: str, values: list[int]) -> int:
        """Add an int32 constant of shape (n,)."""
        return self.tensor(name, [len(values)], np.array(values, np.int32), KINDS.INT32)

    def flat(self, source: int) -> int:
        """Add the frame as a row of pixels."""
        row = self.tensor("row", [1, PIXELS])
        self.reshape(source, row, [1, PIXELS])
        return row

    def encoder(self, frame: int) -> bytes:
        """Return the model that computes an embedding of shape (1, 2) from a tensor of shape FRAME."""
        embedding = self.tensor("embedding", [1, 2])
        weights = self.constant("weights", np.ones((2, PIXELS), np.float32))
        self.fully_connected([self.flat(frame), weights, -1], embedding)
        return self.serialize([self.source], [embedding])

    def part(self, output: int) -> bytes:
        """Return the model whose output is this tensor, to become a subgraph of another model."""
        return self.serialize([self.source], [output])


def unresolved() -> bytes:
    """Return a model that needs an operator that no runtime has."""
    layers = Layers()
    same = layers.operator("ABS", [layers.source], layers.tensor("same", FRAME), "AbsOptions")

    def rename(model: schema.ModelT) -> None:
        code, operator = model.operatorCodes[0], model.subgraphs[0].operators[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"OpenTheDoor"
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None

    return edited(layers.encoder(same), rename)


def split_into_none() -> bytes:
    """Return a model that splits a frame into zero parts and uses the first: the runtime follows a null pointer."""
    layers = Layers()
    axis = layers.tensor("axis", [], np.array(0, np.int32), KINDS.INT32)
    part = layers.tensor("part", FRAME)
    layers.operator("SPLIT", [axis, layers.source], part, "SplitOptions", numSplits=0)
    return layers.encoder(part)


def loop_in_itself() -> bytes:
    """Return a model with a loop whose body is the same loop: the runtime prepares it until its stack is full."""
    outer, end = _loop()
    inner, inner_end = _loop()
    return _with_parts(outer.encoder(end), _always(), inner.part(inner_end))


def endless() -> bytes:
    """Return a model with a loop whose condition always holds. It loads, and an invoke never returns."""
    layers, end = _loop()
    return _with_parts(layers.encoder(end), _always(), _same())


def tiled_to_8_gb() -> bytes:
    """Return a model that repeats each pixel up to 8 GB and takes the maximum. Loading it allocates the memory."""
    layers = Layers()
    column, peak = layers.tensor("column", [PIXELS, 1]), layers.tensor("peak", [PIXELS])
    layers.reshape(layers.source, column, [PIXELS, 1])
    tiled = layers.tensor("tiled", [PIXELS, HUGE])
    layers.operator("TILE", [column, layers.integers("times", [1, HUGE])], tiled, "TileOptions")
    layers.operator("REDUCE_MAX", [tiled, layers.integers("axis", [1])], peak, "ReducerOptions", keepDims=False)
    return layers.encoder(peak)


def filled_to_8_gb() -> bytes:
    """Return a model that computes a size of 8 GB and fills a tensor of it. An invoke allocates the memory."""
    layers = Layers()
    peak, flat = layers.tensor("peak", [1, 1, 1, 1]), layers.tensor("flat_peak", [1])
    axes = layers.integers("axes", [0, 1, 2, 3])
    layers.operator("REDUCE_MAX", [layers.source, axes], peak, "ReducerOptions", keepDims=True)
    layers.reshape(peak, flat, [1])
    zero = layers.operator("SUB", [flat, flat], layers.tensor("zero", [1]), "SubOptions")
    many = layers.constant("many", np.array([2.0**31 - 128], np.float32))
    length = layers.operator("ADD", [zero, many], layers.tensor("length", [1]), "AddOptions")
    length_int32 = layers.tensor("length_int32", [1], kind=KINDS.INT32)
    layers.operator("CAST", [length], length_int32, "CastOptions", inDataType=KINDS.FLOAT32, outDataType=KINDS.INT32)
    nothing = layers.tensor("nothing", [], np.float32(0))
    filled = layers.operator("FILL", [length_int32, nothing], layers.tensor("filled", [1]), "FillOptions")
    last = layers.tensor("last", [1])
    layers.operator("REDUCE_MAX", [filled, layers.integers("axis", [0])], last, "ReducerOptions", keepDims=False)
    frame = layers.operator("ADD", [layers.source, last], layers.tensor("frame", FRAME), "AddOptions")
    return layers.encoder(frame)


def sized_by_its_input() -> bytes:
    """Return a model whose output has the shape (1, 2) for a white picture, and up to (1, 202) for darker ones."""
    layers = Layers()
    peak, flat = layers.tensor("peak", [1, 1, 1, 1]), layers.tensor("flat_peak", [1])
    axes = layers.integers("axes", [0, 1, 2, 3])
    layers.operator("REDUCE_MAX", [layers.source, axes], peak, "ReducerOptions", keepDims=True)
    layers.reshape(peak, flat, [1])
    factor, offset = layers.constant("factor", np.float32([-100])), layers.constant("offset", np.float32([102]))
    scaled = layers.operator("MUL", [flat, factor], layers.tensor("scaled", [1]), "MulOptions")
    length = layers.operator("ADD", [scaled, offset], layers.tensor("length", [1]), "AddOptions")
    length_int32 = layers.tensor("length_int32", [1], kind=KINDS.INT32)
    layers.operator("CAST", [length], length_int32, "CastOptions", inDataType=KINDS.FLOAT32, outDataType=KINDS.INT32)
    shape = layers.tensor("shape", [2], kind=KINDS.INT32)
    layers.operator("CONCATENATION", [layers.integers("one", [1]), length_int32], shape, "ConcatenationOptions", axis=0)
    one = layers.tensor("value", [], np.float32(1))
    embedding = layers.operator("FILL", [shape, one], layers.tensor("embedding", [1, 2]), "FillOptions")
    return layers.serialize([layers.source], [embedding])


def _loop() -> tuple[Layers, int]:
    """Return a WHILE over the frame and its output. The condition is subgraph 1 of the model, the body subgraph 2."""
    layers = Layers()
    end = layers.tensor("end", FRAME)
    layers.operator("WHILE", [layers.source], end, "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    return layers, end


def _always() -> bytes:
    """Return a condition: the maximum of the frame equals itself."""
    layers = Layers()
    peak, flat = layers.tensor("peak", [1, 1, 1, 1]), layers.tensor("flat", [1])
    axes = layers.integers("axes", [0, 1, 2, 3])
    layers.operator("REDUCE_MAX", [layers.source, axes], peak, "ReducerOptions", keepDims=True)
    layers.reshape(peak, flat, [1])
    holds = layers.tensor("holds", [1], kind=KINDS.BOOL)
    return layers.part(layers.operator("EQUAL", [flat, flat], holds, "EqualOptions"))


def _same() -> bytes:
    """Return a body that leaves a positive frame as it is."""
    layers = Layers()
    return layers.part(layers.operator("ABS", [layers.source], layers.tensor("same", FRAME), "AbsOptions"))


def _with_parts(model: bytes, *parts: bytes) -> bytes:
    """Return the model with the subgraphs of `parts` appended."""

    def append(target: schema.ModelT) -> None:
        for part in map(_unpacked, parts):
            (subgraph,) = part.subgraphs
            for tensor in subgraph.tensors:
                tensor.buffer += len(target.buffers)
            for operator in subgraph.operators:
                operator.opcodeIndex += len(target.operatorCodes)
            target.buffers += part.buffers
            target.operatorCodes += part.operatorCodes
            target.subgraphs.append(subgraph)

    return edited(model, append)


def _unpacked(model: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(model, 0)
