"""The orientation that a file states for its pictures, and how a picture is turned upright."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Frame, Plane

# Codes of cv2.flip.
FLIP_COLUMNS, FLIP_ROWS, FLIP_BOTH = 1, 0, -1


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations: rows and columns are exchanged first, then columns and rows are reversed."""

    is_transposed: bool = False
    is_column_reversed: bool = False
    is_row_reversed: bool = False

    def turn(self, frame: Frame) -> Frame:
        """Return the frame as it is to be seen. Its planes are new, because a decoder may still read its own."""
        return replace(frame, content=tuple(self._turn_plane(plane) for plane in frame.planes))

    def _turn_plane(self, plane: Plane) -> Plane:
        turned = cv2.transpose(plane) if self.is_transposed else plane
        if self.is_column_reversed and self.is_row_reversed:
            turned = cv2.flip(turned, FLIP_BOTH)
        elif self.is_column_reversed or self.is_row_reversed:
            turned = cv2.flip(turned, FLIP_COLUMNS if self.is_column_reversed else FLIP_ROWS)
        return turned.astype(np.uint8, copy=False)


UPRIGHT = Orientation()


def orientation_of(matrix: NDArray[np.generic]) -> Orientation:
    """Return the orientation that is nearest to a display matrix of FFmpeg: (a, b, u, c, d, v, x, y, w).

    The pixel at (p, q) is seen at (a p + c q + x, b p + d q + y). A matrix without direction counts as upright.
    """
    a, b, _, c, d, *_ = matrix.tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def rotation_matrix(clockwise: float) -> NDArray[np.float64]:
    """Return the display matrix that turns a picture by this angle in degrees."""
    cosine, sine = math.cos(math.radians(clockwise)), math.sin(math.radians(clockwise))
    return np.array((cosine, sine, 0.0, -sine, cosine, 0.0, 0.0, 0.0, 1.0))
