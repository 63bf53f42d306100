"""A V4L2 device that delivers numbered pictures."""

import time
from collections.abc import Sequence

import numpy as np

from daemon.core.records import Plane
from daemon.sources.capture.camera import POS_MSEC

PERIOD_MS = 100.0


class FakeCapture:
    """Implements Capture: delivers one picture of each size, ten a second by its own clock.

    The value of all pixels is the picture's number modulo 256, from 1. A size of None is a picture that cannot be
    decoded.
    """

    def __init__(self, sizes: Sequence[tuple[int, int] | None], *, began_ms: float = 0.0) -> None:
        self._sizes = sizes
        self._began_ms = began_ms
        self.asked: dict[int, float] = {}
        self.grabbed = 0
        self.decoded: list[int] = []

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        self.asked[propId] = value
        return True

    def get(self, propId: int) -> float:  # noqa: N803
        assert propId == POS_MSEC
        return self._began_ms + self.grabbed * PERIOD_MS

    def grab(self) -> bool:
        self.grabbed += 1
        return self.grabbed <= len(self._sizes)

    def retrieve(self) -> tuple[bool, Plane | None]:
        self.decoded.append(self.grabbed)
        size = self._sizes[self.grabbed - 1]
        if size is None:
            return False, None
        width, height = size
        return True, np.full((height, width, 3), self.grabbed % 256, np.uint8)


def now_ms() -> float:
    """Return the present time on the clock of V4L2 drivers."""
    return time.monotonic() * 1000
