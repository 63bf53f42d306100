"""The process of an accelerator, seen from the daemon: asks it questions, each with a deadline."""

import dataclasses
import json
import mmap
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import TracebackType

import numpy as np

from daemon.bundle.manifest import TensorSpec
from daemon.core.errors import AcceleratorError, ChildError
from daemon.core.records import Tensor
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.inference.accelerator_main import serve
from daemon.inference.placement import Device
from daemon.runtime.child import Child, close_with, event_counter, read_only_memory, shared_memory

ALIGNMENT = 64
"""Bytes; a cache line of all processors this runs on."""


def aligned(size: int) -> int:
    """So many bytes, and what is left of their last cache line."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Region:
    """Where one input lies, and the model it is for, both as its number and as bytes from the start."""

    model: int
    offset: int


class SharedInputs:
    """One input for every model, to be written before each invoke, and its fixed questions, written once.

    Raises ChildError without memory.
    """

    def __init__(self, inputs: Sequence[Tensor], fixed: Sequence[Sequence[Tensor]]) -> None:
        """`inputs` have each model's shape and dtype; `fixed[m]` are the questions of model m."""
        held = [(model, tensor) for model, tensor in enumerate(inputs)]
        held += [(model, tensor) for model, tensors in enumerate(fixed) for tensor in tensors]
        size, self.regions = 0, []
        for model, tensor in held:
            self.regions.append(Region(model, size))
            size += aligned(tensor.nbytes)
        descriptor, memory = read_only_memory(size)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)  # closed with us, if we are never used
        views = [
            np.frombuffer(memory, tensor.dtype, tensor.size, region.offset).reshape(tensor.shape)
            for region, (_, tensor) in zip(self.regions, held, strict=True)
        ]
        for view, (_, tensor) in zip(views, held, strict=True):
            view[...] = tensor
        self._views = views
        self.live = views[: len(inputs)]

    @property
    def descriptor(self) -> int:
        """Of the memory, until it is closed."""
        return self._file.fileno()

    def at(self, region: int) -> Tensor:
        """What a region holds."""
        return self._views[region]

    def of(self, model: int) -> list[int]:
        """The numbers of the regions that hold a model's fixed questions, in order."""
        first = len(self.live)
        return [first + number for number, region in enumerate(self.regions[first:]) if region.model == model]

    def close(self) -> None:
        """Share the memory no more; what was handed out stays."""
        self._file.close()


LOOK_S = 0.1
"""How often we look whether to stop while it loads."""


@dataclass(frozen=True, slots=True)
class AcceleratorModel:
    """A model that an accelerator's process loads: the file, and what its only input and output are."""

    path: Path
    input: TensorSpec
    output: TensorSpec


class AcceleratorProcess:
    """One process with all models of one accelerator; used by one thread at a time.

    It must be made, and lives no longer than, in one thread: it dies with it. A context manager. Raises ChildError
    when there is no room for a process.
    """

    def __init__(self, device: Device, models: Sequence[AcceleratorModel], questions: SharedInputs) -> None:
        self._regions = questions.regions
        with ExitStack() as stack:
            offsets, size = _offsets(models)
            try:
                answers = close_with(stack, shared_memory(size))
                memory = mmap.mmap(answers, size)
                self._asked, self._answered = (close_with(stack, event_counter()) for _ in range(2))
            except OSError as error:
                raise ChildError(f"no memory could be shared: {error}") from error
            self._answers = [
                np.frombuffer(memory, model.output.dtype, model.output.size, offset).reshape(model.output.shape)
                for model, offset in zip(models, offsets, strict=True)
            ]
            order = {
                "device": dataclasses.asdict(device),
                "models": [
                    {
                        "path": str(model.path),
                        "input": model.input.model_dump(),
                        "output": model.output.model_dump(),
                        "answer_offset": offset,
                    }
                    for model, offset in zip(models, offsets, strict=True)
                ],
                "regions": [dataclasses.asdict(region) for region in questions.regions],
                "questions": questions.descriptor,
                "answers": answers,
                "asked": self._asked,
                "answered": self._answered,
            }
            inherits = (questions.descriptor, answers, self._asked, self._answered)
            self.child = stack.enter_context(Child(serve, json.dumps(order), inherits=inherits))
            self._held = stack.pop_all()

    def wait_until_loaded(self, deadline_s: float, stop: Event) -> None:
        """Return once it has loaded its models, or is to stop. Raises ChildError when it fails or takes too long."""
        end_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        while not stop.is_set():
            try:
                if self.child.wait_for(self._answered, min(LOOK_S, seconds_until(end_ns))):
                    self._take_answer()
                    return
            except ChildError as error:
                raise AcceleratorError.from_child("refused", error) from error
            if monotonic_ns() >= end_ns:
                raise AcceleratorError("hung", f"has not loaded its models within {deadline_s:g} s")

    def ask(self, region: int, deadline_ns: int) -> Tensor:
        """The answer to the question in a region: a copy. Raises ChildError when none came in time."""
        try:
            os.eventfd_write(self._asked, region + 1)
        except BlockingIOError as error:  # only where the process has counted it full itself
            raise AcceleratorError("died", "its process runs wild") from error
        if not self.child.wait_for(self._answered, deadline_ns / NS_PER_S):
            raise AcceleratorError("hung", f"gave no answer within {deadline_ns / 1e6:.0f} ms")
        self._take_answer()
        answer: Tensor = self._answers[self._regions[region].model].copy()
        return answer

    def _take_answer(self) -> None:
        try:
            os.eventfd_read(self._answered)
        except BlockingIOError as error:  # only where the process has read what it wrote for us
            raise AcceleratorError("died", "its process runs wild") from error

    def __enter__(self) -> "AcceleratorProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


def _offsets(models: Sequence[AcceleratorModel]) -> tuple[list[int], int]:
    """Where each model's answer begins, and where the last one ends, in bytes."""
    offsets, size = [], 0
    for model in models:
        offsets.append(size)
        size += aligned(model.output.size * np.dtype(model.output.dtype).itemsize)
    return offsets, size
