"""Captures a V4L2 camera through OpenCV, in a process of its own, so that a driver that hangs takes nothing with it."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from daemon.core.timing import FrameRate, monotonic_ns
from daemon.runtime.child_main import Failed, RecordSender
from daemon.runtime.shared_ring import Part
from daemon.sources.capture.messages import MOST_PIXELS, Picture, capture_time

PATIENCE_S = 3600
"""How long OpenCV waits for a picture: the longest `stall_after_s` there is. When it is too long, the daemon says."""

BUFFERS = 2
"""One that the driver fills while we have the other: what waits in more of them would only grow old."""

POS_MSEC, WIDTH, HEIGHT, FPS, FOURCC, BUFFER_COUNT = 0, 3, 4, 5, 6, 38
"""OpenCV's numbers of a capture's properties (videoio.hpp)."""

MJPEG = float(int.from_bytes(b"MJPG", "little"))
"""Asked for along with a size: uncompressed, USB 2 carries 640x480 at 30 frames a second at most."""


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """Ask for a property; the driver takes the nearest it has."""

    def get(self, propId: int) -> float:  # noqa: N803
        """A property; POS_MSEC is the driver's time of the picture that was grabbed last."""

    def grab(self) -> bool:
        """Wait for the next picture."""

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the picture that was grabbed: BGR, uint8 (height, width, 3)."""


def watch(address: str, settings: str) -> None:
    """Send pictures to the inlet until killed. Raises Failed when the camera cannot be opened, or ends.

    `settings` is JSON: `device`, and `width`, `height`, `fps`, which may be null.
    """
    wanted = json.loads(settings)
    capture = _opened(wanted["device"])
    ask(capture, wanted)
    send_pictures(capture, RecordSender(address).send, wanted["fps"])


def _opened(device: int | str) -> Capture:
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(PATIENCE_S))  # read while it is imported
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise Failed("cannot be opened; it may be in use, or no camera, or closed to this user")
    return capture


def ask(capture: Capture, wanted: Mapping[str, float | None]) -> None:
    """Ask the camera for what is wanted; it takes the nearest it has."""
    width, height, fps = (wanted[name] for name in ("width", "height", "fps"))
    asked = {
        BUFFER_COUNT: BUFFERS,
        FOURCC: MJPEG if width and height else None,
        WIDTH: width,
        HEIGHT: height,
        FPS: fps,
    }
    for name, value in asked.items():
        if value is not None:
            capture.set(name, value)


def send_pictures(capture: Capture, send: Callable[..., None], fps: float | None) -> None:
    """Send at most `fps` pictures a second, those beyond undecoded. Raises Failed when there are no more."""
    rate = FrameRate(fps)
    while capture.grab():
        captured_ns = capture_time(capture.get(POS_MSEC), monotonic_ns())
        if rate.takes(captured_ns):
            send(*_record(*capture.retrieve(), captured_ns))
    raise Failed("stopped delivering")


def _record(is_good: bool, pixels: Any, captured_ns: int) -> tuple[Part, ...]:
    if not is_good:
        return (Picture(0, 0, captured_ns).header(),)
    height, width = pixels.shape[:2]
    if height * width > MOST_PIXELS:
        raise Failed(f"its pictures of {width}x{height} are too large; ask for a smaller width and height")
    return Picture(width, height, captured_ns).header(), memoryview(pixels).cast("B")
