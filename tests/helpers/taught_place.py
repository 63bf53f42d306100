"""Fills a store with what a place is like, and what was shown there, for the encoders of a bundle."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.records import Array
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment, Example, StoredMoment
from daemon.teaching.store import TeachingStore

STREAM = "hall"
HOUR_S = 3600.0


class TaughtPlace:
    """Draws moments: each class has a direction of its own in each encoder. The class of background is `nothing`."""

    def __init__(self, base: Path, senses: Sequence[str] | None = None, noise: float = 0.1) -> None:
        self.bundle: Bundle = load_bundle(base)
        self._encoders = encoder_fingerprints(self.bundle)
        specs = self.bundle.manifest.encoder_specs
        self._sizes = {name: specs[name].size for name in (specs if senses is None else senses)}
        self._rng, self._noise = np.random.default_rng(3), noise

    def vectors(self, of: str) -> dict[str, Array]:
        """Vectors of a moment of a class."""
        found = {}
        for name, size in self._sizes.items():
            direction = np.random.default_rng(zlib.crc32(f"{of} {name}".encode())).normal(0, 1, size)
            found[name] = (direction + self._rng.normal(0, self._noise, size)).astype(np.float32)
        return found

    def fill(self, path: Path, labels: Sequence[str], *, presses: int = 5, background: int = NEEDED_BACKGROUND) -> Path:
        """Write a store with presses of labels, and with background."""
        path.parent.mkdir(parents=True, exist_ok=True)
        store = TeachingStore(path)
        for number in range(presses):
            for index, label in enumerate(labels):
                store.add_example(self.example(f"{index}-{number}", label, number * HOUR_S))
        for number in range(background):
            moment = BackgroundMoment(STREAM, number * HOUR_S / 4, self._encoders, self.vectors("nothing"))
            store.add_background(moment)
        store.close()
        return path

    def example(self, id: str, label: str, taken_s: float = 0.0) -> Example:  # noqa: A002
        """A press of four moments."""
        moments = [StoredMoment(500 * place, self.vectors(label)) for place in range(4)]
        return Example(id, label, STREAM, taken_s, "press", self._encoders, moments)
