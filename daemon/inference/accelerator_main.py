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
from daemon.runtime.child_main import Failed

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
        return compiled(model, "GPU")
    return _interpreted(model, [_delegate(device)] if device["kind"] == "delegate" else [])


def compiled(model: Mapping[str, Any], hardware: str) -> Run:
    """By the runtime's own accelerator: CPU or GPU. Raises Failed when it does not work here."""
    try:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        network = CompiledModel.from_file(model["path"], hardware_accel=HardwareAccelerator[hardware])
        signature = next(iter(network.get_signature_list()))
        _checked(model, "input", list(network.get_input_tensor_details(signature).values()))
        _checked(model, "output", list(network.get_output_tensor_details(signature).values()))
        inputs, outputs = network.create_input_buffers(0), network.create_output_buffers(0)
    except (ImportError, RuntimeError, ValueError) as error:
        raise Failed(f"the runtime's own {hardware} accelerator does not work here: {error}") from error

    def run(question: Any, answer: Any) -> None:
        inputs[0].write(question)
        network.run_by_index(0, inputs, outputs)
        answer[...] = outputs[0].read(answer.size, answer.dtype.type).reshape(answer.shape)

    return run


def _delegate(device: Mapping[str, Any]) -> Any:
    library = device["library"]
    try:
        return load_delegate(library, dict(device["options"]))
    except OSError as error:
        raise Failed(f"{library} cannot be loaded: {error}") from error
    except ValueError as error:
        reason = str(error).removeprefix(f"Failed to load delegate from {library}").strip()
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
    if len(details) == 1 and _is_as(model[role], details[0]):
        return int(details[0]["index"])
    found = " and ".join(f"{np.dtype(detail['dtype']).name} {[int(n) for n in detail['shape']]}" for detail in details)
    wanted = f"{model[role]['dtype']} {model[role]['shape']}"
    raise Failed(f"{model['path']}: its {role} is {found}, not like the CPU model's {wanted}, or quantized otherwise")


def _is_as(wanted: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    if list(detail["shape"]) != wanted["shape"] or np.dtype(detail["dtype"]) != wanted["dtype"]:
        return False
    if wanted["scale"] is None or "quantization" not in detail:
        return True
    scale, zero_point = detail["quantization"]
    return bool(
        abs(scale - wanted["scale"]) <= SCALE_TOLERANCE * wanted["scale"] and zero_point == wanted["zero_point"]
    )
