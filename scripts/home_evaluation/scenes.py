"""Scenes: what a microphone and a camera capture, as the daemon's blocks and frames."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from daemon.core.records import Block, Captured, Deferred, Frame, Plane, ended_ns
from daemon.core.timing import NS_PER_S
from daemon.sources.container import read_picture
from home_evaluation.material import Sound

BLOCK_S = 0.02
FPS = 4.0


@dataclass(frozen=True, slots=True)
class Sight:
    """A still picture for `shown_s`. The camera delivers black pictures `around_s` before and after it.

    `light` multiplies the picture. `noise` is the standard deviation of the camera's noise, new in every frame.
    """

    path: Path
    shown_s: float
    around_s: float = 0.0
    light: float = 1.0
    noise: float = 0.0

    def frames(self) -> Iterator[Frame]:
        """The frames at FPS. Each is computed when an encoder uses it."""
        for index in range(round((self.shown_s + 2 * self.around_s) * FPS)):
            yield Frame(Deferred(partial(self._filmed, index)), round(index / FPS * NS_PER_S))

    def _filmed(self, index: int) -> tuple[Plane]:
        picture, is_shown = _read(self.path), self.around_s <= index / FPS < self.around_s + self.shown_s
        if self.light == 1 and self.noise == 0 and is_shown:
            return (picture,)
        rng = np.random.default_rng([index, *self.path.name.encode()])
        lit = picture.astype(np.float32) * np.float32(self.light if is_shown else 0)
        noisy = lit + rng.standard_normal(picture.shape, np.float32) * np.float32(self.noise)
        return (np.clip(np.rint(noisy), 0, 255).astype(np.uint8),)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is heard and seen at the same time; None: nothing. The sound has `around_s` of silence before and after."""

    sound: Sound | None = None
    sight: Sight | None = None
    around_s: float = 0.0

    def captured(self, rate_hz: int | None) -> Iterator[Captured]:
        """All blocks and frames, ordered by their end. `rate_hz` is the bundle's sample rate; None: it has no ear."""
        blocks = _blocks(self.sound, self.around_s, rate_hz) if self.sound and rate_hz else iter(())
        frames = self.sight.frames() if self.sight else iter(())
        return heapq.merge(blocks, frames, key=ended_ns)


def _blocks(sound: Sound, around_s: float, rate_hz: int) -> Iterator[Block]:
    samples = np.pad(sound.samples(rate_hz), round(around_s * rate_hz))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)


@lru_cache(maxsize=64)
def _read(path: Path) -> Plane:
    (plane,) = read_picture(path).planes
    return plane
