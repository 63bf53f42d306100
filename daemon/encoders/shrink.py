"""Small copies of frames, for what keeps pictures instead of encoding them at once."""

import math

import cv2
import numpy as np

from daemon.core.records import Frame, Plane
from daemon.encoders.resize import Size, convert_colour, has_target_colour, resize_frame


def shrunk(frame: Frame, least: Size) -> Frame:
    """Return a small copy with the same shape and colours that covers `least`: width and height.

    A frame that does not cover it keeps its size. The planes are new, because a decoder may reuse those of the frame.
    Raises InputError when the frame cannot be converted.
    """
    planes = frame.planes
    width, height = _covering(frame.size, least, frame.grain)
    first = planes[0].shape
    sizes = [(width * plane.shape[1] // first[1], height * plane.shape[0] // first[0]) for plane in planes]
    content = tuple(_resized(plane, size) for plane, size in zip(planes, sizes, strict=True))
    return Frame(content, frame.captured_ns, frame.colours, frame.delay_ns)


def to_bgr(frame: Frame) -> Plane:
    """Return the picture as BGR: uint8 of shape (height, width, 3)."""
    width, height = frame.size
    picture = resize_frame(frame, frame.size, np.empty(height * width * 3, np.uint8), area=False, grey=False)
    if has_target_colour(picture, "bgr"):
        return picture.planes[0]
    pixels: Plane = np.empty((height, width, 3), np.uint8)
    convert_colour(picture, "bgr", np.empty(height * width * 3, np.uint8), pixels)
    return pixels


def _covering(size: Size, least: Size, grain: int) -> Size:
    """Return a size with about the same shape, in whole grains, that covers `least`; at most `size`."""
    scale = max(least[0] / size[0], least[1] / size[1])
    if scale >= 1:
        return size
    # what is shrunk by a whole number gives nearly the embedding of the large picture, whatever its encoder does
    scale = 1 / math.floor(1 / scale) if scale <= 1 / 2 else scale
    width, height = (min(side, math.ceil(side * scale / grain) * grain) for side in size)
    return width, height


def _resized(plane: Plane, size: Size) -> Plane:
    if (plane.shape[1], plane.shape[0]) == size:
        return np.array(plane)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
