"""Writes a clip of flashes and beeps, to be shown to a camera and a microphone."""

from itertools import accumulate, cycle, islice
from pathlib import Path

import av
import numpy as np

from daemon.errors import Refused
from daemon.records import Array64
from daemon.sync import BEEP_HZ, INTERVALS_S

FPS = 30
SIZE = (320, 180)
RATE_HZ = 48_000
LASTS_S = 0.15
"""A flash and a beep: long enough for a camera that takes ten pictures a second."""

FLASHES = 49
LENGTH_S = 60
AAC_SAMPLES = 1024


def write_flash_clip(path: Path) -> None:
    """A minute of MP4: a black picture that flashes white, each time with a beep. Raises Refused."""
    begins_s = list(accumulate(islice(cycle(INTERVALS_S), FLASHES)))
    try:
        with av.open(str(path), "w", format="mp4") as clip:
            video, audio = clip.add_stream("libx264", rate=FPS), clip.add_stream("aac", rate=RATE_HZ)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            video.options = {"preset": "ultrafast", "bf": "0"}
            audio.layout = "mono"
            _write_pictures(clip, video, begins_s)
            _write_sound(clip, audio, begins_s)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise Refused(f"{path}: cannot be written: {reason}") from error


def _write_pictures(clip: av.container.OutputContainer, video: av.VideoStream, begins_s: list[float]) -> None:
    frames_s = np.arange(LENGTH_S * FPS) / FPS
    for number, bright in enumerate(_is_on(frames_s, begins_s)):
        pixels = np.full((SIZE[1], SIZE[0], 3), 255 if bright else 0, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        clip.mux(video.encode(frame))
    clip.mux(video.encode())


def _write_sound(clip: av.container.OutputContainer, audio: av.AudioStream, begins_s: list[float]) -> None:
    samples_s = np.arange(LENGTH_S * RATE_HZ) / RATE_HZ
    tone = 0.7 * np.sin(2 * np.pi * BEEP_HZ * samples_s) * _is_on(samples_s, begins_s)
    for start in range(0, len(tone), AAC_SAMPLES):
        part = tone[None, start : start + AAC_SAMPLES].astype(np.float32)
        sound = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = RATE_HZ, start
        clip.mux(audio.encode(sound))
    clip.mux(audio.encode())


def _is_on(at_s: Array64, begins_s: list[float]) -> Array64:
    """1 during each flash, 0 between."""
    # half a sample of the finer of both, so that rounding makes no flash a frame late
    since_s = at_s[:, None] + 0.5 / RATE_HZ - np.array(begins_s)
    is_on: Array64 = np.any((since_s >= 0) & (since_s < LASTS_S), axis=1).astype(np.float64)
    return is_on
