"""The sound of an example as WAV: one channel of 16 bits."""

import io
import wave

import numpy as np

from daemon.core.errors import InputError
from daemon.core.records import Array
from daemon.teaching.stored import MAX_MEDIA_BYTES

MAX_SOUND_S = 5.0
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4000, 96_000

_FULL_SCALE = 32767


def sound_bytes(samples: Array, rate_hz: int) -> bytes:
    """Return the last MAX_SOUND_S seconds of sound (float32 in [-1, 1]) as WAV. Raises InputError when it has none."""
    _check_rate(rate_hz)
    samples = samples[-round(MAX_SOUND_S * rate_hz) :]
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise InputError("the sound is empty, or has numbers that are not finite")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(np.clip(samples, -1.0, 1.0) * _FULL_SCALE).astype("<i2").tobytes())
    return content.getvalue()


def sound_from(content: bytes) -> tuple[Array, int]:
    """Return the samples (float32 in [-1, 1]) and the rate of a WAV. Raises InputError."""
    if len(content) > MAX_MEDIA_BYTES:
        raise InputError(f"the sound has {len(content)} bytes, at most {MAX_MEDIA_BYTES} are read")
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            shape, rate_hz = (file.getnchannels(), file.getsampwidth(), file.getcomptype()), file.getframerate()
            frames = file.readframes(file.getnframes()) if shape == (1, 2, "NONE") else b""
    except (wave.Error, EOFError, ValueError, OverflowError) as error:
        raise InputError(f"the sound is no WAV: {error}") from error
    if not frames or len(frames) % 2:
        raise InputError("the sound is no WAV of one channel with 16 bits, or it is empty")
    _check_rate(rate_hz)
    return np.frombuffer(frames, "<i2").astype(np.float32) / np.float32(_FULL_SCALE), rate_hz


def _check_rate(rate_hz: int) -> None:
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(f"the sound has {rate_hz} samples a second, expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
