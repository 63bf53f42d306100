"""The gate of pictures: how much of a picture differs from the last one that was let through."""

import cv2
import numpy as np

from daemon.clock import NS_PER_S
from daemon.gates.hysteresis import Hysteresis
from daemon.gates_config import MotionConfig
from daemon.records import Frame, Plane

HALVINGS = 3
"""From pixels to cells 8 pixels wide. Halving three times takes every pixel in, and a third of the time of shrinking
once (640x480: 50 us against 146): OpenCV has a fast path for exactly two."""

DIFFERENCE = 8
"""Grey levels by which a cell must differ to count. A cell is the mean of 64 pixels, so that noise of 10 grey levels,
as of a camera at dusk, makes two cells differ by 1.8 (one standard deviation); a person is darker or brighter than
what is behind by 20 and more."""


class MotionGate:
    """Lets frames through while something moves. Used by one thread at a time.

    A frame is compared with the last one that was let through: what is held back looks like that one, and a slow change
    adds up until it opens the gate.
    """

    def __init__(self, config: MotionConfig) -> None:
        self._hysteresis = Hysteresis(config.open, config.close, round(config.hold_s * NS_PER_S))
        self._passed: Plane | None = None

    def passes(self, frame: Frame) -> bool:
        """Whether the encoder should have this frame."""
        cells = small_luma(frame)
        is_open = self._hysteresis.take(changed_part(cells, self._passed), frame.captured_ns)
        if is_open:
            self._passed = cells
        return is_open


def small_luma(frame: Frame) -> Plane:
    """The frame in grey, a cell for every 8x8 pixels: uint8 of shape (height // 8, width // 8).

    Pixels beyond the last whole cell are left out; a frame narrower or lower than a cell is halved less often.
    """
    plane = frame.planes[0]
    for _ in range(HALVINGS):
        height, width = plane.shape[0] // 2, plane.shape[1] // 2
        if not (height and width):
            break
        halved = cv2.resize(plane[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA)
        plane = halved.astype(np.uint8, copy=False)
    return plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def changed_part(cells: Plane, before: Plane | None) -> float:
    """The part of the cells that differ by more than DIFFERENCE: 0 to 1; all of them where the size is another."""
    if before is None or before.shape != cells.shape:
        return 1.0
    return int(np.count_nonzero(cv2.absdiff(cells, before) > DIFFERENCE)) / cells.size
