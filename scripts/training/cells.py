"""What each cell of the image network has to say about a frame with a digit in a known place. Pure functions.

The network looks at the frame at LEVELS sizes, each half the one before, and says at every eighth pixel of each which
digit is there, if it has about the height that one look takes in.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.specs import NONE

LEVELS = 3
STRIDE = 8
HEIGHTS = (13.0, 36.0)
"""Of a digit at the size it is seen in, in pixels: a cell must name it. The ranges of two levels overlap."""
MARGINAL_HEIGHTS = (9.5, 48.0)
NEAR, MARGINAL = 5.5, 13.0
"""Pixels between the cell and the digit's middle, to either side: nearer than the first the cell must name it; farther
than the second it must not. In between it may name it, or nothing."""


def cells(height: int, width: int, levels: int) -> NDArray[np.float32]:
    """Every cell as x, y of its centre in pixels of the frame, and the scale it is seen at: (cells, 3)."""
    rows = []
    for level in range(levels):
        scale = 2**level
        ys, xs = (list(_centres(size // scale)) for size in (height, width))
        rows += [((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, scale) for y in ys for x in xs]
    return np.array(rows, np.float32)


def _centres(size: int) -> Iterator[int]:
    """The middles, in pixels, of what three convolutions of size 3 and stride 2 see, padded as TensorFlow's `same`."""
    at, step = 0, 1
    for _ in range(3):
        at += 0 if size % 2 else step
        size, step = (size + 1) // 2, step * 2
    return (at + index * step for index in range(size))


def cell_labels(boxes: NDArray[np.int16], labels: NDArray[np.int64], places: NDArray[np.float32]) -> NDArray[np.int8]:
    """What each cell (n, c) has to say, for `boxes` (n, 4) with `labels` (n,) and cells (c, 3).

    It is the digit, NONE, or -1 - digit where either will do.
    """
    sides = boxes.astype(np.float32)[:, :, np.newaxis]
    x, y, scale = places.T
    away = np.maximum(np.abs((sides[:, 0] + sides[:, 2]) / 2 - x), np.abs((sides[:, 1] + sides[:, 3]) / 2 - y)) / scale
    height = (sides[:, 3] - sides[:, 1]) / scale
    named = (away <= NEAR) & (height >= HEIGHTS[0]) & (height <= HEIGHTS[1])
    marginal = (away <= MARGINAL) & (height >= MARGINAL_HEIGHTS[0]) & (height <= MARGINAL_HEIGHTS[1])
    digits = labels[:, np.newaxis]
    chosen = np.where(named, digits, np.where(marginal & (digits != NONE), -1 - digits, NONE))
    return chosen.astype(np.int8)
