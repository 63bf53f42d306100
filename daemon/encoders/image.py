"""The image encoder: from a frame to an embedding."""

import cv2
import numpy as np

from daemon.bundle.encoder_specs import ImageInput, ImageSpec
from daemon.core.ports import Model
from daemon.core.records import Embedding, Frame, Plane, Tensor
from daemon.encoders.model_io import Embedder, quantize
from daemon.encoders.resize import (
    EMPTY,
    FULL_FROM_LIMITED,
    Size,
    convert_colour,
    crop_to_shape,
    has_target_colour,
    largest_inside,
    resize_frame,
)

# The table that changes no pixel.
IDENTITY_TABLE: Plane = np.arange(256, dtype=np.uint8)


def fit(frame: Frame, spec: ImageInput) -> Tensor:
    """Return the frame as uint8 in the shape (height, width, channels) of the model's input, not normalised."""
    pixels = np.empty(spec.input.shape[1:], np.uint8)
    fitter = Fitter(spec, IDENTITY_TABLE, pixels)
    fitter.take(frame)
    fitter.write()
    return pixels


class Fitter:
    """Fits frames into the input of one model: `take` resizes, `write` converts and normalises.

    It reuses its memory. Used by one thread at a time.
    """

    def __init__(self, spec: ImageInput, table: Tensor, target: Tensor) -> None:
        """`target` has the shape (height, width, channels), and nothing else writes to it.

        `table` has a value in the dtype of `target` for each of the 256 values of a pixel.
        """
        self._preprocessing = spec.preprocessing
        height, width, channels = target.shape
        self._box = (width, height)
        self._target = target if channels > 1 else target[..., 0]
        self._table, self._table_of_limited = table, table[FULL_FROM_LIMITED]
        self._is_identity = table.dtype == np.uint8 and bool((table == IDENTITY_TABLE).all())
        self._free, self._used, self._scratch, self._pixels = np.empty((4, height * width * 3), np.uint8)
        self._picture = EMPTY
        self._padded_around: Size | None = None

    def take(self, frame: Frame) -> bool:
        """Resize the frame. Return whether the result differs from the one before."""
        how = self._preprocessing
        if how.fit == "crop":
            frame = crop_to_shape(frame, *self._box)
        size = largest_inside(frame.size, self._box) if how.fit == "pad" else self._box
        picture = resize_frame(frame, size, self._free, area=how.resize == "area", grey=how.colour == "grey")
        if picture.is_same(self._picture):
            return False
        self._free, self._used = self._used, self._free
        self._picture = picture
        return True

    def write(self) -> None:
        """Write the latest frame into the target. `take` must have been called before."""
        picture, inner, colour = self._picture, self._inner(self._picture.size), self._preprocessing.colour
        if has_target_colour(picture, colour):
            is_limited = picture.planes[0].ndim == 2 and not picture.colours.is_full_range
            self._look_up(picture.planes[0], inner, is_limited)
        elif self._is_identity:
            convert_colour(picture, colour, self._scratch, inner)
        else:
            pixels = self._pixels[: inner.size].reshape(inner.shape)
            convert_colour(picture, colour, self._scratch, pixels)
            cv2.LUT(pixels, self._table, inner)

    def _look_up(self, plane: Plane, inner: Tensor, is_limited: bool) -> None:
        if is_limited:
            cv2.LUT(plane, self._table_of_limited, inner)
        elif self._is_identity:
            np.copyto(inner, plane)
        else:
            cv2.LUT(plane, self._table, inner)

    def _inner(self, size: Size) -> Tensor:
        """Return the middle of the target, of the given size. Black is written around it when the size changes."""
        (width, height), (inner_width, inner_height) = self._box, size
        if size != self._padded_around:
            self._target[...] = self._table[0]
            self._padded_around = size
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        return self._target[top : top + inner_height, left : left + inner_width]


class ImageEncoder:
    """Invokes the model on a frame, if the resized picture has changed. Used by one thread at a time."""

    def __init__(self, name: str, spec: ImageSpec, model: Model) -> None:
        self.name = name
        # holds for the whole process: resizing takes less time than waking OpenCV's own threads
        cv2.setNumThreads(1)
        preprocessing = spec.preprocessing
        pixels = (np.arange(256, dtype=np.float32) - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
        # a pixel has only 256 values, so a table normalises and quantizes in one step
        table = quantize(pixels, spec.input)
        self._fitter = Fitter(spec, table, model.input.reshape(spec.input.shape[1:]))
        self._embedder = Embedder(name, model, spec.outputs)

    def encode(self, item: Frame) -> Embedding:
        """Return the embedding of one frame. Raises InputError where the frame cannot be converted, ModelError."""
        is_unchanged = not self._fitter.take(item)
        return self._embedder.embed(is_unchanged, self._fitter.write, item.captured_ns, item.captured_ns)
