"""Clutter in a scene: furniture, piles of objects, sheets of paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

# A picture (height, width) of 0 to 255, or ink of 0 to 1.
Mask = NDArray[np.float32]
# Left, top, right, bottom.
Box = tuple[int, int, int, int]
# Largest angle of a narrow shape from level. A narrow shape that stands upright could be read as a 1.
LYING_DEGREES = 40.0


def add_shapes(frame: Mask, rng: np.random.Generator, keep_free: Box | None = None) -> None:
    """Draw furniture into `frame`: blocks, discs, bars, edges. The box `keep_free` stays unchanged."""
    before = frame.copy()
    height, width = frame.shape
    for _ in range(rng.integers(1, 8)):
        tone = float(rng.uniform(0, 255))
        x, y = int(rng.integers(-20, width + 20)), int(rng.integers(-20, height + 20))
        kind = rng.random()
        if kind < 0.4:
            wide = int(rng.integers(5, 90))
            high = int(rng.integers(5, min(90, 2 * wide)))
            cv2.rectangle(frame, (x, y), (x + wide, y + high), tone, -1)
        elif kind < 0.65:
            axes = tuple(int(n) for n in rng.integers(4, 40, 2))
            turn = _lying(rng) + (90 if axes[1] > axes[0] else 0)
            cv2.ellipse(frame, (x, y), axes, turn, 0, 360, tone, -1, cv2.LINE_AA)
        else:
            cv2.line(frame, *bar(width, height, rng), tone, int(rng.integers(1, 7)), cv2.LINE_AA)
    _restore(frame, before, keep_free, rng)


def add_pile(frame: Mask, rng: np.random.Generator, keep_free: Box | None = None) -> None:
    """Draw a pile of shapes into `frame`, many more small than large. The box `keep_free` stays unchanged."""
    before = frame.copy()
    height, width = frame.shape
    count = int(np.exp(rng.uniform(np.log(8), np.log(90))))
    sizes = np.exp(rng.uniform(np.log(3), np.log(height * rng.uniform(0.3, 0.8)), count))
    spread, tone = rng.uniform(20, 90), rng.uniform(40, 215)
    for size in sorted(sizes, reverse=rng.random() < 0.7):
        middle = rng.uniform((0, 0), (width, height))
        narrow = np.exp(rng.uniform(np.log(0.12), 0))
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        round_about = np.stack((np.cos(angles), np.sin(angles) * narrow), axis=1) * size / 2
        turn = np.deg2rad(_lying(rng)) if narrow < 0.5 else rng.uniform(0, np.pi)
        turned = round_about @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        grey = float(np.clip(rng.normal(tone, spread), 0, 255))
        if rng.random() < 0.4:
            axes = (max(1, round(size / 2)), max(1, round(size * narrow / 2)))
            cv2.ellipse(frame, tuple(np.int32(middle).tolist()), axes, np.rad2deg(turn), 0, 360, grey, -1, cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(frame, cv2.convexHull((middle + turned).astype(np.int32)), grey, cv2.LINE_AA)
    _restore(frame, before, keep_free, rng)


def add_sheet(frame: Mask, rng: np.random.Generator, box: Box) -> None:
    """Draw a note or plate around the box of the digit into `frame`."""
    left, top, right, bottom = box
    margins = rng.integers(4, 40, 4)
    corners = np.array(
        [
            [left - margins[0], top - margins[1]],
            [right + margins[2], top - margins[1]],
            [right + margins[2], bottom + margins[3]],
            [left - margins[0], bottom + margins[3]],
        ]
    ) + rng.integers(-3, 4, (4, 2))
    cv2.fillConvexPoly(frame, corners.astype(np.int32), float(rng.uniform(0, 255)), cv2.LINE_AA)


def bar(width: int, height: int, rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
    """The two ends of a bar that lies flat or crosses the whole picture."""
    # a shorter bar that stands upright would look like a 1
    middle = rng.uniform((0, 0), (width, height))
    is_lying = rng.random() < 0.5
    turn = np.deg2rad(_lying(rng) if is_lying else rng.uniform(0, 180))
    half = np.array([np.cos(turn), np.sin(turn)]) * (rng.uniform(3, width / 2) if is_lying else width + height)
    start, end = np.int32(middle - half).tolist(), np.int32(middle + half).tolist()
    return (start[0], start[1]), (end[0], end[1])


def _lying(rng: np.random.Generator) -> float:
    """A random angle in degrees at which nothing long looks like a 1. A written 1 leans at most about 40 degrees."""
    return float(rng.uniform(-LYING_DEGREES, LYING_DEGREES))


def _restore(frame: Mask, before: Mask, free: Box | None, rng: np.random.Generator) -> None:
    """Restore the box `free`, and a small margin around it, from `before`."""
    if free:
        left, top, right, bottom = free
        margin = int(rng.integers(2, 8))
        part = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        frame[part] = before[part]
