"""The sounds that are measured: clips of the data sets, espeak-ng's speech, and mixtures of two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from daemon.core.records import Array
from daemon.sources.container import read_sound
from home_evaluation.spoken import Utterance, speak

Item = TypeVar("Item")

CLIP_S = 5.0
# Folds that nothing was chosen by. The numbers of the bundle are calibrated on folds 1 and 2.
HELD_OUT_FOLDS = (3, 4)


class Sound(Protocol):
    """A sound. Cheap to make and to hand to another process: the samples are made on request."""

    def samples(self, rate_hz: int) -> Array:
        """The sound: float32 (n,) in [-1, 1]."""


class ClassifiedSound(Sound, Protocol):
    """A sound of one class."""

    @property
    def name(self) -> str:
        """The name of the class in classes.yaml."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a data set."""

    name: str
    path: Path

    def samples(self, rate_hz: int) -> Array:
        """The clip: float32 (n,) in [-1, 1]."""
        return _read(self.path, rate_hz)


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """Sentences spoken by one voice, cut at CLIP_S."""

    utterance: Utterance
    name: str = "speech"

    def samples(self, rate_hz: int) -> Array:
        """The speech: float32 (n,) in [-1, 1]."""
        return speak(self.utterance, rate_hz)[: round(CLIP_S * rate_hz)]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two sounds at the same time; the power of `second` is `second_db` above that of `first`."""

    first: Sound
    second: Sound
    second_db: float

    def samples(self, rate_hz: int) -> Array:
        """Both sounds: float32 (n,), made softer where they would exceed [-1, 1]."""
        return mixed(self.first.samples(rate_hz), self.second.samples(rate_hz), self.second_db)


@dataclass(frozen=True, slots=True)
class InRain:
    """A sound within a longer rain of equal power. The rain alone is heard `around_s` before and after it."""

    sound: Sound
    rain: Sound
    around_s: float

    def samples(self, rate_hz: int) -> Array:
        """The rain with the sound in it: float32 (n,), made softer where it would exceed [-1, 1]."""
        sound, around = self.sound.samples(rate_hz), round(self.around_s * rate_hz)
        rain = np.resize(self.rain.samples(rate_hz), len(sound) + 2 * around)
        return _within_range(rain + np.pad(scaled(sound, power(rain)), around))


def mixed(first: Array, second: Array, second_db: float) -> Array:
    """The sum of two sounds, as long as the longer one."""
    length = max(len(first), len(second))
    second = scaled(second, power(first) * 10 ** (second_db / 10))
    return _within_range(np.pad(first, (0, length - len(first))) + np.pad(second, (0, length - len(second))))


def power(samples: Array) -> float:
    """The mean square over the whole sound, with the silence that may be in it."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def scaled(samples: Array, to_power: float) -> Array:
    """The sound with this power."""
    result: Array = samples * np.float32(np.sqrt(to_power / max(power(samples), 1e-12)))
    return result


def one_of(items: Sequence[Item], rng: np.random.Generator) -> Item:
    """A random item."""
    return items[int(rng.integers(len(items)))]


def clips(data: Path, folds: tuple[int, ...]) -> dict[str, list[Clip]]:
    """The clips of these folds by class. The first number of a file's name is its fold."""
    found: dict[str, list[Clip]] = {}
    for path in sorted((data / "sounds").glob("*/*.ogg")):
        if int(path.stem.split("-")[0]) in folds:
            found.setdefault(path.parent.name, []).append(Clip(path.parent.name, path))
    return found


def _within_range(samples: Array) -> Array:
    result: Array = samples / np.float32(max(1.0, float(np.max(np.abs(samples)))))
    return result


@lru_cache(maxsize=64)
def _read(path: Path, rate_hz: int) -> Array:
    return read_sound(path, rate_hz)
