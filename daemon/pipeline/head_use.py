"""Which outputs of the encoders the heads use, by trying numbers in their part of its input."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from daemon.bundle.encoder_specs import EncoderSpec
from daemon.bundle.layout import columns_of
from daemon.core.ports import Model

SEED = 1


def used_outputs(heads: Sequence[Model], specs: Mapping[str, EncoderSpec]) -> dict[str, list[str]]:
    """Return by encoder the outputs that change any share of any head.

    `specs` are in the order of the heads' input. Each head has the outputs scores and shares. Raises ModelError.
    """
    return {
        encoder: [output for output, ranges in outputs.items() if _is_used(heads, list(chain.from_iterable(ranges)))]
        for encoder, outputs in columns_of(specs).items()
    }


def _is_used(heads: Sequence[Model], columns: list[int]) -> bool:
    """Return whether any share changes when these columns do. All other columns are zeros."""
    return any(_changes(head, columns) for head in heads)


def _changes(head: Model, columns: list[int]) -> bool:
    head.input[...] = 0
    without = head.invoke()[1]
    # random numbers, because weights that are not zeros do not cancel them for every label
    head.input[0, columns] = np.random.default_rng(SEED).uniform(1, 2, len(columns))
    return not np.array_equal(without, head.invoke()[1])
