"""From a frame to the pixels a model wants: crop, resize, colour, on as few pixels as possible."""

from collections.abc import Sequence

import cv2
import numpy as np

from daemon.manifest import ImageSpec
from daemon.records import Frame, Plane, Tensor

_FULL_RANGE = np.clip((np.arange(256) - 16) * (255 / 219) + 0.5, 0, 255).astype(np.uint8)
"""From luma in limited range (16 to 235) to grey in full range."""

_FROM_BGR = {"rgb": cv2.COLOR_BGR2RGB, "bgr": None, "grey": cv2.COLOR_BGR2GRAY}
_FROM_I420 = {"rgb": cv2.COLOR_YUV2RGB_I420, "bgr": cv2.COLOR_YUV2BGR_I420}


def fit(frame: Frame, spec: ImageSpec) -> Tensor:
    """The frame as uint8 of shape (height, width, channels) of the model's input, before normalisation."""
    height, width, channels = spec.input.shape[1:]
    area = spec.preprocessing.resize == "area"
    colour = spec.preprocessing.colour
    if spec.preprocessing.fit == "crop":
        frame = _crop_to_shape(frame, width, height)
    inner_width, inner_height = width, height
    if spec.preprocessing.fit == "pad":
        inner_width, inner_height = _largest_inside(frame.size, (width, height))
    pixels = _resized(frame, inner_width, inner_height, colour, area)
    if (inner_width, inner_height) != (width, height):
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        padded = np.zeros((height, width, channels), np.uint8)
        padded[top : top + inner_height, left : left + inner_width] = pixels
        pixels = padded
    return pixels


def _crop_to_shape(frame: Frame, width: int, height: int) -> Frame:
    """The largest middle part of the frame with the shape of width x height, in whole grains."""
    frame_width, frame_height = frame.size
    left, right = _middle(frame_width, frame_height * width // height, frame.grain)
    top, bottom = _middle(frame_height, frame_width * height // width, frame.grain)
    return frame.part(left, top, right, bottom)


def _middle(size: int, wanted: int, grain: int) -> tuple[int, int]:
    """Where the middle `wanted` of `size` pixels begin and end; all of them where more are wanted."""
    length = max(grain, min(size, wanted) // grain * grain)
    begin = (size - length) // 2 // grain * grain
    return begin, begin + length


def _largest_inside(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape as `size` that fits into `box`."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))


def _resized(frame: Frame, width: int, height: int, colour: str, area: bool) -> Tensor:
    """The whole frame at the given size and in the given colour: resized first, then converted."""
    if len(frame.planes) == 1:
        pixels = _resize(frame.planes[0], width, height, area)
        code = _FROM_BGR[colour]
        pixels = pixels if code is None else cv2.cvtColor(pixels, code)
        return pixels.reshape(height, width, -1)
    luma, *chroma = frame.planes
    if colour == "grey":
        return cv2.LUT(_resize(luma, width, height, area), _FULL_RANGE).reshape(height, width, 1)
    if width % 2 or height % 2:
        # YUV 4:2:0 has no odd sizes: convert first
        whole = Frame((_converted(luma, chroma, cv2.COLOR_YUV2BGR_I420),), frame.captured_ns)
        return _resized(whole, width, height, colour, area)
    half = [_resize(plane, width // 2, height // 2, area) for plane in chroma]
    return _converted(_resize(luma, width, height, area), half, _FROM_I420[colour])


def _converted(luma: Tensor, chroma: Sequence[Tensor], code: int) -> Tensor:
    """The three planes as one picture of the colour that OpenCV's `code` stands for."""
    height, width = luma.shape
    i420 = np.empty((height * 3 // 2, width), np.uint8)
    i420[:height] = luma
    i420[height:] = np.concatenate([plane.reshape(-1) for plane in chroma]).reshape(height // 2, width)
    return cv2.cvtColor(i420, code)


def _resize(plane: Plane, width: int, height: int, area: bool) -> Tensor:
    if plane.shape[1] == width and plane.shape[0] == height:
        return plane
    shrinks = width <= plane.shape[1] and height <= plane.shape[0]
    method = cv2.INTER_AREA if area and shrinks else cv2.INTER_LINEAR
    return cv2.resize(plane, (width, height), interpolation=method)
