"""The program that captures a V4L2 camera through OpenCV, in a process of its own."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from daemon.core.timing import FrameRate, monotonic_ns
from daemon.runtime.child_main import Failed, RecordSender
from daemon.runtime.shared_ring import Part
from daemon.sources.capture.messages import MAX_PIXELS, Picture, capture_time

# How long OpenCV waits for a picture: the maximum of `stall_after_s`. The daemon reports a stall much earlier.
OPENCV_TIMEOUT_S = 3600

# The driver fills one buffer while the other is read. In more buffers pictures would only grow old.
BUFFERS = 2

# OpenCV's numbers of the properties of a capture (videoio.hpp).
POS_MSEC, WIDTH, HEIGHT, FPS, FOURCC, BUFFER_COUNT = 0, 3, 4, 5, 6, 38

# Requested together with a size. Uncompressed, USB 2 carries at most 640x480 at 30 frames a second.
MJPEG = float(int.from_bytes(b"MJPG", "little"))


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """Request a value for a property. The driver takes the nearest that it supports."""

    def get(self, propId: int) -> float:  # noqa: N803
        """Return a property. POS_MSEC is the driver's time of the latest grabbed picture."""

    def grab(self) -> bool:
        """Wait for the next picture. Return whether there is one."""

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the grabbed picture: BGR, uint8 (height, width, 3)."""


def capture_camera(address: str, settings: str) -> None:
    """Send pictures to the inlet at `address` until killed. Raises Failed when the camera does not open, or ends.

    `settings` is JSON: `device`, and `width`, `height`, `fps`, which may be null.
    """
    requested = json.loads(settings)
    capture = _open(requested["device"])
    configure(capture, requested)
    send_pictures(capture, RecordSender(address).send, requested["fps"])


def configure(capture: Capture, requested: Mapping[str, float | None]) -> None:
    """Request width, height and fps from the camera. It takes the nearest that it supports."""
    width, height, fps = (requested[name] for name in ("width", "height", "fps"))
    properties = {
        BUFFER_COUNT: BUFFERS,
        FOURCC: MJPEG if width and height else None,
        WIDTH: width,
        HEIGHT: height,
        FPS: fps,
    }
    for name, value in properties.items():
        if value is not None:
            capture.set(name, value)


def send_pictures(capture: Capture, send: Callable[..., None], fps: float | None) -> None:
    """Send at most `fps` pictures a second. Others are not decoded. Raises Failed when the camera ends."""
    rate = FrameRate(fps)
    while capture.grab():
        captured_ns = capture_time(capture.get(POS_MSEC), monotonic_ns())
        if rate.takes(captured_ns):
            send(*_record(*capture.retrieve(), captured_ns))
    raise Failed("stopped delivering")


def _open(device: int | str) -> Capture:
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(OPENCV_TIMEOUT_S))  # read when cv2 is imported
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise Failed("cannot be opened: another program uses it, it is no camera, or this user has no access")
    return capture


def _record(is_good: bool, pixels: Any, captured_ns: int) -> tuple[Part, ...]:
    if not is_good:
        return (Picture(0, 0, captured_ns).header(),)
    height, width = pixels.shape[:2]
    if height * width > MAX_PIXELS:
        raise Failed(f"its pictures of {width}x{height} are too large: set a smaller width and height")
    return Picture(width, height, captured_ns).header(), memoryview(pixels).cast("B")
