"""An accelerator's models, in a process of their own: answers one question after another until it is killed.

Light: of what is not Python's own it imports numpy and the runtime.
"""

import json
import mmap
import os
import select
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from daemon.inference.litert import Interpreter, load_delegate
from daemon.runtime.inside import Failed

SCALE_TOLERANCE = 1e-5
"""Relative: scales come as decimal text, the model holds float32."""

Run = Callable[[Any, Any], None]
"""Computes an answer, the second tensor, from a question, the first."""


def serve(order: str) -> NoReturn:
    """Load the models, say so, and answer. Raises Failed when the device refuses, or an invoke fails.

    `order` is JSON: the `device`, the `models`, the `regions` that hold questions, and descriptors: `questions`,
    `answers`, and two eventfds. A question is asked by its region's number, plus 1, written to `asked`; 1 is written to
    `answered` when all is loaded, and for every answer.
    """
    wanted = json.loads(order)
    models = wanted["models"]
    # what is mapped to be read cannot be written by a library that runs wild, whatever it does
    questions = memoryview(mmap.mmap(wanted["questions"], 0, access=mmap.ACCESS_READ))
    answers = memoryview(mmap.mmap(wanted["answers"], 0))
    runs = [_opened(wanted["device"], model) for model in models]
    outputs = [_tensor(answers, model["output"], model["answer_offset"]) for model in models]
    inputs = [
        (region["model"], _tensor(questions, models[region["model"]]["input"], region["offset"]))
        for region in wanted["regions"]
    ]
    asked, answered = wanted["asked"], wanted["answered"]
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    os.eventfd_write(answered, 1)
    while True:
        poll.poll()
        model, question = inputs[os.eventfd_read(asked) - 1]
        try:
            runs[model](question, outputs[model])
        except (RuntimeError, ValueError) as error:
            raise Failed(f"its invoke failed: {error}") from error
        os.eventfd_write(answered, 1)


def _tensor(memory: memoryview, spec: Mapping[str, Any], offset: int) -> Any:
    size = int(np.prod(spec["shape"]))
    return np.frombuffer(memory, spec["dtype"], size, offset).reshape(spec["shape"])


def _opened(device: Mapping[str, Any], model: Mapping[str, Any]) -> Run:
    if device["kind"] == "gpu":
        return _on_gpu(device, model)
    return _interpreted(model, [] if device["library"] is None else [_delegate(device)])


def _on_gpu(device: Mapping[str, Any], model: Mapping[str, Any]) -> Run:
    """By the runtime's own accelerator, else by the library that is configured for it."""
    try:
        return _compiled(model)
    except (ImportError, RuntimeError, ValueError) as error:
        reason = f"the runtime's own GPU accelerator does not work here: {error}"
    if device["library"] is None:
        raise Failed(f"{reason}; no delegate library is configured instead (devices.gpu_delegate)")
    try:
        return _interpreted(model, [_delegate(device)])
    except Failed as error:
        raise Failed(f"{reason}; nor does the delegate library: {error}") from error


def _compiled(model: Mapping[str, Any]) -> Run:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    compiled = CompiledModel.from_file(model["path"], hardware_accel=HardwareAccelerator.GPU)
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    if (len(inputs), len(outputs)) != (1, 1):
        raise Failed(f"{model['path']} has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")

    def run(question: Any, answer: Any) -> None:
        inputs[0].write(question)
        compiled.run_by_index(0, inputs, outputs)
        answer[...] = outputs[0].read(answer.size, answer.dtype.type).reshape(answer.shape)

    return run


def _delegate(device: Mapping[str, Any]) -> Any:
    library = device["library"]
    try:
        return load_delegate(library, device["options"])
    except OSError as error:
        raise Failed(f"{library} cannot be loaded: {error}") from error
    except ValueError as error:
        reason = str(error).strip()
        raise Failed(f"{library} refuses: {reason or 'it gives no reason'}") from error


def _interpreted(model: Mapping[str, Any], delegates: list[Any]) -> Run:
    try:
        interpreter = Interpreter(model_path=model["path"], experimental_delegates=delegates, num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise Failed(f"{model['path']} cannot be loaded: {error}") from error
    source, target = (
        _checked(model, role, details)
        for role, details in (("input", interpreter.get_input_details()), ("output", interpreter.get_output_details()))
    )

    def run(question: Any, answer: Any) -> None:
        interpreter.set_tensor(source, question)
        interpreter.invoke()
        answer[...] = interpreter.get_tensor(target)

    return run


def _checked(model: Mapping[str, Any], role: str, details: list[Mapping[str, Any]]) -> int:
    """The index of the only input or output. Raises Failed when it is another than the CPU model's."""
    wanted = model[role]
    if len(details) == 1:
        scale, zero_point = details[0]["quantization"]
        is_same = list(details[0]["shape"]) == wanted["shape"] and np.dtype(details[0]["dtype"]) == wanted["dtype"]
        if wanted["scale"] is not None:
            off = abs(scale - wanted["scale"])
            is_same = is_same and off <= SCALE_TOLERANCE * wanted["scale"] and zero_point == wanted["zero_point"]
        if is_same:
            return int(details[0]["index"])
    found = " and ".join(f"{np.dtype(d['dtype']).name} {list(d['shape'])} {d['quantization']}" for d in details)
    raise Failed(f"{model['path']}: its {role} is {found}; that of the CPU model: {wanted}")
