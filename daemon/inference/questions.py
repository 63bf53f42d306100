"""The inputs of the models on one accelerator, in memory that its processes can read and only this one can write."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daemon.records import Tensor
from daemon.runtime.child import memory_to_read

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


class Questions:
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
        descriptor, memory = memory_to_read(size)
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
