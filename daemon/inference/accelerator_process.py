"""The process of an accelerator, seen from the daemon: invokes its models, each time with a deadline."""

import dataclasses
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event
from types import TracebackType

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import AcceleratorError, ChildError
from daemon.core.records import Tensor
from daemon.core.sealed import SealedFile
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.inference.accelerator_main import serve
from daemon.inference.placement import Device
from daemon.runtime.child import Child
from daemon.runtime.shared_memory import close_with, event_counter, read_only_memory, shared_memory

# The cache line of every supported processor, in bytes.
ALIGNMENT = 64

# What the process knows of a tensor.
TENSOR_KEYS = {"shape", "dtype", "scale", "zero_point"}

# How often the daemon looks whether to stop while models load.
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Region:
    """Where one input lies in the shared memory: the number of its model, and the offset in bytes."""

    model: int
    offset: int


class SharedInputs:
    """Shared memory with the live input of every model, and with test inputs that are written once.

    The process may only read this memory. Raises ChildError without memory.
    """

    def __init__(self, live: Sequence[Tensor], tests: Sequence[Sequence[Tensor]]) -> None:
        """`live` holds one tensor of each model's input shape and dtype; `tests[m]` are the test inputs of model m."""
        tensors = [(model, tensor) for model, tensor in enumerate(live)]
        tensors += [(model, tensor) for model, inputs in enumerate(tests) for tensor in inputs]
        size, self.regions = 0, []
        for model, tensor in tensors:
            self.regions.append(Region(model, size))
            size += _aligned(tensor.nbytes)
        descriptor, memory = read_only_memory(size)
        # A file object closes the descriptor even when this object is never used.
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._views = [
            np.frombuffer(memory, tensor.dtype, tensor.size, region.offset).reshape(tensor.shape)
            for region, (_, tensor) in zip(self.regions, tensors, strict=True)
        ]
        for view, (_, tensor) in zip(self._views, tensors, strict=True):
            view[...] = tensor
        self.live = self._views[: len(live)]

    @property
    def descriptor(self) -> int:
        """The descriptor of the memory, until `close`."""
        return self._file.fileno()

    def at(self, region: int) -> Tensor:
        """Return the tensor in a region."""
        return self._views[region]

    def test_regions(self, model: int) -> list[int]:
        """Return the numbers of the regions with a model's test inputs, in order."""
        first = len(self.live)
        return [first + number for number, region in enumerate(self.regions[first:]) if region.model == model]

    def close(self) -> None:
        """Close the descriptor. Tensors that were handed out stay valid."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class AcceleratorModel:
    """A model that an accelerator's process loads: the copy of its file, its only input, and its outputs in order."""

    file: SealedFile
    input: TensorSpec
    outputs: Mapping[str, TensorSpec]


class AcceleratorProcess:
    """One process with all models of one accelerator. Used by one thread at a time. A context manager.

    The process ends with the thread that makes this object. Raises ChildError when no process can be started.
    """

    def __init__(self, device: Device, models: Sequence[AcceleratorModel], inputs: SharedInputs) -> None:
        self._regions = inputs.regions
        with ExitStack() as stack:
            offsets, size = _output_offsets(models)
            try:
                outputs = close_with(stack, shared_memory(size))
                memory = mmap.mmap(outputs, size)
                self._requested, self._completed = (close_with(stack, event_counter()) for _ in range(2))
            except OSError as error:
                raise ChildError(f"no memory could be shared: {error}") from error
            self._outputs = [
                [
                    np.frombuffer(memory, spec.dtype, spec.size, offset).reshape(spec.shape)
                    for spec, offset in zip(model.outputs.values(), starts, strict=True)
                ]
                for model, starts in zip(models, offsets, strict=True)
            ]
            request = {
                "device": dataclasses.asdict(device),
                "models": [
                    {
                        "path": str(model.file.path),
                        "name": str(model.file.source),
                        "input": model.input.model_dump(),
                        "outputs": [
                            {"name": name, "offset": offset, **spec.model_dump(include=TENSOR_KEYS)}
                            for (name, spec), offset in zip(model.outputs.items(), starts, strict=True)
                        ],
                    }
                    for model, starts in zip(models, offsets, strict=True)
                ],
                "regions": [dataclasses.asdict(region) for region in inputs.regions],
                "inputs": inputs.descriptor,
                "outputs": outputs,
                "requested": self._requested,
                "completed": self._completed,
            }
            inherits = [inputs.descriptor, outputs, self._requested, self._completed]
            # the process opens the copies through these, so it loads what the daemon has verified
            inherits += [model.file.descriptor for model in models]
            self.child = stack.enter_context(Child(serve, json.dumps(request), inherits=inherits))
            self._resources = stack.pop_all()

    def wait_until_loaded(self, deadline_s: float, stop: Event) -> None:
        """Return once the models are loaded, or `stop` is set. Raises ChildError when loading fails or takes longer."""
        end_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        while not stop.is_set():
            try:
                if self.child.wait_for(self._completed, min(POLL_S, seconds_until(end_ns))):
                    self._take_completion()
                    return
            except ChildError as error:
                raise AcceleratorError.from_child("refused", error) from error
            if monotonic_ns() >= end_ns:
                raise AcceleratorError("hung", f"has not loaded its models within {deadline_s:g} s")

    def invoke(self, region: int, deadline_ns: int) -> list[Tensor]:
        """Return copies of the outputs for the input in a region. Raises ChildError when they do not come in time."""
        try:
            os.eventfd_write(self._requested, region + 1)
        except BlockingIOError as error:  # only after the process itself has filled the counter
            raise AcceleratorError("died", "its process misuses the shared counters") from error
        if not self.child.wait_for(self._completed, deadline_ns / NS_PER_S):
            raise AcceleratorError("hung", f"gave no answer within {deadline_ns / 1e6:.0f} ms")
        self._take_completion()
        return [output.copy() for output in self._outputs[self._regions[region].model]]

    def _take_completion(self) -> None:
        try:
            os.eventfd_read(self._completed)
        except BlockingIOError as error:  # only after the process itself has emptied the counter
            raise AcceleratorError("died", "its process misuses the shared counters") from error

    def __enter__(self) -> "AcceleratorProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()


def _output_offsets(models: Sequence[AcceleratorModel]) -> tuple[list[list[int]], int]:
    """Return where each output of each model begins, and where the last one ends, in bytes."""
    offsets: list[list[int]] = []
    size = 0
    for model in models:
        offsets.append([])
        for spec in model.outputs.values():
            offsets[-1].append(size)
            size += _aligned(spec.size * np.dtype(spec.dtype).itemsize)
    return offsets, size


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
