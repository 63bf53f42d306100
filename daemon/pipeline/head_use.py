"""Which outputs of the encoders a head uses, by trying numbers in their part of its input."""

from collections.abc import Iterator, Mapping

import numpy as np

from daemon.bundle.encoder_specs import EncoderSpec
from daemon.core.ports import Model

SEED = 1


def used_outputs(head: Model, specs: Mapping[str, EncoderSpec]) -> dict[str, list[str]]:
    """Return by encoder the outputs that change any of the head's shares.

    `specs` are in the order of the head's input. The head has the outputs scores and shares. Raises ModelError.
    """
    return {
        encoder: [output for output, columns in _columns(start, spec) if _is_used(head, columns)]
        for encoder, start, spec in _starts(specs)
    }


def _starts(specs: Mapping[str, EncoderSpec]) -> Iterator[tuple[str, int, EncoderSpec]]:
    """Yield each encoder with the beginning of its part of F."""
    start = 0
    for encoder, spec in specs.items():
        yield encoder, start, spec
        start += spec.size


def _columns(start: int, spec: EncoderSpec) -> Iterator[tuple[str, list[int]]]:
    """Yield each output with its columns of F. What `pool` appends repeats all outputs."""
    for output, tensor in spec.outputs.items():
        yield output, [
            column for block in range(start, start + spec.size, spec.output_size)
            for column in range(block, block + tensor.size)
        ]  # fmt: skip
        start += tensor.size


def _is_used(head: Model, columns: list[int]) -> bool:
    """Return whether any share changes when these columns do. All other columns are zeros."""
    head.input[...] = 0
    without = head.invoke()[1]
    # random numbers, because weights that are not zeros do not cancel them for every label
    head.input[0, columns] = np.random.default_rng(SEED).uniform(1, 2, len(columns))
    return not np.array_equal(without, head.invoke()[1])
