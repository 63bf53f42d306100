"""A camera of the machine's own, through V4L2."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

import cv2
import numpy as np
from cv2.typing import MatLike

from daemon.clock import monotonic_ns
from daemon.errors import SourceError
from daemon.ports import Deliver
from daemon.records import Frame, Plane
from daemon.sources.devices import list_cameras
from daemon.sources.picture import PicturePreparation
from daemon.sources.rate import FrameRate

MJPEG = float(cv2.VideoWriter.fourcc(*"MJPG"))
"""Asked for along with a size: uncompressed, USB 2 carries 640x480 at 30 frames a second at most."""


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool:  # noqa: N802
        """Whether the device was opened."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """Ask for a property; the driver takes the nearest it has."""

    def read(self) -> tuple[bool, MatLike]:
        """Wait for the next picture: BGR, uint8 (height, width, 3)."""

    def release(self) -> None:
        """Close the device."""


def _open(device: int | str) -> Capture:
    return cv2.VideoCapture(device, cv2.CAP_V4L2)


@dataclass
class V4l2Camera:
    """Delivers every frame of a V4L2 device, stamped when the read returns."""

    device: int | str
    picture: PicturePreparation
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    open_capture: Callable[[int | str], Capture] = field(default=_open)
    drift_ppm: float | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the camera is missing or stops delivering."""
        capture = self._opened()
        try:
            rate = FrameRate(self.fps)
            while not stop.is_set():
                is_good, pixels = capture.read()
                captured_ns = monotonic_ns()
                if not is_good:
                    raise SourceError(f"camera {self.device}: stopped delivering")
                if rate.takes(captured_ns):
                    plane: Plane = pixels.astype(np.uint8, copy=False)
                    deliver(self.picture.prepare(Frame((plane,), captured_ns)))
        finally:
            capture.release()

    def _opened(self) -> Capture:
        capture = self.open_capture(self.device)
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"camera {self.device}: {self._why_not()}")
        if self.width and self.height:
            capture.set(cv2.CAP_PROP_FOURCC, MJPEG)
        asked = {
            cv2.CAP_PROP_FRAME_WIDTH: self.width,
            cv2.CAP_PROP_FRAME_HEIGHT: self.height,
            cv2.CAP_PROP_FPS: self.fps,
        }
        for name, value in asked.items():
            if value is not None:
                capture.set(name, value)
        return capture

    def _why_not(self) -> str:
        path = Path(f"/dev/video{self.device}" if isinstance(self.device, int) else self.device)
        if path.exists():
            return "cannot be opened; it may be in use, or no camera, or closed to this user"
        present = ", ".join(camera.device for camera in list_cameras())
        return f"there is no {path}; cameras here: {present or 'none'}"
