"""What is done to every picture before anything else sees it: masks, then rotation, then the region."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.config.streams import PictureConfig, Region
from daemon.core.records import Frame, Plane

Mask = NDArray[np.bool_]
Shapes = list[tuple[int, ...]]

NO_COLOUR = 128
"""Of chroma, in either range."""

SUBPIXEL_BITS = 4
"""OpenCV takes corners in sixteenths of a pixel."""

EDGE_PIXELS = 3

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class PicturePreparation:
    """Applies a camera's masks, rotation and region, to those frames alone whose planes somebody asks for."""

    def __init__(self, config: PictureConfig) -> None:
        self._polygons = config.masks
        self._rotation = _ROTATIONS.get(config.rotate)
        self._region = None if config.region == Region() else config.region
        self._masks: tuple[Shapes, tuple[Mask, ...]] = ([], ())

    def prepare(self, frame: Frame) -> Frame:
        """The frame as it may be seen; the same frame where nothing is configured."""
        if self._polygons or self._rotation is not None or self._region is not None:
            return frame.deferred(self._prepared)
        return frame

    def _prepared(self, frame: Frame) -> Frame:
        planes = frame.planes
        if self._polygons:
            blacks = (frame.black, NO_COLOUR, NO_COLOUR)[: len(planes)]
            planes = tuple(map(_blacked, planes, self._masks_for(frame), blacks))
        if self._rotation is not None:
            planes = tuple(_rotated(plane, self._rotation) for plane in planes)
        changed = replace(frame, content=planes)
        return changed if self._region is None else crop(changed, self._region)

    def _masks_for(self, frame: Frame) -> tuple[Mask, ...]:
        # replaced as one: frames may be prepared by two threads at the same time
        shapes, masks = self._masks
        found = [plane.shape for plane in frame.planes]
        if shapes != found:
            masks = plane_masks(self._polygons, frame)
            self._masks = (found, masks)
        return masks


def _blacked(plane: Plane, mask: Mask, value: int) -> Plane:
    # a copy: the plane may be the decoder's own, which it goes on reading
    plane = plane.copy()
    plane[mask] = value
    return plane


def _rotated(plane: Plane, rotation: int) -> Plane:
    return cv2.rotate(plane, rotation).astype(np.uint8, copy=False)


def plane_masks(polygons: list[list[list[float]]], frame: Frame) -> tuple[Mask, ...]:
    """Per plane of the frame, which pixels the polygons touch: bool of the plane's height and width."""
    width, height = frame.size
    drawn = np.zeros((height, width), np.uint8)
    size = np.array([width, height])
    for polygon in polygons:
        # pixel n spans n to n + 1, its middle is where fillPoly counts
        corners = np.round((np.array(polygon) * size - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        # one by one: where two polygons of one call overlap, fillPoly leaves a hole
        cv2.fillPoly(drawn, [corners], 255, shift=SUBPIXEL_BITS)
        # fillPoly may leave out pixels at a slanting edge, and most of a sliver: better one too many than one too few
        cv2.polylines(drawn, [corners], True, 255, EDGE_PIXELS, shift=SUBPIXEL_BITS)
    mask: Mask = drawn.astype(np.bool_)
    return tuple(_shrunk(mask, *plane.shape[:2]) for plane in frame.planes)


def _shrunk(mask: Mask, rows: int, columns: int) -> Mask:
    """For a smaller plane: whether any of the pixels that one of its own covers is masked."""
    height, width = mask.shape
    return np.asarray(mask.reshape(rows, height // rows, columns, width // columns).any(axis=(1, 3)))


def crop(frame: Frame, region: Region) -> Frame:
    """A view of the region, of at least one pixel, in whole grains."""
    width, height = frame.size
    left, right = _span(region.left, region.right, width, frame.grain)
    top, bottom = _span(region.top, region.bottom, height, frame.grain)
    return frame.part(left, top, right, bottom)


def _span(begin: float, end: float, size: int, step: int) -> tuple[int, int]:
    """The pixels from `begin` to `end` of `size`, in whole steps and at least one."""
    first = min(round(begin * size) // step * step, size - step)
    last = min(round(end * size) // step * step, size)
    return first, max(last, first + step)
