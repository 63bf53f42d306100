"""The picture of an example as JPEG. The one door of this room to OpenCV."""

import cv2
import numpy as np

from daemon.core.errors import InputError
from daemon.core.records import Plane
from daemon.teaching.stored import MAX_MEDIA_BYTES

# of the picture of a large camera; encoders see far less
MAX_PIXELS = 4096 * 4096

QUALITIES = (92, 80, 60)

# JPEG's markers of a frame, which has the size: SOF0 to SOF15, but for three that are none (DHT, JPG and DAC)
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_bytes(picture: Plane) -> bytes:
    """Return a picture (BGR) as JPEG of at most MAX_MEDIA_BYTES. Raises InputError when it cannot be one."""
    for quality in QUALITIES:
        done, found = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and len(found) <= MAX_MEDIA_BYTES:
            return found.tobytes()
    height, width = picture.shape[:2]
    raise InputError(f"the picture of {width} x {height} pixels has more than {MAX_MEDIA_BYTES} bytes as JPEG")


def picture_from(content: bytes) -> Plane:
    """Return the picture (BGR) that a JPEG holds. Raises InputError; nothing is decoded that would be too large."""
    width, height = _size(content)
    if not 1 <= width * height <= MAX_PIXELS:
        raise InputError(f"the picture has {width} x {height} pixels, at most {MAX_PIXELS} are read")
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise InputError("the picture cannot be decoded") from error
    if found is None:
        raise InputError("the picture cannot be decoded")
    return np.asarray(found, np.uint8)


def _size(content: bytes) -> tuple[int, int]:
    """Return width and height as the header of a JPEG tells them. Raises InputError."""
    if len(content) > MAX_MEDIA_BYTES or content[:2] != b"\xff\xd8":
        raise InputError(f"the picture is no JPEG of at most {MAX_MEDIA_BYTES} bytes")
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAME_MARKERS:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        # a fill byte, or a marker and its length
        at += 1 if marker == 0xFF else 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    raise InputError("the picture has no size: it is no JPEG, or it is cut off")
