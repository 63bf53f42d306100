"""Synthetic sounds that are not speech: drones, calls, knocks, rings, rattles and hisses. Pure functions.

The training clips cover only some kinds of sound. The network learns from these that other kinds are no digit either.
"""

import numpy as np
from numpy.typing import NDArray

from training.specs import AUDIO

Sound = NDArray[np.float32]

_RATE_HZ = AUDIO.sample_rate_hz


def made_up(count: int, rng: np.random.Generator) -> Sound:
    """One random synthetic sound, or two at once: float32 (count,) with a peak of 1."""
    kinds = (_call, _call, _strokes, _rattle, _hiss)
    sound = sum(kinds[rng.integers(len(kinds))](count, rng) for _ in range(1 if rng.random() < 0.7 else 2))
    return _to_peak(np.asarray(sound))


def coloured_noise(count: int, rng: np.random.Generator) -> Sound:
    """White to brown noise, sometimes with mains hum: float32 (count,) with a peak of 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0, 1.2)
    noise = _to_peak(np.fft.irfft(spectrum, count))
    if rng.random() < 0.2:
        hum = 50 * 2 * np.pi * np.arange(count) / _RATE_HZ
        noise += rng.uniform(0.1, 1) * (np.sin(hum) + 0.5 * np.sin(2 * hum) + 0.3 * np.sin(3 * hum))
    return _to_peak(noise)


def _call(count: int, rng: np.random.Generator) -> Sound:
    """Harmonics of a gliding pitch, often through resonances, like animals, sirens, engines and vowels."""
    pitch_hz = np.exp(rng.uniform(np.log(50), np.log(2500)) + rng.uniform(0, 0.6) * _wander(count, rng))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / _RATE_HZ
    fall, highest = rng.uniform(0, 1.5), max(1, int(3900 / pitch_hz.max()))
    parts = range(1, min(highest, int(rng.integers(1, 25))) + 1)
    sound = np.sum([np.sin(part * phase + rng.uniform(0, 6.3)) * part**-fall for part in parts], axis=0)
    if rng.random() < 0.6:
        sound = _resonant(sound, rng)
    return _to_peak(sound * _envelope(count, rng))


def _strokes(count: int, rng: np.random.Generator) -> Sound:
    """One or several knocks, rings or puffs, regular or not."""
    sound = np.zeros(count)
    stroke = _ring(count, rng) if rng.random() < 0.5 else _puff(count, rng)
    gap = rng.uniform(0.08, 0.6) * _RATE_HZ
    for turn in range(int(rng.integers(1, 7))):
        start = int(rng.integers(count)) if rng.random() < 0.5 else int(gap * (turn + 0.3))
        if start < count:
            sound[start:] += stroke[: count - start] * rng.uniform(0.3, 1)
    return _to_peak(sound)


def _ring(count: int, rng: np.random.Generator) -> Sound:
    time_s = np.arange(count) / _RATE_HZ
    tones = [
        rng.uniform(0.1, 1) * np.sin(2 * np.pi * rng.uniform(80, 3800) * time_s) * np.exp(-time_s / decay_s)
        for decay_s in np.exp(rng.uniform(np.log(0.008), np.log(0.4), int(rng.integers(1, 8))))
    ]
    return _to_peak(np.sum(tones, axis=0))


def _puff(count: int, rng: np.random.Generator) -> Sound:
    time_s = np.arange(count) / _RATE_HZ
    rise_s, decay_s = rng.uniform(0.001, 0.05), np.exp(rng.uniform(np.log(0.01), np.log(0.25)))
    swell = (1 - np.exp(-time_s / rise_s)) * np.exp(-time_s / decay_s)
    return _to_peak(_resonant(rng.standard_normal(count), rng) * swell)


def _rattle(count: int, rng: np.random.Generator) -> Sound:
    """A quick row of pulses, each the same short noise, like motors, croaks and ratchets."""
    rate_hz = np.exp(rng.uniform(np.log(6), np.log(120)) + 0.2 * _wander(count, rng))
    turns = np.floor(np.cumsum(rate_hz) / _RATE_HZ)
    pulses = np.diff(turns, prepend=0.0) * rng.uniform(0.5, 1, count)
    small = (_ring if rng.random() < 0.5 else _puff)(800, rng)
    return _to_peak(np.convolve(pulses, small)[:count] * _envelope(count, rng))


def _hiss(count: int, rng: np.random.Generator) -> Sound:
    """Noise in some bands that swells and fades."""
    return _to_peak(_resonant(rng.standard_normal(count), rng) * _envelope(count, rng))


def _resonant(sound: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The sound with some bands amplified, like the resonances of a throat, a pipe or a box."""
    hz = np.fft.rfftfreq(len(sound), 1 / _RATE_HZ)
    gain = np.full(len(hz), rng.uniform(0, 0.1))
    for centre_hz in rng.uniform(100, 3800, int(rng.integers(1, 5))):
        width_hz = np.exp(rng.uniform(np.log(40), np.log(800)))
        gain += rng.uniform(0.1, 1) / (1 + ((hz - centre_hz) / width_hz) ** 2)
    shaped: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))
    return shaped


def _envelope(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A gain curve (count,): constant, trembling, wandering, or one stretch with soft ends."""
    kind = rng.random()
    time_s = np.arange(count) / _RATE_HZ
    if kind < 0.2:
        return np.ones(count)
    if kind < 0.4:
        return 1 + rng.uniform(0.3, 1) * np.sin(2 * np.pi * rng.uniform(2, 40) * time_s + rng.uniform(0, 6.3))
    if kind < 0.6:
        return np.exp(1.5 * _wander(count, rng))
    length_s, ramp_s = rng.uniform(0.05, 0.9), rng.uniform(0.005, 0.15)
    start_s = rng.uniform(0, max(0.01, time_s[-1] - length_s))
    return np.clip((time_s - start_s) / ramp_s, 0, 1) * np.clip((start_s + length_s - time_s) / ramp_s, 0, 1)


def _wander(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth random curve (count,) about zero, mostly within 1.5."""
    knots = int(rng.integers(2, 9))
    return np.interp(np.linspace(0, knots - 1, count), np.arange(knots), rng.standard_normal(knots))


def _to_peak(sound: NDArray[np.floating]) -> Sound:
    return (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)
