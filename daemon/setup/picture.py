"""One picture of a camera, as the node would see it."""

import numpy as np

from daemon.config.streams import CameraConfig
from daemon.core.errors import InputError
from daemon.core.records import Frame
from daemon.core.text import redact_url
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.history.snapshots import jpeg_of
from daemon.setup.capture import Capture, source_of
from daemon.setup.found import OnePicture, SearchFailed

# a camera's first pictures are dark: it sets its exposure meanwhile
SETTLE_S = 1.0


def one_picture(camera: CameraConfig, timeout_s: float, settle_s: float = SETTLE_S) -> OnePicture:
    """Return the picture that the camera takes `settle_s` after its first one, which comes within `timeout_s`.

    Masks, rotation and region are applied. Raises SearchFailed when the camera does not open, or sends none in time.
    """
    name = f"camera {redact_url(str(camera.device))}"
    with Capture(source_of(camera, None, None)) as capture:
        frame = capture.take(timeout_s)
        if not isinstance(frame, Frame):
            raise SearchFailed(f"{name}: sends no picture within {timeout_s:g} s")
        settled_ns = monotonic_ns() + round(settle_s * NS_PER_S)
        while (rest_s := seconds_until(settled_ns)) and (later := _take(capture, rest_s)) is not None:
            frame = later
        width, height = frame.size
        try:
            return OnePicture(jpeg_of(frame), width, height, brightness_of(frame))
        except InputError as error:
            raise SearchFailed(f"{name}: {error}") from error


def brightness_of(frame: Frame) -> float:
    """Return the mean luma of a picture, from 0 (black) to 1 (white)."""
    plane = frame.planes[0]
    mean = float(np.mean(plane))
    if len(frame.planes) == 1 or frame.colours.is_full_range:
        return mean / 255
    return min(1.0, max(0.0, (mean - 16) / 219))


def _take(capture: Capture, timeout_s: float) -> Frame | None:
    """Return the next picture in time; None: none came. A file may have ended."""
    try:
        captured = capture.take(timeout_s)
    except SearchFailed:
        return None
    return captured if isinstance(captured, Frame) else None
