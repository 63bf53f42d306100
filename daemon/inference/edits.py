"""Edits the outputs of somebody else's model, without TensorFlow. Pure: bytes in, bytes out.

An edit keeps the type, scale and zero point of the tensor that it works on. What it computes is exact.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from daemon.core.document import StrictModel
from daemon.core.errors import MismatchError
from daemon.inference.model_file import OPERATOR_NAMES, TYPE_NAMES, operator_name, read_model, shape_of, write_model

# what GATHER and REDUCE_MAX take, and a bundle's output may be
EDITABLE = ("float32", "int8", "uint8")


class Keep(StrictModel):
    """The model's output number `of`, as it is."""

    of: int = 0


class Expose(StrictModel):
    """An inner tensor: the only one of `size` numbers that this operator computes."""

    operator: str
    size: int


class Group(StrictModel):
    """The highest score of each group of classes, of the model's output number `of`. `classes` has their indices."""

    classes: dict[str, list[int]]
    of: int = 0


class Reduce(StrictModel):
    """The highest value over all anchors, of the model's output number `of`: (1, anchors, n) becomes (1, n)."""

    reduce: Literal["max"]
    of: int = 0


Edit: TypeAlias = Keep | Expose | Group | Reduce


def edit_model(content: bytes, edits: Mapping[str, Edit]) -> bytes:
    """Return the model with these outputs, in this order, instead of its own.

    Raises ModelError when the content is not a model. Raises MismatchError when an edit does not fit it. Its key is the
    name of the output, and for a class also the name of its group.
    """
    model = read_model(content)
    graph = model.subgraphs[0]
    outputs: dict[int, str] = {}
    for name, edit in edits.items():
        index = _apply(model, name, edit)
        if index in outputs:
            raise MismatchError(f"is the same tensor as {outputs[index]}; leave one of them out", name)
        outputs[index] = name
    graph.outputs = list(outputs)
    # the names of inputs and outputs for other programs would no longer be true
    model.signatureDefs = None
    return write_model(model)


def _apply(model: schema.ModelT, name: str, edit: Edit) -> int:
    """Return the index of the tensor that the edit makes an output."""
    if isinstance(edit, Expose):
        return _inner_tensor(model, name, edit)
    outputs = model.subgraphs[0].outputs
    if not 0 <= edit.of < len(outputs):
        raise MismatchError(f"is made of output {edit.of}, but the model has outputs 0 to {len(outputs) - 1}", name)
    index = int(outputs[edit.of])
    if isinstance(edit, Keep):
        return index
    kind = TYPE_NAMES.get(model.subgraphs[0].tensors[index].type, "unknown")
    if kind not in EDITABLE:
        raise MismatchError(f"is made of an output of {kind}, expected one of {', '.join(EDITABLE)}", name)
    return _grouped(model, name, edit, index) if isinstance(edit, Group) else _reduced(model, name, index)


def _inner_tensor(model: schema.ModelT, name: str, edit: Expose) -> int:
    if edit.operator not in OPERATOR_NAMES.values():
        raise MismatchError(f"{edit.operator} is no operator of TFLite; write it like MEAN", name)
    graph = model.subgraphs[0]
    found = [
        int(index)
        for operator in graph.operators
        if operator_name(model, operator) == edit.operator
        for index in operator.outputs
    ]
    sizes = [int(np.prod(shape_of(graph.tensors[index]))) for index in found]
    matching = [index for index, size in zip(found, sizes, strict=True) if size == edit.size]
    if len(matching) == 1:
        return matching[0]
    wanted = f"{edit.operator} of {edit.size} numbers"
    if matching:
        raise MismatchError(f"the model has {len(matching)} tensors by {wanted}, expected one", name)
    there = ", ".join(map(str, sorted(set(sizes)))) or "no number"
    raise MismatchError(f"the model has no {wanted}; its {edit.operator} gives {there}", name)


def _grouped(model: schema.ModelT, name: str, edit: Group, source: int) -> int:
    tensors = model.subgraphs[0].tensors
    shape = shape_of(tensors[source])
    if not shape or int(np.prod(shape)) != shape[-1]:
        raise MismatchError(f"groups need one row of class scores, but the model gives {shape}", name)
    for group, classes in edit.classes.items():
        for index in classes:
            if not 0 <= index < shape[-1]:
                raise MismatchError(
                    f"there is no class {index}; the model has classes 0 to {shape[-1] - 1}", name, group
                )
    indices = _padded(list(edit.classes.values()))
    axis = len(shape) - 1
    table = _constant(model, f"{name}_classes", indices)
    gathered = _like(model, f"{name}_scores", source, [*shape[:-1], *indices.shape])
    options = schema.GatherOptionsT()
    options.axis, options.batchDims = axis, 0
    _append(model, "GATHER", [source, table], gathered, schema.BuiltinOptions.GatherOptions, options)
    return _max(model, name, gathered, [*shape[:-1], len(indices)], [axis + 1])


def _reduced(model: schema.ModelT, name: str, source: int) -> int:
    shape = shape_of(model.subgraphs[0].tensors[source])
    if len(shape) != 3:
        raise MismatchError(f"reduce needs an output of shape (1, anchors, n), but the model gives {shape}", name)
    return _max(model, name, source, [shape[0], shape[2]], [1])


def _padded(groups: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the indices as a table, a row for each group. Short rows repeat their first class: the highest stays."""
    longest = max(map(len, groups))
    return np.array([[*group, *[group[0]] * (longest - len(group))] for group in groups], np.int32)


def _max(model: schema.ModelT, name: str, source: int, shape: list[int], axes: list[int]) -> int:
    target = _like(model, name, source, shape)
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axis = _constant(model, f"{name}_axes", np.array(axes, np.int32))
    _append(model, "REDUCE_MAX", [source, axis], target, schema.BuiltinOptions.ReducerOptions, options)
    return target


def _like(model: schema.ModelT, name: str, source: int, shape: list[int]) -> int:
    """Add a tensor of the same type, scale and zero point as another; return its index."""
    tensors = model.subgraphs[0].tensors
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), shape, 0
    tensor.type, tensor.quantization = tensors[source].type, tensors[source].quantization
    return _add_tensor(model, tensor)


def _constant(model: schema.ModelT, name: str, values: np.ndarray[Any, np.dtype[np.int32]]) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), list(values.shape), schema.TensorType.INT32
    if not model.buffers:  # the format requires an empty first buffer
        model.buffers = [schema.BufferT()]
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    return _add_tensor(model, tensor)


def _add_tensor(model: schema.ModelT, tensor: schema.TensorT) -> int:
    tensors = model.subgraphs[0].tensors
    tensors.append(tensor)
    return len(tensors) - 1


def _append(model: schema.ModelT, name: str, inputs: list[int], output: int, kind: int, options: Any) -> None:
    """Add an operator at the end of the graph."""
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    # version 2 of either operator takes int8, version 1 the other types
    code.version = 2 if graph.tensors[output].type == schema.TensorType.INT8 else 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    graph.operators.append(operator)
