"""Sounds of one window: a spoken digit, anything else, or noise to mix under either."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.encoders.logmel import LogMel
from training.noises import coloured_noise, made_up
from training.specs import AUDIO, NONE
from training.speech import RATE_HZ, Sound, Utterance

PATCH_SAMPLES = (AUDIO.frames - 1) * AUDIO.hop_samples + AUDIO.window_samples
# An utterance counts as present if at least the first share of it is in the window, and as absent up to the second
# share.
PRESENT_FROM, ABSENT_UP_TO = 0.85, 0.4
DIGIT_SHARE = 0.6
# Share of recordings of people among the spoken digits. The others are synthesised.
RECORDED_SHARE = 0.6

_LOGMEL = LogMel(AUDIO)


class Listener:
    """Makes windows (PATCH_SAMPLES,) float32 from utterances of digits, of other words, and from other sounds."""

    def __init__(
        self,
        recorded: Sequence[Utterance],
        synthesised: Sequence[Utterance],
        words: Sequence[Utterance],
        sounds: Sequence[Utterance],
    ) -> None:
        self._by_label = [
            [[item.samples for item in source if item.label == digit] for digit in range(10)]
            for source in (recorded, synthesised)
        ]
        self._other_words = [item.samples for item in words]
        self._sounds = [item.samples for item in sounds]

    def patches(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """`count` patches (n, frames, mel_bands) as the encoder gets them, with labels (n,).

        Three in five have a digit, the others are NONE. A third is clean, the others have noise at -5 to 20 dB.
        """
        patches = np.empty((count, AUDIO.frames, AUDIO.mel_bands), np.float32)
        labels = np.empty(count, np.int64)
        for index in range(count):
            labels[index] = rng.integers(10) if rng.random() < DIGIT_SHARE else NONE
            window = self.nothing(rng) if labels[index] == NONE else self.digit(int(labels[index]), rng)
            if rng.random() < 2 / 3:
                window = mixed(window, self.noise(rng), rng.uniform(-5, 20))
            patches[index] = _LOGMEL.spectra(_at_level(window, rng.uniform(-32, 0)))
        return patches, labels

    def voices(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """`count` mel magnitudes (n, frames, mel_bands) without noise, and labels (n,); three in five have a digit."""
        labels = np.where(rng.random(count) < DIGIT_SHARE, rng.integers(0, 10, count), NONE)
        windows = (self.nothing(rng) if label == NONE else self.digit(int(label), rng) for label in labels)
        return _magnitudes(windows, count), labels

    def noises(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """`count` mel magnitudes (n, frames, mel_bands) of noise to mix under a voice, and NONE (n,)."""
        return _magnitudes((self.noise(rng) for _ in range(count)), count), np.full(count, NONE)

    def digit(self, digit: int, rng: np.random.Generator) -> Sound:
        """A window with the digit, spoken once; sometimes with a bit of another digit before or after it."""
        voice = self._voice(digit, rng)
        window = np.zeros(PATCH_SAMPLES, np.float32)
        inside = rng.uniform(PRESENT_FROM, 1.0) if rng.random() < 0.25 else 1.0
        _lay(window, voice, _position(len(voice), inside, rng))
        if rng.random() < 0.15:
            other = self._any_voice(rng)
            _lay(window, other, _position(len(other), rng.uniform(0.05, ABSENT_UP_TO), rng))
        return _at_level(window)

    def nothing(self, rng: np.random.Generator) -> Sound:
        """A window without a digit: parts of digits, other words, babble, sounds, or silence."""
        kinds = (self._edge, self._piece, self._word, self._nonsense, self._excerpt, _made_up, _silence)
        return kinds[rng.choice(len(kinds), p=(0.17, 0.08, 0.22, 0.1, 0.23, 0.16, 0.04))](rng)

    def noise(self, rng: np.random.Generator) -> Sound:
        """Background of speech: sounds, noise, or distant voices."""
        kinds = (self._excerpt, _coloured, self._babble, _made_up)
        return kinds[rng.choice(len(kinds), p=(0.5, 0.2, 0.15, 0.15))](rng)

    def _edge(self, rng: np.random.Generator) -> Sound:
        """The beginning or the end of a digit at the edge of the window, or of two digits."""
        window = np.zeros(PATCH_SAMPLES, np.float32)
        for _ in range(1 if rng.random() < 0.7 else 2):
            voice = self._any_voice(rng)
            _lay(window, voice, _position(len(voice), rng.uniform(0.03, ABSENT_UP_TO), rng))
        return _at_level(window)

    def _piece(self, rng: np.random.Generator) -> Sound:
        """A short piece of a digit anywhere, or several of them in a row."""
        window = np.zeros(PATCH_SAMPLES, np.float32)
        at = int(rng.integers(PATCH_SAMPLES - 1000))
        for _ in range(int(rng.integers(1, 4))):
            piece = _piece_of(self._any_voice(rng), rng)
            _lay(window, piece, at)
            at += len(piece)
        return _at_level(window)

    def _word(self, rng: np.random.Generator) -> Sound:
        window = np.zeros(PATCH_SAMPLES, np.float32)
        voice = _at_speed(self._other_words[rng.integers(len(self._other_words))], rng)
        _lay(window, voice, int(rng.integers(-max(1, len(voice) - 1500), PATCH_SAMPLES - 1500)))
        return _at_level(_in_room(window, rng))

    def _nonsense(self, rng: np.random.Generator) -> Sound:
        """Speech without meaning: a reversed digit, or many voices at once."""
        if rng.random() < 0.3:
            return self._babble(rng)
        window = np.zeros(PATCH_SAMPLES, np.float32)
        voice = self._any_voice(rng)[::-1]
        _lay(window, voice, _position(len(voice), 1.0, rng))
        return _at_level(window)

    def _babble(self, rng: np.random.Generator) -> Sound:
        window = np.zeros(PATCH_SAMPLES, np.float32)
        for _ in range(int(rng.integers(4, 9))):
            voice = self._other_words[rng.integers(len(self._other_words))][:: 1 if rng.random() < 0.5 else -1]
            _lay(window, voice, int(rng.integers(-len(voice) // 2, PATCH_SAMPLES)))
        return _at_level(window)

    def _excerpt(self, rng: np.random.Generator) -> Sound:
        """A part of a sound clip at another speed, sometimes reversed, sometimes two at once."""
        window = np.zeros(PATCH_SAMPLES, np.float32)
        for _ in range(1 if rng.random() < 0.7 else 2):
            samples = self._sounds[rng.integers(len(self._sounds))]
            step = np.exp(rng.uniform(np.log(0.5), np.log(2))) if rng.random() < 0.7 else 1.0
            needed = int(PATCH_SAMPLES * step) + 1
            start = int(rng.integers(0, max(1, len(samples) - needed)))
            part = np.interp(np.arange(PATCH_SAMPLES) * step, np.arange(needed), np.resize(samples[start:], needed))
            window += _at_level(part[:: 1 if rng.random() < 0.7 else -1]) * np.float32(rng.uniform(0.3, 1))
        return _at_level(window)

    def _any_voice(self, rng: np.random.Generator) -> Sound:
        return self._voice(int(rng.integers(10)), rng)

    def _voice(self, digit: int, rng: np.random.Generator) -> Sound:
        items = self._by_label[0 if rng.random() < RECORDED_SHARE else 1][digit]
        return _in_room(_at_speed(items[rng.integers(len(items))], rng), rng)


def mixed(voice: Sound, noise: Sound, ratio_db: float) -> Sound:
    """`voice` with `noise` under it.

    `ratio_db` is the power of the audible part of the voice against that of the noise.
    """
    loud = voice[np.abs(voice) > 0.05 * np.abs(voice).max()]
    if not len(loud) or not noise.any():
        return voice
    noise_power = np.mean(loud**2) * 10 ** (-ratio_db / 10)
    return _at_level(voice + noise * np.float32(np.sqrt(noise_power / np.mean(noise**2))))


def _magnitudes(windows: Iterable[Sound], count: int) -> NDArray[np.float16]:
    patches = np.empty((count, AUDIO.frames, AUDIO.mel_bands), np.float16)
    for patch, window in zip(patches, windows, strict=True):
        patch[:] = np.exp(_LOGMEL.spectra(window)) - AUDIO.log_offset
    return patches


def _made_up(rng: np.random.Generator) -> Sound:
    return made_up(PATCH_SAMPLES, rng)


def _coloured(rng: np.random.Generator) -> Sound:
    return coloured_noise(PATCH_SAMPLES, rng)


def _silence(rng: np.random.Generator) -> Sound:
    """Very quiet noise, or digital silence."""
    return _coloured(rng) * np.float32(10 ** -rng.uniform(2, 4) if rng.random() < 0.8 else 0.0)


def _at_speed(samples: Sound, rng: np.random.Generator) -> Sound:
    """The sound slower and lower, or faster and higher. A word longer than the window is sped up to fit."""
    factor = max(rng.uniform(0.9, 1.15), len(samples) / PATCH_SAMPLES)
    positions = np.arange(0, len(samples) - 1, factor)
    return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)


def _in_room(voice: Sound, rng: np.random.Generator) -> Sound:
    """The voice with the echo of a room in a third of the cases; its length stays."""
    if rng.random() > 1 / 3:
        return voice
    time_s = np.arange(int(0.25 * RATE_HZ)) / RATE_HZ
    echo = rng.standard_normal(len(time_s)) * np.exp(-time_s / rng.uniform(0.01, 0.08)) * rng.uniform(0.02, 0.12)
    echo[0] = 1.0
    size = 1 << int(np.ceil(np.log2(len(voice) + len(echo))))
    wet = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(echo, size), size)
    return wet[: len(voice)].astype(np.float32)


def _piece_of(voice: Sound, rng: np.random.Generator) -> Sound:
    """At most ABSENT_UP_TO of the voice, with soft ends."""
    length = int(len(voice) * rng.uniform(0.1, ABSENT_UP_TO))
    start = int(rng.integers(len(voice) - length))
    ramp = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / 60).astype(np.float32)
    return voice[start : start + length] * ramp


def _position(length: int, inside: float, rng: np.random.Generator) -> int:
    """The start of an utterance of `length` such that the share `inside` of it lies in the window."""
    if inside >= 1.0:
        return int(rng.integers(0, max(1, PATCH_SAMPLES - length + 1)))
    inside_samples = int(length * inside)
    return inside_samples - length if rng.random() < 0.5 else PATCH_SAMPLES - inside_samples


def _lay(window: Sound, voice: Sound, start: int) -> None:
    first, last = max(0, start), min(len(window), start + len(voice))
    if first < last:
        window[first:last] += voice[first - start : last - start]


def _at_level(window: Sound, peak_db: float = 0.0) -> Sound:
    peak = float(np.abs(window).max())
    return (window * (10 ** (peak_db / 20) / peak if peak > 1e-6 else 1.0)).astype(np.float32)
