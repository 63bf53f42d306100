"""Sounds of a place and of an event in it, of the recordings in shared/datasets/sounds."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from daemon.core.records import Array
from daemon.sources.container import read_sound
from tests.helpers.pulse import RATE_HZ
from tests.shared import SHARED

SOUNDS = SHARED / "datasets" / "sounds"

# the noise of a room, and how loud its own sounds are beside an event
NOISE, PLACE_LEVEL = 0.003, 0.5

# An event begins and ends where it reaches this part of its highest level, and fades out for so long.
ONSET = 0.1
FADES_S = 0.1


def recordings(kind: str) -> list[Path]:
    """Return one clip of each recording of a class."""
    found: dict[str, Path] = {}
    for path in sorted((SOUNDS / kind).glob("*.ogg")):
        found.setdefault(path.name.split("-")[1], path)
    return list(found.values())


def event_sound(path: Path) -> Array:
    """Return a recording from its onset to its end, without the silence around it."""
    samples = read_sound(path, RATE_HZ)
    level = np.abs(samples)
    loud = np.flatnonzero(level > ONSET * level.max())
    return samples[loud[0] : loud[-1] + round(FADES_S * RATE_HZ)]


def place_sound(kinds: Sequence[str], seconds: float, seed: int = 0) -> Array:
    """Return the sound of a place: a quiet noise, and now and then a sound of one of these classes."""
    rng = np.random.default_rng(seed)
    place = rng.normal(0, NOISE, round(seconds * RATE_HZ)).astype(np.float32)
    paths = [path for kind in kinds for path in recordings(kind)]
    at = 0
    while True:
        at += int(rng.uniform(0, 5) * RATE_HZ)
        sound = read_sound(paths[rng.integers(len(paths))], RATE_HZ)
        if at + len(sound) > len(place):
            return place
        place[at : at + len(sound)] += PLACE_LEVEL * sound
        at += len(sound)


def write_sound(path: Path, samples: Array) -> Path:
    """Write a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
