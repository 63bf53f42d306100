"""Log-mel patches as a microphone would give them: an utterance somewhere in the window, among other sounds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.encoders.logmel import LogMel
from training.specs import AUDIO, NONE
from training.speech import RATE_HZ, Sound, Utterance

PATCH_SAMPLES = (AUDIO.frames - 1) * AUDIO.hop_samples + AUDIO.window_samples
WHOLE, PART = 0.88, 0.42
"""An utterance is in the window with at least the first share of it inside, and not there with at most the second."""

_LOGMEL = LogMel(AUDIO)


class Listener:
    """Makes patches from utterances of digits, of other words, and from other sounds."""

    def __init__(self, digits: Sequence[Utterance], words: Sequence[Utterance], sounds: Sequence[Utterance]) -> None:
        self._digits = digits
        self._by_label = [[item for item in digits if item.label == digit] for digit in range(10)]
        self._words, self._sounds = words, sounds

    def patches(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """`count` patches (n, frames, mel_bands) with their labels (n,); NONE where no digit is heard."""
        patches = np.empty((count, AUDIO.frames, AUDIO.mel_bands), np.float32)
        labels = np.empty(count, np.int64)
        for index in range(count):
            if rng.random() < 0.6:
                labels[index] = rng.integers(10)
                sound = self.digit(int(labels[index]), rng)
            else:
                labels[index], sound = NONE, self.nothing(rng)
            patches[index] = _changed(_LOGMEL.spectra(sound), rng)
        return patches, labels

    def digit(self, digit: int, rng: np.random.Generator) -> Sound:
        """A window in which this digit is heard."""
        items = self._by_label[digit]
        voice = _at_speed(items[rng.integers(len(items))].samples, rng)
        window = np.zeros(PATCH_SAMPLES, np.float32)
        inside = rng.uniform(WHOLE, 1.0) if rng.random() < 0.25 else 1.0
        _lay(window, voice, _position(len(voice), inside, rng))
        if rng.random() < 0.15:  # the end or the beginning of another word
            other = self._digits[rng.integers(len(self._digits))].samples
            _lay(window, other, _position(len(other), rng.uniform(0.05, PART), rng))
        return self._in_room(_levelled(window, rng), rng)

    def nothing(self, rng: np.random.Generator) -> Sound:
        """A window without a digit: silence, noise, other words, sounds, or just a part of a digit."""
        window = np.zeros(PATCH_SAMPLES, np.float32)
        kind = rng.random()
        if kind < 0.27:
            voice = _at_speed(self._digits[rng.integers(len(self._digits))].samples, rng)
            _lay(window, voice, _position(len(voice), rng.uniform(0.03, PART), rng))
        elif kind < 0.55:
            voice = _at_speed(self._words[rng.integers(len(self._words))].samples, rng)
            if rng.random() < 0.3:  # like speech, and no word
                voice = voice[::-1]
            _lay(window, voice, int(rng.integers(-max(1, len(voice) - 1000), PATCH_SAMPLES - 1000)))
        elif kind < 0.88:
            window = _levelled(self._excerpt(rng), rng)
        if window.any():
            window = _levelled(window, rng)
        return self._in_room(window, rng)

    def _in_room(self, window: Sound, rng: np.random.Generator) -> Sound:
        """Some noise under it, often a little, sometimes much; sometimes none at all."""
        kind = rng.random()
        if kind < 0.2:
            return window
        noise = self._excerpt(rng) if kind < 0.5 else _coloured_noise(rng)
        level = float(np.sqrt(np.mean(noise**2))) + 1e-9
        if window.any():
            loud = float(np.sqrt(np.mean(window[np.abs(window) > 0.05 * np.abs(window).max()] ** 2)))
            wanted = loud * 10 ** (-rng.uniform(6, 45) / 20)
        else:
            wanted = 10 ** (-rng.uniform(25, 80) / 20)
        return np.clip(window + noise * np.float32(wanted / level), -1, 1).astype(np.float32)

    def _excerpt(self, rng: np.random.Generator) -> Sound:
        samples = self._sounds[rng.integers(len(self._sounds))].samples
        start = int(rng.integers(0, max(1, len(samples) - PATCH_SAMPLES)))
        return np.resize(samples[start : start + PATCH_SAMPLES], PATCH_SAMPLES).astype(np.float32)


def _at_speed(samples: Sound, rng: np.random.Generator) -> Sound:
    """Slower and lower, or faster and higher; words longer than the window always fit into it."""
    factor = max(rng.uniform(0.84, 1.2), len(samples) / PATCH_SAMPLES)
    positions = np.arange(0, len(samples) - 1, factor)
    return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)


def _position(length: int, inside: float, rng: np.random.Generator) -> int:
    """Where an utterance of `length` starts so that the share `inside` of it is in the window."""
    if inside >= 1.0:
        return int(rng.integers(0, max(1, PATCH_SAMPLES - length + 1)))
    kept = int(length * inside)
    return kept - length if rng.random() < 0.5 else PATCH_SAMPLES - kept


def _lay(window: Sound, voice: Sound, start: int) -> None:
    first, last = max(0, start), min(len(window), start + len(voice))
    window[first:last] += voice[first - start : last - start]


def _levelled(window: Sound, rng: np.random.Generator) -> Sound:
    peak = float(np.abs(window).max()) + 1e-9
    return window * np.float32(10 ** (-rng.uniform(0.5, 32) / 20) / peak)


def _coloured_noise(rng: np.random.Generator) -> Sound:
    """White to brown, with a mains hum now and then."""
    spectrum = np.fft.rfft(rng.standard_normal(PATCH_SAMPLES))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0, 1.2)
    noise = np.fft.irfft(spectrum, PATCH_SAMPLES)
    noise /= np.abs(noise).max()
    if rng.random() < 0.2:
        hum = 50 * 2 * np.pi * np.arange(PATCH_SAMPLES) / RATE_HZ
        noise += rng.uniform(0.1, 1) * (np.sin(hum) + 0.5 * np.sin(2 * hum) + 0.3 * np.sin(3 * hum))
    return noise.astype(np.float32)


def _changed(spectra: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another voice and another microphone: bands warped, and a smooth curve added above the floor."""
    bands = np.arange(AUDIO.mel_bands)
    if rng.random() < 0.6:
        warped = np.clip(bands * rng.uniform(0.88, 1.12) + rng.uniform(-1, 1), 0, AUDIO.mel_bands - 1)
        low = np.minimum(warped.astype(int), AUDIO.mel_bands - 2)
        part = (warped - low).astype(np.float32)
        spectra = spectra[:, low] * (1 - part) + spectra[:, low + 1] * part
    if rng.random() < 0.6:
        knots = rng.normal(0, 0.6, 5)
        curve = np.interp(bands, np.linspace(0, AUDIO.mel_bands - 1, 5), knots).astype(np.float32)
        floor = np.float32(np.log(AUDIO.log_offset))
        spectra = np.maximum(spectra + curve, floor)
    return spectra
