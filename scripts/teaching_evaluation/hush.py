"""The sound of a room in which nothing happens: noise of a microphone and of the house, at many levels."""

from dataclasses import dataclass

import numpy as np
from home_evaluation.material import CLIP_S

from daemon.core.records import Array

# Root mean square of the noise, in dB of full scale.
LEVELS_DB = (-75.0, -45.0)
# The power of the noise falls with 1 / f^tilt: white, pink, brown.
TILTS = (0.0, 2.0)
HUM_HZ = 50.0


@dataclass(frozen=True, slots=True)
class Hush:
    """Five seconds of a quiet room. Each seed gives another level and colour, and a hum in every third room."""

    seed: int

    def samples(self, rate_hz: int) -> Array:
        """The sound: float32 (n,) in [-1, 1]."""
        rng, size = np.random.default_rng([self.seed, 1]), round(CLIP_S * rate_hz)
        level, tilt = 10 ** (rng.uniform(*LEVELS_DB) / 20), rng.uniform(*TILTS)
        spectrum = np.fft.rfft(rng.standard_normal(size))
        spectrum /= np.maximum(np.fft.rfftfreq(size, 1 / rate_hz), 20.0) ** (tilt / 2)
        noise = np.fft.irfft(spectrum, size)
        if self.seed % 3 == 0:
            noise = noise / noise.std() + np.sin(2 * np.pi * HUM_HZ * np.arange(size) / rate_hz)
        return np.clip(noise / noise.std() * level, -1, 1).astype(np.float32)
