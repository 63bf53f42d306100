"""Read a whole picture or a whole sound from a file, for single items rather than streams."""

from pathlib import Path

import av
import cv2
import numpy as np
import soxr

from daemon.errors import InputError
from daemon.records import Array, Frame, Plane

MAX_SOUND_S = 600
"""A labelled sound is seconds long; what is longer belongs into a replay."""


def read_picture(path: Path) -> Frame:
    """The picture as a BGR frame stamped 0. Raises InputError when it cannot be read."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ValueError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if pixels is None:
        raise InputError(f"{path}: not a picture that can be decoded")
    plane: Plane = pixels.astype(np.uint8, copy=False)
    return Frame((plane,), 0)


def read_sound(path: Path, sample_rate_hz: int) -> Array:
    """The first channel of the file's sound at the given rate: float32 (n,). Raises InputError."""
    try:
        with av.open(str(path), timeout=5.0) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
            rate_hz = stream.codec_context.sample_rate
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a sound that can be decoded: {error}") from error
    if not frames:
        raise InputError(f"{path}: holds no sound")
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    if len(samples) > MAX_SOUND_S * rate_hz:
        raise InputError(f"{path}: longer than {MAX_SOUND_S} s")
    resampled: Array = soxr.resample(samples, rate_hz, sample_rate_hz).astype(np.float32)
    return resampled
