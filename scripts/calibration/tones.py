"""Tones and noises of a home, computed: alarms, bells, a siren, a telephone, clicks, hums and hisses."""

from collections.abc import Callable

import numpy as np

from calibration.hearing import RATE_HZ
from daemon.core.records import Array, Array64

SECONDS = 5
COUNT = SECONDS * RATE_HZ
TIME_S: Array64 = np.arange(COUNT) / RATE_HZ


def smoke_alarm(rng: np.random.Generator) -> Array:
    """Three beeps of half a second and a pause, as ISO 8201 has them, with harmonics."""
    tone = _harmonics(rng.uniform(2900, 3400), (1.0, 0.5))
    in_period = TIME_S % 4.0
    return _shaped(tone * (in_period < 3.0) * (in_period % 1.0 < 0.5), rng)


def alarm_clock(rng: np.random.Generator) -> Array:
    """Groups of four short beeps a second."""
    tone = _harmonics(rng.uniform(1500, 2600), (1.0, 0.3))
    in_second = TIME_S % 1.0
    return _shaped(tone * (in_second < 0.5) * (in_second % 0.125 < 0.06), rng)


def doorbell(rng: np.random.Generator) -> Array:
    """Two struck bars, the second one a third lower."""
    high = rng.uniform(600, 800)
    return _shaped(_struck(high, 0.2) + _struck(high * 0.8, 0.9), rng)


def telephone(rng: np.random.Generator) -> Array:
    """Two tones in turn, twenty times a second, for two seconds of every four."""
    turns = (TIME_S * 40).astype(int) % 2
    tone = np.where(turns, _harmonics(1300, (1.0, 0.4)), _harmonics(1600, (1.0, 0.4)))
    return _shaped(tone * (TIME_S % 4.0 < 2.0), rng)


def siren(rng: np.random.Generator) -> Array:
    """A pitch that rises and falls between 600 and 1,400 Hz."""
    pitch_hz = 1000 + 400 * np.sin(2 * np.pi * TIME_S * rng.uniform(0.2, 3))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    return _shaped(np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase), rng)


def dial_tone(rng: np.random.Generator) -> Array:
    """425 Hz, as European exchanges have it."""
    return _shaped(_harmonics(425, (1.0,)), rng)


def hum(rng: np.random.Generator) -> Array:
    """Mains hum of 50 Hz with harmonics."""
    return _shaped(_harmonics(50, (1.0, 0.8, 0.5, 0.4, 0.3, 0.2)), rng)


def hiss(rng: np.random.Generator) -> Array:
    """Noise whose spectrum falls by a power of frequency chosen by chance: white to brown."""
    spectrum = np.fft.rfft(rng.standard_normal(COUNT))
    noise = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0, 1.2), COUNT)
    return _shaped(noise, rng)


def clicks(rng: np.random.Generator) -> Array:
    """Short bursts at irregular instants, as of things put down."""
    sound = np.zeros(COUNT)
    for start in rng.integers(0, COUNT - 2000, int(rng.integers(3, 25))):
        decay = np.exp(-np.arange(2000) / rng.uniform(20, 300))
        sound[start : start + 2000] += decay * rng.standard_normal(2000) * rng.uniform(0.2, 1)
    return _shaped(sound, rng)


TONES: dict[str, Callable[[np.random.Generator], Array]] = {
    "smoke_alarm": smoke_alarm,
    "alarm_clock": alarm_clock,
    "doorbell": doorbell,
    "telephone": telephone,
    "siren": siren,
    "dial_tone": dial_tone,
    "hum": hum,
    "hiss": hiss,
    "clicks": clicks,
}


def _harmonics(pitch_hz: float, strengths: tuple[float, ...]) -> Array64:
    parts = [s * np.sin(2 * np.pi * pitch_hz * (n + 1) * TIME_S) for n, s in enumerate(strengths)]
    total: Array64 = np.sum(parts, axis=0)
    return total


def _struck(pitch_hz: float, at_s: float) -> Array64:
    """Return a bar struck at `at_s`: partials of a bar fixed at one end, which die away."""
    since_s = TIME_S - at_s
    ring = np.exp(-since_s * 1.8) * (since_s >= 0)
    partials = ((1.0, 1.0), (2.76, 0.3), (5.4, 0.1))
    total: Array64 = np.sum([s * np.sin(2 * np.pi * pitch_hz * f * since_s) for f, s in partials], axis=0) * ring
    return total


def _shaped(sound: Array64, rng: np.random.Generator) -> Array:
    """Return the sound with a peak chosen by chance, over faint noise."""
    loud = sound * (rng.uniform(0.05, 0.9) / np.abs(sound).max())
    shaped: Array = (loud + rng.standard_normal(COUNT) * 1e-3).astype(np.float32)
    return shaped
