"""Frames made as small as the model's input wants them, before anything else is done to their pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from daemon.encoders.geometry import Size
from daemon.records import Colours, Frame, Plane

PLAIN = Colours()
"""The colours that OpenCV converts by itself, from chroma of half the size."""

PROBE_STEP = 997
"""Every so many bytes are compared first, all over the picture: of two pictures of a real camera some differ. Prime, so
that they do not all lie in one column."""


@dataclass(frozen=True, slots=True)
class Small:
    """A picture of `size` in memory that is used again; `planes` are views of `memory`, one right after the other.

    One plane is luma, of two axes, or BGR. Three are YUV: with chroma of half the size, as OpenCV's I420, or all alike.
    """

    size: Size
    memory: Plane
    planes: tuple[Plane, ...]
    colours: Colours

    @property
    def is_i420(self) -> bool:
        """Whether chroma has half the size."""
        return len(self.planes) == 3 and self.planes[1].shape != self.planes[0].shape

    def is_same(self, other: "Small") -> bool:
        """Whether both are the same picture, to the last bit."""
        ours, theirs = ([plane.shape for plane in small.planes] for small in (self, other))
        if (self.size, self.colours, ours) != (other.size, other.colours, theirs):
            return False
        if self.memory[::PROBE_STEP].tobytes() != other.memory[::PROBE_STEP].tobytes():
            return False
        return bool((self.memory == other.memory).all())


NOTHING = Small((0, 0), np.empty(0, np.uint8), (), PLAIN)
"""Before there is a picture."""


def shrunk(frame: Frame, size: Size, memory: Plane, *, area: bool, grey: bool) -> Small:
    """The whole frame, resized into `memory`, which has room for three bytes a pixel.

    Where `grey`, only luma of YUV is taken if it is grey as BGR would give it: if its matrix is BT.601's.
    """
    planes, is_plain = frame.planes, _is_plain_420(frame)
    if len(planes) == 3 and grey and frame.colours.matrix == "bt601":
        planes = planes[:1]
    elif is_plain and not _is_even(size):
        planes = (_whole(planes),)
    colours = frame.colours if planes[0].ndim == 2 else PLAIN
    shapes = _shapes_of(planes, size, halves=is_plain and _is_even(size))
    views = _views(memory, shapes)
    for plane, view in zip(planes, views, strict=True):
        _resize(plane, view, area)
    return Small(size, memory[: sum(map(math.prod, shapes))], views, colours)


def _shapes_of(planes: Sequence[Plane], size: Size, *, halves: bool) -> list[tuple[int, ...]]:
    """What the planes become; chroma gets half the size where that is wanted, else the size of luma."""
    width, height = size
    chroma = (height // 2, width // 2) if halves else (height, width)
    return [(height, width, *planes[0].shape[2:]), *[chroma] * (len(planes) - 1)]


def _is_even(size: Size) -> bool:
    return size[0] % 2 == 0 and size[1] % 2 == 0


def _is_plain_420(frame: Frame) -> bool:
    luma, *chroma = frame.planes
    half = (luma.shape[0] // 2, luma.shape[1] // 2)
    return frame.colours == PLAIN and [plane.shape for plane in chroma] == [half, half]


def _whole(planes: Sequence[Plane]) -> Plane:
    """Plain YUV 4:2:0 as BGR, at its full size: it has no odd sizes."""
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
