"""The expected answer of each cell of the image network, for a frame with a digit at a known position. Pure functions.

The network looks at the frame at LEVELS sizes; each is half the one before. At every eighth pixel of each size one cell
says which digit is there. A cell answers only for digits whose height is in its range.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.specs import NONE

LEVELS = 3
STRIDE = 8
# Heights, in pixels of the size that the cell looks at, at which a cell must name the digit. The ranges of two levels
# overlap.
HEIGHTS = (13.0, 36.0)
MARGINAL_HEIGHTS = (9.5, 48.0)
# Distance in pixels between the cell and the digit's middle, horizontally or vertically. Up to NEAR the cell must name
# the digit, beyond MARGINAL it must not. In between both answers are accepted.
NEAR, MARGINAL = 5.5, 13.0


def cells(height: int, width: int, levels: int) -> NDArray[np.float32]:
    """All cells (cells, 3): x and y of the centre in pixels of the frame, and the scale at which the cell looks."""
    rows = []
    for level in range(levels):
        scale = 2**level
        ys, xs = (list(_centres(size // scale)) for size in (height, width))
        rows += [((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, scale) for y in ys for x in xs]
    return np.array(rows, np.float32)


def _centres(size: int) -> Iterator[int]:
    """The centres, in pixels, of the receptive fields of the network's first three convolutions.

    They have size 3 and stride 2, with TensorFlow's `same` padding.
    """
    at, step = 0, 1
    for _ in range(3):
        at += 0 if size % 2 else step
        size, step = (size + 1) // 2, step * 2
    return (at + index * step for index in range(size))


def cell_labels(
    boxes: NDArray[np.int16], labels: NDArray[np.int64], positions: NDArray[np.float32]
) -> NDArray[np.int8]:
    """The expected answer of each cell (n, c), for `boxes` (n, 4) with `labels` (n,) and cells (c, 3).

    It is the digit, NONE, or -1 - digit where both are accepted.
    """
    sides = boxes.astype(np.float32)[:, :, np.newaxis]
    x, y, scale = positions.T
    away = np.maximum(np.abs((sides[:, 0] + sides[:, 2]) / 2 - x), np.abs((sides[:, 1] + sides[:, 3]) / 2 - y)) / scale
    height = (sides[:, 3] - sides[:, 1]) / scale
    named = (away <= NEAR) & (height >= HEIGHTS[0]) & (height <= HEIGHTS[1])
    marginal = (away <= MARGINAL) & (height >= MARGINAL_HEIGHTS[0]) & (height <= MARGINAL_HEIGHTS[1])
    digits = labels[:, np.newaxis]
    chosen = np.where(named, digits, np.where(marginal & (digits != NONE), -1 - digits, NONE))
    return chosen.astype(np.int8)
