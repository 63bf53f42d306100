"""Utterances and sounds at the encoder's rate: recorded digits, and ESC-10 clips."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from training.specs import AUDIO, NONE
from training.splits import ESC10, SPEAKERS, Part, part_of_recording, part_of_sound

Sound = NDArray[np.float32]

RATE_HZ = AUDIO.sample_rate_hz


@dataclass(frozen=True)
class Utterance:
    """One word, or a sound without a digit: float32 (n,) at RATE_HZ, and its label."""

    samples: Sound
    label: int


def recorded_digits(data: Path, part: Part | None, speakers: Sequence[str] = SPEAKERS) -> list[Utterance]:
    """The spoken digits of this part of the data by these speakers; of all parts if `part` is None."""
    utterances = []
    for path in sorted((data / "spoken-digits").glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if speaker in speakers and part in (None, part_of_recording(int(index))):
            utterances.append(Utterance(read_wave(path.read_bytes()), int(digit)))
    return utterances


def sounds(data: Path, part: Part) -> list[Utterance]:
    """The ESC-10 clips of this part of the data; they have no digit."""
    utterances = []
    for path in (path for name in ESC10 for path in sorted((data / "sounds" / name).glob("*.ogg"))):
        fold, source, _ = path.stem.split("-")
        if part_of_sound(int(fold), source) == part:
            utterances.append(Utterance(_decode(path), NONE))
    return utterances


def read_wave(data: bytes, rate_hz: int = RATE_HZ) -> Sound:
    """16-bit mono WAV as float32 in [-1, 1] at `rate_hz`."""
    with wave.open(BytesIO(data)) as file:
        stored_hz = file.getframerate()
        # The header of a streamed WAV has no length, so read everything.
        raw = file.readframes(len(data))
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.float32) / 32768
    return samples if stored_hz == rate_hz else soxr.resample(samples, stored_hz, rate_hz).astype(np.float32)


def _decode(path: Path) -> Sound:
    resampler = av.AudioResampler("flt", "mono", RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)


def trimmed(samples: Sound) -> Sound:
    """The sound without the silence before and after it."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]
