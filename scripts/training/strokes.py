"""Digits drawn with pen strokes, with random variation."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Points = Sequence[tuple[float, float]]

_TOP_LOOP = [(0.5, 0.5), (0.15, 0.3), (0.5, 0.0), (0.85, 0.28), (0.5, 0.5)]
_BOTTOM_LOOP = [(0.5, 0.5), (0.05, 0.75), (0.5, 1.0), (0.95, 0.75), (0.5, 0.5)]

# Pen strokes per digit and way of writing it: control points in a unit box, x to the right, y down.
SKELETONS: dict[int, list[list[Points]]] = {
    0: [
        [[(0.5, 0.0), (0.1, 0.2), (0.05, 0.65), (0.4, 1.0), (0.85, 0.8), (0.95, 0.3), (0.5, 0.0)]],
        [[(0.6, 0.03), (0.2, 0.1), (0.0, 0.5), (0.2, 0.92), (0.6, 0.98), (0.98, 0.55), (0.8, 0.1), (0.45, 0.0)]],
    ],
    1: [
        [[(0.5, 0.0), (0.5, 0.5), (0.5, 1.0)]],
        [[(0.25, 0.25), (0.4, 0.14), (0.55, 0.0)], [(0.55, 0.0), (0.54, 0.5), (0.52, 1.0)]],
        [[(0.25, 0.22), (0.55, 0.0)], [(0.55, 0.0), (0.55, 1.0)], [(0.25, 1.0), (0.85, 1.0)]],
    ],
    2: [
        [
            [(0.08, 0.25), (0.3, 0.02), (0.75, 0.05), (0.88, 0.32), (0.5, 0.65), (0.05, 1.0)],
            [(0.05, 1.0), (0.95, 0.98)],
        ],
        [
            [
                (0.1, 0.2),
                (0.45, 0.0),
                (0.85, 0.2),
                (0.7, 0.55),
                (0.25, 0.92),
                (0.08, 0.9),
                (0.2, 0.78),
                (0.5, 0.92),
                (0.95, 0.95),
            ],
        ],
    ],
    3: [
        [[(0.1, 0.12), (0.5, 0.0), (0.85, 0.2), (0.45, 0.46)], [(0.45, 0.46), (0.92, 0.68), (0.6, 0.98), (0.05, 0.88)]],
        [
            [(0.1, 0.02), (0.85, 0.02)],
            [(0.85, 0.02), (0.4, 0.4)],
            [(0.4, 0.4), (0.95, 0.65), (0.55, 1.0), (0.05, 0.88)],
        ],
    ],
    4: [
        [
            [(0.15, 0.02), (0.12, 0.3), (0.08, 0.55)],
            [(0.08, 0.55), (0.95, 0.52)],
            [(0.7, 0.1), (0.68, 0.55), (0.66, 1.0)],
        ],
        [[(0.65, 0.0), (0.02, 0.66)], [(0.02, 0.66), (0.98, 0.66)], [(0.65, 0.0), (0.65, 1.0)]],
    ],
    5: [
        [
            [(0.85, 0.02), (0.2, 0.03)],
            [(0.2, 0.03), (0.14, 0.43)],
            [(0.14, 0.43), (0.55, 0.36), (0.93, 0.66), (0.6, 0.98), (0.05, 0.9)],
        ],
        [[(0.9, 0.0), (0.3, 0.02), (0.15, 0.4), (0.6, 0.42), (0.85, 0.7), (0.5, 1.0), (0.05, 0.9)]],
    ],
    6: [
        [[(0.75, 0.02), (0.3, 0.3), (0.06, 0.7), (0.4, 1.0), (0.88, 0.8), (0.65, 0.52), (0.12, 0.7)]],
        [[(0.5, 0.0), (0.15, 0.45), (0.12, 0.85), (0.55, 1.0), (0.9, 0.75), (0.55, 0.55), (0.15, 0.8)]],
    ],
    7: [
        [[(0.05, 0.03), (0.95, 0.02)], [(0.95, 0.02), (0.6, 0.5), (0.35, 1.0)]],
        [[(0.05, 0.05), (0.92, 0.02)], [(0.92, 0.02), (0.6, 0.5), (0.38, 1.0)], [(0.3, 0.52), (0.85, 0.48)]],
    ],
    8: [
        [
            [
                (0.85, 0.15),
                (0.45, 0.0),
                (0.15, 0.22),
                (0.5, 0.5),
                (0.92, 0.78),
                (0.5, 1.0),
                (0.08, 0.76),
                (0.5, 0.48),
                (0.88, 0.18),
            ],
        ],
        [_TOP_LOOP, _BOTTOM_LOOP],
    ],
    9: [
        [[(0.85, 0.2), (0.45, 0.0), (0.1, 0.25), (0.4, 0.5), (0.85, 0.25)], [(0.85, 0.15), (0.82, 0.55), (0.72, 1.0)]],
        [
            [(0.88, 0.25), (0.5, 0.0), (0.1, 0.25), (0.5, 0.52), (0.88, 0.2), (0.85, 0.7), (0.5, 1.0), (0.15, 0.9)],
        ],
    ],
}

_MARGIN = 0.18


def draw_digit(digit: int, rng: np.random.Generator, size: int = 96) -> Mask:
    """One digit, white on black, as a uint8 mask (size, size) with soft edges."""
    variants = SKELETONS[digit]
    strokes = variants[rng.integers(len(variants))]
    return draw_strokes(strokes, rng, size, pen=rng.uniform(0.035, 0.13), width=rng.uniform(0.5, 0.85))


def draw_scribble(rng: np.random.Generator, size: int = 96) -> Mask:
    """Strokes without meaning: short curves, crosses, zigzags."""
    kind = rng.integers(3)
    if kind == 0:  # a wave of many turns
        xs = np.linspace(0, 1, rng.integers(7, 12))
        strokes = [list(zip(xs, np.where(np.arange(len(xs)) % 2, 0.25, 0.75), strict=True))]
    elif kind == 1:  # crosses and stars
        angles = rng.uniform(0, np.pi) + np.arange(rng.integers(2, 5)) * rng.uniform(0.6, 1.2)
        strokes = [
            [(0.5 - np.cos(a) / 2, 0.5 - np.sin(a) / 2), (0.5 + np.cos(a) / 2, 0.5 + np.sin(a) / 2)] for a in angles
        ]
    else:  # a tangle
        strokes = [[tuple(point) for point in rng.uniform(0, 1, (rng.integers(6, 12), 2))]]
    return draw_strokes(strokes, rng, size, pen=rng.uniform(0.035, 0.1), width=rng.uniform(0.5, 1.0))


def draw_strokes(strokes: Sequence[Points], rng: np.random.Generator, size: int, pen: float, width: float) -> Mask:
    """Strokes by a trembling hand. `pen` is the line's thickness and `width` the box's, relative to its height."""
    mask = np.zeros((size, size), np.uint8)
    inner = size * (1 - 2 * _MARGIN)
    slant = rng.normal(0, 0.1)
    shake = rng.normal(0, 0.022, (64, 2))
    joints: dict[tuple[float, float], int] = {}
    for stroke in strokes:
        points = []
        for point in stroke:
            # points where strokes meet share their displacement
            x, y = (
                np.asarray(point, float)
                + shake[joints.setdefault((float(point[0]), float(point[1])), len(joints)) % 64]
            )
            x = 0.5 + (x - 0.5) * width + slant * (0.5 - y)
            points.append((size * _MARGIN + x * inner, size * _MARGIN + y * inner))
        curve = _smooth(np.array(points))
        thickness = max(1, round(pen * inner))
        cv2.polylines(mask, [np.round(curve * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
    return mask


def _smooth(points: NDArray[np.float64], steps: int = 10) -> NDArray[np.float64]:
    """A Catmull-Rom curve through the points (n, 2)."""
    if len(points) < 3:
        return points
    padded = np.vstack((2 * points[0] - points[1], points, 2 * points[-1] - points[-2]))
    t = np.linspace(0, 1, steps)[:, np.newaxis]
    pieces = []
    for before, a, b, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(
            0.5
            * (
                2 * a
                + (b - before) * t
                + (2 * before - 5 * a + 4 * b - after) * t**2
                + (3 * (a - b) + after - before) * t**3
            )
        )
    return np.concatenate(pieces)
