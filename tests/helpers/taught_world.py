"""Draws what a node is taught: moments of presses and background with vectors of known classes."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daemon.core.records import Array, Modality
from daemon.teaching.records import BackgroundMoment, Example, StoredMoment
from daemon.teaching.rows import LabelToFit, TrainingSet

SIZES: Mapping[str, int] = {"scene": 12, "sound": 16}
MODALITIES: Mapping[str, Modality] = {"scene": "image", "sound": "audio"}
HOUR_S = 3600.0


class World:
    """Draws vectors. Each class has a direction of its own in each encoder, which does not depend on what was drawn."""

    def __init__(self, seed: int = 1, noise: float = 0.3) -> None:
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self._directions: dict[tuple[str, str], Array] = {}

    def vectors(self, senses: Mapping[str, str]) -> dict[str, Array]:
        """Vectors of a moment; `senses` has the class of each encoder that is present."""
        return {encoder: self._vector(encoder, of) for encoder, of in senses.items()}

    def example(
        self, name: str, label: str, moments: Sequence[Mapping[str, str]], stream: str = "hall", taken_s: float = 0.0
    ) -> Example:
        """A press with these moments, half a second apart."""
        stored = [StoredMoment(500 * place, self.vectors(senses)) for place, senses in enumerate(moments)]
        return Example(name, label, stream, taken_s, "press", {}, stored)

    def background(self, count: int, senses: Mapping[str, str], stream: str = "hall") -> list[BackgroundMoment]:
        """Moments of a place, four an hour."""
        return [BackgroundMoment(stream, place * HOUR_S / 4, {}, self.vectors(senses)) for place in range(count)]

    def direction(self, encoder: str, of: str) -> Array:
        """The mean vector of a class."""
        if (encoder, of) not in self._directions:
            drawn = np.random.default_rng(zlib.crc32(f"{encoder}/{of}".encode())).normal(0, 1, SIZES[encoder])
            self._directions[encoder, of] = drawn.astype(np.float32)
        return self._directions[encoder, of]

    def _vector(self, encoder: str, of: str) -> Array:
        noise = self._rng.normal(0, self._noise, SIZES[encoder]).astype(np.float32)
        return np.asarray(self.direction(encoder, of) + noise)


def training_set(
    names: Sequence[str], examples: Sequence[Example], background: Sequence[BackgroundMoment], **settings: Any
) -> TrainingSet:
    """A training set of labels of the stream `hall`. `settings` replace what it has by default."""
    to_fit = [LabelToFit(name, frozenset({"hall"})) for name in names]
    defaults: dict[str, Any] = {
        "sizes": SIZES,
        "modalities": MODALITIES,
        "scoring": "independent",
        "labels": to_fit,
        "examples": examples,
        "background": background,
    }
    return TrainingSet(**(defaults | settings))
