"""Handwritten digits, and random changes of hand, pen and picture quality: uint8 masks, white on black."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.splits import Part, part_of_picture

Mask = NDArray[np.uint8]


def load_digits(data: Path, part: Part) -> tuple[Mask, NDArray[np.int64]]:
    """The handwritten digits (n, 28, 28) of this part of the data, and their labels (n,)."""
    with np.load(data / "handwritten-digits.npz") as archive:
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    rows = [index for index in range(len(images)) if part_of_picture(index, len(images)) == part]
    return images[rows], labels[rows]


class Faded:
    """Removes a part of the PCA energy of pictures, so that only the leading components remain."""

    def __init__(self, images: Mask) -> None:
        """`images` (n, 28, 28) determine the components."""
        flat = images.reshape(len(images), -1).astype(np.float32)
        self._shape, self._mean = images.shape[1:], flat.mean(axis=0)
        centred = flat - self._mean
        variances, vectors = np.linalg.eigh(centred.T @ centred)
        self._components = vectors[:, ::-1].T
        self._cumulative = np.cumsum(variances[::-1]) / variances.sum()

    def count(self, share: float) -> int:
        """How many leading components hold `share` of the energy."""
        return int(np.searchsorted(self._cumulative, share)) + 1

    def of(self, image: Mask, share: float) -> Mask:
        """`image` (28, 28), reduced to the components that hold about `share` of the energy."""
        components = self._components[: self.count(share)]
        flat = image.reshape(-1) - self._mean
        restored = self._mean + (flat @ components.T) @ components
        return np.clip(restored, 0, 255).astype(np.uint8).reshape(self._shape)


def rewritten(image: Mask, rng: np.random.Generator) -> Mask:
    """The same digit as if by a trembling hand: a smooth random displacement, computed at twice the size."""
    size = 2 * image.shape[0]
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    strength = rng.uniform(0, 3.0)
    maps = []
    for base in (xs, ys):
        knots = rng.normal(0, strength, (5, 5)).astype(np.float32)
        maps.append((base + cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC) - 0.5) / 2)
    return cv2.remap(image, maps[0], maps[1], cv2.INTER_CUBIC)


def pen_changed(image: Mask, rng: np.random.Generator) -> Mask:
    """The digit with a thinner or thicker pen."""
    kind = rng.random()
    if kind < 0.5:
        return image
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    if kind > 0.8:
        return cv2.dilate(large, kernel, iterations=int(rng.integers(1, 3)))
    finer = cv2.erode(large, kernel, iterations=int(rng.integers(1, 4)))
    return finer if (finer > 128).sum() > 0.35 * (large > 128).sum() else large


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the ink."""
    level = min(64, int(mask.max()) // 2)
    rows, columns = np.flatnonzero(mask.max(axis=1) > level), np.flatnonzero(mask.max(axis=0) > level)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
