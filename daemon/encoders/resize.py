"""Resizing of frames to the size of the model's input, and conversion to its colours afterwards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from daemon.core.records import Array, Colours, Frame, Plane, Tensor

# Width and height in pixels.
Size = tuple[int, int]

# The colours that OpenCV converts by itself, with chroma of half the size.
PLAIN = Colours()

# The distance of the bytes that are compared first. In two pictures of a real camera some of these bytes differ.
# The number is prime, so that the bytes do not all lie in one column.
PROBE_STEP = 997

# The share of red and of blue in luma. ITU-R BT.601-7, 2.5.1; ITU-R BT.709-6, 3.2.
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}

# The steps of limited range: luma from 16 up, chroma around 128. ITU-R BT.601-7, 2.5.3; ITU-R BT.709-6, 3.4.
LIMITED_LUMA, LIMITED_CHROMA = 219, 224

# The table from luma in limited range to grey in full range.
FULL_FROM_LIMITED = np.clip((np.arange(256) - 16) * (255 / LIMITED_LUMA) + 0.5, 0, 255).astype(np.uint8)

_FROM_BGR = {"rgb": cv2.COLOR_BGR2RGB, "grey": cv2.COLOR_BGR2GRAY}
_FROM_I420 = {"rgb": cv2.COLOR_YUV2RGB_I420, "bgr": cv2.COLOR_YUV2BGR_I420}


@dataclass(frozen=True, slots=True)
class ResizedPicture:
    """A picture of `size` in reused memory. `planes` are views of `memory`, one right after the other.

    One plane is luma (two axes) or BGR (three axes). Three planes are YUV.
    Chroma has either half the size of luma, as OpenCV's I420, or the same size.
    """

    size: Size
    memory: Plane
    planes: tuple[Plane, ...]
    colours: Colours

    @property
    def is_i420(self) -> bool:
        """Whether chroma has half the size of luma."""
        return len(self.planes) == 3 and self.planes[1].shape != self.planes[0].shape

    def is_same(self, other: "ResizedPicture") -> bool:
        """Return whether both pictures are equal in every bit."""
        ours, theirs = ([plane.shape for plane in picture.planes] for picture in (self, other))
        if (self.size, self.colours, ours) != (other.size, other.colours, theirs):
            return False
        if self.memory[::PROBE_STEP].tobytes() != other.memory[::PROBE_STEP].tobytes():
            return False
        return bool((self.memory == other.memory).all())


# Stands for the picture before the first one.
EMPTY = ResizedPicture((0, 0), np.empty(0, np.uint8), (), PLAIN)


def crop_to_shape(frame: Frame, width: int, height: int) -> Frame:
    """Return the largest middle part of the frame with the shape of width x height, in whole grains."""
    frame_width, frame_height = frame.size
    left, right = _middle(frame_width, frame_height * width // height, frame.grain)
    top, bottom = _middle(frame_height, frame_width * height // width, frame.grain)
    return frame.part(left, top, right, bottom)


def largest_inside(size: Size, box: Size) -> Size:
    """Return the largest size with the shape of `size` that fits into `box`."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))


def resize_frame(frame: Frame, size: Size, memory: Plane, *, area: bool, grey: bool) -> ResizedPicture:
    """Resize the frame into `memory`, which has three bytes for each pixel of `size`.

    With `grey`, a YUV frame of BT.601 gives its luma alone, because that luma equals the grey of BGR.
    """
    planes, is_plain = frame.planes, _is_plain_420(frame)
    if len(planes) == 3 and grey and frame.colours.matrix == "bt601":
        planes = planes[:1]
    elif is_plain and not _is_even(size):
        planes = (_to_bgr(planes),)
    colours = frame.colours if planes[0].ndim == 2 else PLAIN
    shapes = _target_shapes(planes, size, half_chroma=is_plain and _is_even(size))
    views = _views(memory, shapes)
    for plane, view in zip(planes, views, strict=True):
        _resize(plane, view, area)
    return ResizedPicture(size, memory[: sum(map(math.prod, shapes))], views, colours)


def has_target_colour(picture: ResizedPicture, colour: str) -> bool:
    """Return whether the picture is one plane in `colour`. Its luma may still be in limited range."""
    return len(picture.planes) == 1 and colour == ("grey" if picture.planes[0].ndim == 2 else "bgr")


def convert_colour(picture: ResizedPicture, colour: str, scratch: Tensor, out: Tensor) -> None:
    """Write the picture in another colour to `out`: uint8 (height, width, 3), grey without the last axis.

    `scratch` is work memory of three bytes for each pixel.
    """
    width, height = picture.size
    if len(picture.planes) == 1:
        cv2.cvtColor(picture.planes[0], _FROM_BGR[colour], out)
    elif picture.is_i420:
        cv2.cvtColor(picture.memory.reshape(height * 3 // 2, width), _FROM_I420[colour], out)
    else:
        merged = scratch[: height * width * 3].reshape(height, width, 3)
        cv2.merge(picture.planes, merged)
        cv2.transform(merged, _matrix(picture.colours, colour), out)


def rgb_from_yuv(colours: Colours) -> Array:
    """Return the 3 x 4 matrix from (Y, Cb, Cr, 1) in bytes to (R, G, B) in 0 to 255."""
    red, blue = WEIGHTS[colours.matrix]
    green = 1 - red - blue
    of_cb = np.array([0, -2 * blue * (1 - blue) / green, 2 * (1 - blue)])
    of_cr = np.array([2 * (1 - red), -2 * red * (1 - red) / green, 0])
    luma, chroma, black = (1.0, 1.0, 0) if colours.is_full_range else (255 / LIMITED_LUMA, 255 / LIMITED_CHROMA, 16)
    offset = -luma * black - chroma * 128 * (of_cb + of_cr)
    return np.stack((np.full(3, luma), chroma * of_cb, chroma * of_cr, offset), axis=1).astype(np.float32)


@lru_cache
def _matrix(colours: Colours, colour: str) -> Array:
    """Return the matrix from (Y, Cb, Cr, 1) to the channels of `colour`."""
    matrix = rgb_from_yuv(colours)
    red, blue = WEIGHTS["bt601"]  # OpenCV computes grey from BGR with these weights
    grey = np.array([[red, 1 - red - blue, blue]], np.float32) @ matrix
    return {"rgb": matrix, "bgr": np.ascontiguousarray(matrix[::-1]), "grey": grey}[colour]


def _middle(size: int, length: int, grain: int) -> tuple[int, int]:
    """Return begin and end of the middle `length` of `size` pixels, or of all pixels if there are fewer."""
    length = max(grain, min(size, length) // grain * grain)
    begin = (size - length) // 2 // grain * grain
    return begin, begin + length


def _target_shapes(planes: Sequence[Plane], size: Size, *, half_chroma: bool) -> list[tuple[int, ...]]:
    """Return the shapes of the resized planes."""
    width, height = size
    chroma = (height // 2, width // 2) if half_chroma else (height, width)
    return [(height, width, *planes[0].shape[2:]), *[chroma] * (len(planes) - 1)]


def _is_even(size: Size) -> bool:
    return size[0] % 2 == 0 and size[1] % 2 == 0


def _is_plain_420(frame: Frame) -> bool:
    luma, *chroma = frame.planes
    half = (luma.shape[0] // 2, luma.shape[1] // 2)
    return frame.colours == PLAIN and [plane.shape for plane in chroma] == [half, half]


def _to_bgr(planes: Sequence[Plane]) -> Plane:
    """Return plain YUV 4:2:0 as BGR of the same size."""
    height, width = planes[0].shape
    i420 = np.empty((height * 3 // 2, width), np.uint8)
    for plane, view in zip(planes, _views(i420.reshape(-1), [plane.shape for plane in planes]), strict=True):
        np.copyto(view, plane)
    return cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420).astype(np.uint8, copy=False)


def _views(memory: Plane, shapes: Sequence[tuple[int, ...]]) -> tuple[Plane, ...]:
    views, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        views.append(memory[begin:end].reshape(shape))
        begin = end
    return tuple(views)


def _resize(plane: Plane, view: Plane, area: bool) -> None:
    if plane.shape == view.shape:
        np.copyto(view, plane)
        return
    height, width = view.shape[:2]
    shrinks = width <= plane.shape[1] and height <= plane.shape[0]
    method = cv2.INTER_AREA if area and shrinks else cv2.INTER_LINEAR
    cv2.resize(plane, (width, height), view, interpolation=method)
