"""Random items made by several processes, the same whatever their number."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labelled = tuple[NDArray[Any], NDArray[np.int64]]
Maker = Callable[[int, np.random.Generator], Labelled]

_CHUNK = 2_000
_PROCESSES = 2


def make_items(maker: Maker, count: int, seed: int) -> Labelled:
    """`count` items (n, ...) and labels (n,) by `maker(count, rng)`; `count` is a multiple of 2,000."""
    seeds = np.random.SeedSequence(seed).spawn(max(1, count // _CHUNK))
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_chunk, maker), seeds))
    return np.concatenate([items for items, _ in parts]), np.concatenate([labels for _, labels in parts])


def _chunk(maker: Maker, seed: np.random.SeedSequence) -> Labelled:
    return maker(_CHUNK, np.random.default_rng(seed))
