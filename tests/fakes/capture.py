"""A V4L2 device that gives numbered pictures."""

from collections.abc import Callable

import numpy as np

from daemon.records import Plane


class FakeCapture:
    """What V4l2Camera uses of cv2.VideoCapture: `good` pictures, then none; each read first calls `on_read`."""

    def __init__(self, *, good: int = 0, is_opened: bool = True, on_read: Callable[[], None] = lambda: None) -> None:
        self._good = good
        self._is_opened = is_opened
        self._on_read = on_read
        self.asked: dict[int, float] = {}
        self.reads = 0
        self.is_released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self._is_opened

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        self.asked[propId] = value
        return True

    def read(self) -> tuple[bool, Plane]:
        self._on_read()
        self.reads += 1
        if self.reads > self._good:
            return False, np.zeros(0, np.uint8)
        return True, np.full((48, 64, 3), self.reads, np.uint8)

    def release(self) -> None:
        self.is_released = True
