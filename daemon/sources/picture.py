"""The preparation of every picture before its use: masks, then rotation, then the region."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.config.streams import PictureConfig, Region
from daemon.core.records import Frame, Plane

Mask = NDArray[np.bool_]
Shapes = list[tuple[int, ...]]

# The chroma of grey, in limited and in full range.
GREY_CHROMA = 128

# OpenCV takes corners in sixteenths of a pixel.
SUBPIXEL_BITS = 4

# The width of the line that is drawn along the edge of a mask.
EDGE_PIXELS = 3

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class PicturePreparation:
    """Applies masks, rotation and region of a camera to its frames, once the planes of a frame are used."""

    def __init__(self, config: PictureConfig) -> None:
        self._polygons = config.masks
        self._rotation = _ROTATIONS.get(config.rotate)
        self._region = None if config.region == Region() else config.region
        self._masks: tuple[Shapes, tuple[Mask, ...]] = ([], ())

    @property
    def changes_nothing(self) -> bool:
        """Whether nothing is configured."""
        return not self._polygons and self._rotation is None and self._region is None

    def prepare(self, frame: Frame) -> Frame:
        """Return the prepared frame, or the same frame where nothing is configured."""
        return frame if self.changes_nothing else frame.deferred(self._apply)

    def _apply(self, frame: Frame) -> Frame:
        planes = frame.planes
        if self._polygons:
            blacks = (frame.black, GREY_CHROMA, GREY_CHROMA)[: len(planes)]
            planes = tuple(map(_blacken, planes, self._masks_for(frame), blacks))
        if self._rotation is not None:
            planes = tuple(_rotate(plane, self._rotation) for plane in planes)
        changed = replace(frame, content=planes)
        return changed if self._region is None else crop(changed, self._region)

    def _masks_for(self, frame: Frame) -> tuple[Mask, ...]:
        # shapes and masks are replaced together, because two threads may prepare frames at the same time
        shapes, masks = self._masks
        frame_shapes = [plane.shape for plane in frame.planes]
        if shapes != frame_shapes:
            masks = plane_masks(self._polygons, frame)
            self._masks = (frame_shapes, masks)
        return masks


def plane_masks(polygons: list[list[list[float]]], frame: Frame) -> tuple[Mask, ...]:
    """Return for each plane of the frame which pixels the polygons touch: bool (height, width)."""
    width, height = frame.size
    drawn = np.zeros((height, width), np.uint8)
    size = np.array([width, height])
    for polygon in polygons:
        # pixel n spans n to n + 1, and fillPoly takes the middle of pixels
        corners = np.round((np.array(polygon) * size - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        # one call for each polygon, because fillPoly leaves a hole where two polygons of a call overlap
        cv2.fillPoly(drawn, [corners], 255, shift=SUBPIXEL_BITS)
        # fillPoly may leave out pixels at a slanting edge, and most of a thin mask, so the edge is drawn too
        cv2.polylines(drawn, [corners], True, 255, EDGE_PIXELS, shift=SUBPIXEL_BITS)
    mask: Mask = drawn.astype(np.bool_)
    return tuple(_shrink_mask(mask, *plane.shape[:2]) for plane in frame.planes)


def crop(frame: Frame, region: Region) -> Frame:
    """Return a view of the region, of at least one pixel, in whole grains."""
    width, height = frame.size
    left, right = _span(region.left, region.right, width, frame.grain)
    top, bottom = _span(region.top, region.bottom, height, frame.grain)
    return frame.part(left, top, right, bottom)


def _blacken(plane: Plane, mask: Mask, value: int) -> Plane:
    # a copy, because the decoder may still read its own plane
    plane = plane.copy()
    plane[mask] = value
    return plane


def _rotate(plane: Plane, rotation: int) -> Plane:
    return cv2.rotate(plane, rotation).astype(np.uint8, copy=False)


def _shrink_mask(mask: Mask, rows: int, columns: int) -> Mask:
    """Return the mask at the size of a smaller plane. A pixel is masked if any pixel that it covers is."""
    height, width = mask.shape
    return np.asarray(mask.reshape(rows, height // rows, columns, width // columns).any(axis=(1, 3)))


def _span(begin: float, end: float, size: int, step: int) -> tuple[int, int]:
    """Return the first pixel and the end of a span of `size`, in whole steps and at least one."""
    first = min(round(begin * size) // step * step, size - step)
    last = min(round(end * size) // step * step, size)
    return first, max(last, first + step)
