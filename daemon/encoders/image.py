"""The image encoder: a frame to an embedding."""

import cv2
import numpy as np

from daemon.bundle.manifest import ImageSpec
from daemon.core.ports import Model
from daemon.core.records import Embedding, Frame, Modality, Plane, Tensor
from daemon.encoders.model_io import Embedder, quantize
from daemon.encoders.resize import (
    FULL_FROM_LIMITED,
    NOTHING,
    Size,
    convert,
    crop_to_shape,
    is_as_wanted,
    largest_inside,
    shrunk,
)

AS_THEY_ARE: Plane = np.arange(256, dtype=np.uint8)
"""The table that changes no pixel."""


def fit(frame: Frame, spec: ImageSpec) -> Tensor:
    """The frame as uint8 of shape (height, width, channels) of the model's input, before normalisation."""
    pixels = np.empty(spec.input.shape[1:], np.uint8)
    fitter = Fitter(spec, AS_THEY_ARE, pixels)
    fitter.take(frame)
    fitter.write()
    return pixels


class Fitter:
    """Fits frames into one model's input, in two steps. Its memory is used again and again, by one thread at a time."""

    def __init__(self, spec: ImageSpec, table: Tensor, target: Tensor) -> None:
        """`target` (height, width, channels) is written to and to nobody else's; `table` says with what for each pixel.

        `table` has 256 values of the target's dtype.
        """
        self._how = spec.preprocessing
        height, width, channels = target.shape
        self._box = (width, height)
        self._target = target if channels > 1 else target[..., 0]
        self._table, self._table_of_limited = table, table[FULL_FROM_LIMITED]
        self._is_identity = table.dtype == np.uint8 and bool((table == AS_THEY_ARE).all())
        self._free, self._taken, self._scratch, self._pixels = np.empty((4, height * width * 3), np.uint8)
        self._small = NOTHING
        self._padded_around: Size | None = None

    def take(self, frame: Frame) -> bool:
        """Make the frame small. Whether that gives another picture than the frame taken before."""
        how = self._how
        if how.fit == "crop":
            frame = crop_to_shape(frame, *self._box)
        size = largest_inside(frame.size, self._box) if how.fit == "pad" else self._box
        small = shrunk(frame, size, self._free, area=how.resize == "area", grey=how.colour == "grey")
        if small.is_same(self._small):
            return False
        self._free, self._taken = self._taken, self._free
        self._small = small
        return True

    def write(self) -> None:
        """Write the frame taken last into the target; one must have been taken."""
        small, inner = self._small, self._inner(self._small.size)
        if is_as_wanted(small, self._how.colour):
            is_limited = small.planes[0].ndim == 2 and not small.colours.is_full_range
            self._look_up(small.planes[0], inner, is_limited)
        elif self._is_identity:
            convert(small, self._how.colour, self._scratch, inner)
        else:
            pixels = self._pixels[: inner.size].reshape(inner.shape)
            convert(small, self._how.colour, self._scratch, pixels)
            cv2.LUT(pixels, self._table, inner)

    def _look_up(self, plane: Plane, inner: Tensor, is_limited: bool) -> None:
        if is_limited:
            cv2.LUT(plane, self._table_of_limited, inner)
        elif self._is_identity:
            np.copyto(inner, plane)
        else:
            cv2.LUT(plane, self._table, inner)

    def _inner(self, size: Size) -> Tensor:
        """The middle of the target, which the picture takes; around it is black, written when the size changes."""
        (width, height), (inner_width, inner_height) = self._box, size
        if size != self._padded_around:
            self._target[...] = self._table[0]
            self._padded_around = size
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        return self._target[top : top + inner_height, left : left + inner_width]


class ImageEncoder:
    """Fits a frame into the model's input and invokes it, if it differs from the one before. Used by one thread."""

    modality: Modality = "image"

    def __init__(self, spec: ImageSpec, model: Model) -> None:
        # of the whole process: a picture is resized sooner than OpenCV's own threads have woken up
        cv2.setNumThreads(1)
        preprocessing = spec.preprocessing
        pixels = (np.arange(256, dtype=np.float32) - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
        # every pixel has one of 256 values: normalising and quantizing is one look-up
        table = quantize(pixels, spec.input)
        self._fitter = Fitter(spec, table, model.input.reshape(spec.input.shape[1:]))
        self._embedder = Embedder(self.modality, model, spec.output, spec.transform)

    def encode(self, item: Frame) -> Embedding:
        """The embedding of one frame."""
        is_as_before = not self._fitter.take(item)
        return self._embedder.embed(is_as_before, self._fitter.write, item.captured_ns, item.captured_ns)
