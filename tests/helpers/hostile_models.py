"""Encoders that load or run badly, for the bundle of tests/helpers/bundle_builder.py."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.inference.graphs import Graph
from tests.inference.layers import edited

FRAME = [1, 4, 4, 1]
PIXELS = 16
KINDS = schema.TensorType
HUGE = 2**27 - 1
"""So many float32 for each pixel are 8 GB."""


class Layers(Graph):
    """A graph of any operators; the first tensor, its input, has the shape FRAME."""

    def __init__(self) -> None:
        super().__init__()
        self.source = self.tensor("input", FRAME)

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **values: Any) -> int:
        """Add an operator, with the class of its options in the schema if it has any; gives its output."""
        if not options:
            self._operator(name, inputs, output, schema.BuiltinOptions.NONE, None)
            return output
        table = getattr(schema, f"{options}T")()
        for key, value in values.items():
            setattr(table, key, value)
        self._operator(name, inputs, output, getattr(schema.BuiltinOptions, options), table)
        return output

    def integers(self, name: str, values: list[int]) -> int:
        """An int32 constant of shape (n,)."""
        return self.tensor(name, [len(values)], np.array(values, np.int32), KINDS.INT32)

    def flat(self, source: int) -> int:
        """A frame as a row of pixels."""
        row = self.tensor("row", [1, PIXELS])
        self.reshape(source, row, [1, PIXELS])
        return row

    def encoder(self, frame: int) -> bytes:
        """The model that makes an embedding of shape (1, 2) of the pixels of such a tensor."""
        embedding = self.tensor("embedding", [1, 2])
        weights = self.constant("weights", np.ones((2, PIXELS), np.float32))
        self.fully_connected([self.flat(frame), weights, -1], embedding)
        return self.serialize([self.source], [embedding])

    def part(self, output: int) -> bytes:
        """The model that only gives this tensor: one to be taken as a part of another."""
        return self.serialize([self.source], [output])


def unresolved() -> bytes:
    """Needs an operator that no runtime has."""
    layers = Layers()
    same = layers.operator("ABS", [layers.source], layers.tensor("same", FRAME), "AbsOptions")

    def rename(model: schema.ModelT) -> None:
        code, operator = model.operatorCodes[0], model.subgraphs[0].operators[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"OpenTheDoor"
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None

    return edited(layers.encoder(same), rename)


def split_into_none() -> bytes:
    """Splits a frame into no parts, of which the first is used: the runtime follows a pointer that is none."""
    layers = Layers()
    axis = layers.tensor("axis", [], np.array(0, np.int32), KINDS.INT32)
    part = layers.tensor("part", FRAME)
    layers.operator("SPLIT", [axis, layers.source], part, "SplitOptions", numSplits=0)
    return layers.encoder(part)


def loop_in_itself() -> bytes:
    """A loop whose body is that loop: the runtime prepares it until its stack is full."""
    outer, end = _loop()
    inner, inner_end = _loop()
    return _with_parts(outer.encoder(end), _always(), inner.part(inner_end))


def endless() -> bytes:
    """A loop whose condition always holds. It loads; an invoke never returns."""
    layers, end = _loop()
    return _with_parts(layers.encoder(end), _always(), _same())


def tiled_to_8_gb() -> bytes:
    """Repeats each pixel until there are 8 GB, whose largest it takes: memory is taken when it is loaded."""
    layers = Layers()
    column, peak = layers.tensor("column", [PIXELS, 1]), layers.tensor("peak", [PIXELS])
    layers.reshape(layers.source, column, [PIXELS, 1])
    tiled = layers.tensor("tiled", [PIXELS, HUGE])
    layers.operator("TILE", [column, layers.integers("times", [1, HUGE])], tiled, "TileOptions")
    layers.operator("REDUCE_MAX", [tiled, layers.integers("axis", [1])], peak, "ReducerOptions", keepDims=False)
    return layers.encoder(peak)


def filled_to_8_gb() -> bytes:
    """As large, but how large is computed: memory is taken by an invoke."""
    layers = Layers()
    peak, flat = layers.tensor("peak", [1, 1, 1, 1]), layers.tensor("flat_peak", [1])
    axes = layers.integers("axes", [0, 1, 2, 3])
    layers.operator("REDUCE_MAX", [layers.source, axes], peak, "ReducerOptions", keepDims=True)
    layers.reshape(peak, flat, [1])
    zero = layers.operator("SUB", [flat, flat], layers.tensor("zero", [1]), "SubOptions")
    many = layers.constant("many", np.array([2.0**31 - 128], np.float32))
    length = layers.operator("ADD", [zero, many], layers.tensor("length", [1]), "AddOptions")
    whole = layers.tensor("whole", [1], kind=KINDS.INT32)
    layers.operator("CAST", [length], whole, "CastOptions", inDataType=KINDS.FLOAT32, outDataType=KINDS.INT32)
    nothing = layers.tensor("nothing", [], np.float32(0))
    filled = layers.operator("FILL", [whole, nothing], layers.tensor("filled", [1]), "FillOptions")
    last = layers.tensor("last", [1])
    layers.operator("REDUCE_MAX", [filled, layers.integers("axis", [0])], last, "ReducerOptions", keepDims=False)
    frame = layers.operator("ADD", [layers.source, last], layers.tensor("frame", FRAME), "AddOptions")
    return layers.encoder(frame)


def _loop() -> tuple[Layers, int]:
    """A WHILE over the frame; its condition is the model's second part, its body the third."""
    layers = Layers()
    end = layers.tensor("end", FRAME)
    layers.operator("WHILE", [layers.source], end, "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    return layers, end


def _always() -> bytes:
    """A condition: whether the frame's largest number is equal to itself."""
    layers = Layers()
    peak, flat = layers.tensor("peak", [1, 1, 1, 1]), layers.tensor("flat", [1])
    axes = layers.integers("axes", [0, 1, 2, 3])
    layers.operator("REDUCE_MAX", [layers.source, axes], peak, "ReducerOptions", keepDims=True)
    layers.reshape(peak, flat, [1])
    holds = layers.tensor("holds", [1], kind=KINDS.BOOL)
    return layers.part(layers.operator("EQUAL", [flat, flat], holds, "EqualOptions"))


def _same() -> bytes:
    """A body that leaves the frame as it is, once it is positive."""
    layers = Layers()
    return layers.part(layers.operator("ABS", [layers.source], layers.tensor("same", FRAME), "AbsOptions"))


def _with_parts(model: bytes, *parts: bytes) -> bytes:
    """The model with the others' subgraphs behind its own."""

    def append(whole: schema.ModelT) -> None:
        for part in map(_unpacked, parts):
            (subgraph,) = part.subgraphs
            for tensor in subgraph.tensors:
                tensor.buffer += len(whole.buffers)
            for operator in subgraph.operators:
                operator.opcodeIndex += len(whole.operatorCodes)
            whole.buffers += part.buffers
            whole.operatorCodes += part.operatorCodes
            whole.subgraphs.append(subgraph)

    return edited(model, append)


def _unpacked(model: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(model, 0)
