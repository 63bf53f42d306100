"""A test recording: 640x480, H.264 and AAC, moving and noisy like that of a camera."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FPS, SECONDS = 640, 480, 30, 20
BITS_A_SECOND = 1_000_000
SAMPLE_RATE_HZ = 16_000
# No picture refers to a later one, and each is one slice. GStreamer sends headers between the slices of a key frame.
AS_CAMERA = {"bf": "0", "threads": "1"}


def write_clip(
    path: Path,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    fps: int = FPS,
    *,
    as_camera: bool = False,
    seed: int = 1,
    bits_a_second: int = BITS_A_SECOND,
) -> None:
    """Write the recording; a seed always gives the same one.

    `as_camera`: encode as cameras do, so that no picture refers to a later one.
    """
    generator = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "g": str(fps)} | (AS_CAMERA if as_camera else {})
        video = container.add_stream("libx264", rate=fps, options=options)
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", bits_a_second
        audio = container.add_stream("aac", rate=sample_rate_hz, layout="mono")
        scene = cv2.GaussianBlur(generator.integers(0, 255, (HEIGHT * 2, WIDTH * 2, 3), np.uint8), (0, 0), 9)
        scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
        for index in range(fps * SECONDS):
            container.mux(video.encode(_frame(scene, index, generator)))
        container.mux(video.encode())
        for frame in _sound(generator, sample_rate_hz):
            container.mux(audio.encode(frame))
        container.mux(audio.encode())


def _frame(scene: np.ndarray, index: int, generator: np.random.Generator) -> av.VideoFrame:
    left, top = int(320 + 300 * np.sin(index / 40)), int(240 + 220 * np.cos(index / 55))
    view = scene[top : top + HEIGHT, left : left + WIDTH].copy()
    cv2.circle(view, (int(320 + 200 * np.cos(index / 12)), 240), 60, (20, 200, 240), -1)
    noisy = cv2.add(view, generator.integers(0, 12, view.shape, np.uint8))
    return av.VideoFrame.from_ndarray(noisy, format="bgr24")


def _sound(generator: np.random.Generator, sample_rate_hz: int) -> Iterator[av.AudioFrame]:
    count = sample_rate_hz * SECONDS
    times = np.arange(count) / sample_rate_hz
    samples = (0.2 * np.sin(2 * np.pi * (300 + 200 * np.sin(times)) * times) + generator.normal(0, 0.05, count)) * 0.5
    for start in range(0, count, 1024):
        part = samples[np.newaxis, start : start + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = sample_rate_hz, start
        yield frame
