"""Makes random items in several processes; the items do not depend on the number of processes."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]
Maker = Callable[[int, np.random.Generator], Arrays]

_CHUNK = 2_000
_PROCESSES = 2


def make_items(maker: Maker, count: int, seed: int) -> Arrays:
    """The arrays (n, ...) of `count` items by `maker(count, rng)`; `count` is a multiple of 2,000."""
    seeds = np.random.SeedSequence(seed).spawn(max(1, count // _CHUNK))
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_chunk, maker), seeds))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _chunk(maker: Maker, seed: np.random.SeedSequence) -> Arrays:
    return maker(_CHUNK, np.random.default_rng(seed))
