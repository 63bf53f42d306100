"""Drawn pictures, a short clip and a spectrogram, for a page without a node."""

import functools
import io
import math

import av
import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

TONES = [((196, 178, 150), (92, 118, 88)), ((150, 160, 186), (70, 84, 120)), ((120, 110, 96), (60, 58, 54))]
WIDTH, HEIGHT, FPS, SOUND_HZ, SECONDS = 640, 480, 10, 16_000, 6.0


def scene(name: str, seconds: float) -> Pixels:
    """Return a picture of a place: walls and things in the colours of its name, and something that moves."""
    tone = sum(map(ord, name)) % 3
    top, low = [((196, 178, 150), (92, 118, 88)), ((150, 160, 186), (70, 84, 120)), ((120, 110, 96), (60, 58, 54))][
        tone
    ]
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    picture = (np.array(top, np.float32) * (1 - rows) + np.array(low, np.float32) * rows).repeat(WIDTH, axis=1)
    picture = np.ascontiguousarray(picture.astype(np.uint8))
    cv2.rectangle(picture, (0, 330), (WIDTH, HEIGHT), tuple(int(0.75 * part) for part in low), -1)
    cv2.rectangle(picture, (400, 140), (560, 330), (70, 60, 48), -1)
    cv2.rectangle(picture, (412, 152), (548, 318), (128, 104, 82), -1)
    cv2.circle(picture, (430, 240), 6, (210, 220, 220), -1)
    x = 120 + round(90 * math.sin(seconds))
    cv2.ellipse(picture, (x, 360), (70, 34), 0, 0, 360, (58, 92, 150), -1, cv2.LINE_AA)
    cv2.circle(picture, (x + 62, 322), 28, (66, 104, 166), -1, cv2.LINE_AA)
    return picture


def jpeg(picture: Pixels) -> bytes:
    """Return a picture as JPEG."""
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


@functools.cache
def clip() -> bytes:
    """Return an MP4 of H.264 and AAC: a place in which something moves, and a sound that rises."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"preset": "ultrafast"}
        audio = container.add_stream("aac", rate=SOUND_HZ)
        audio.layout = "mono"
        for number in range(round(SECONDS * FPS)):
            frame = av.VideoFrame.from_ndarray(scene("yard", 2 * number / FPS), format="bgr24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        samples = sound()
        for start in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[start : start + 1024][None], format="s16", layout="mono")
            block.sample_rate, block.pts = SOUND_HZ, start
            container.mux(audio.encode(block))
        container.mux(audio.encode())
    return target.getvalue()


def sound() -> npt.NDArray[np.int16]:
    """Return two barks of rising tones above some noise."""
    at = np.arange(round(SECONDS * SOUND_HZ)) / SOUND_HZ
    barks = np.exp(-((at - 2.0) ** 2) / 0.02) + np.exp(-((at - 3.1) ** 2) / 0.03)
    tones = np.sin(2 * np.pi * 420 * at) + 0.5 * np.sin(2 * np.pi * 1260 * at) + 0.3 * np.sin(2 * np.pi * 2500 * at)
    noise = np.random.default_rng(1).normal(0, 0.02, len(at))
    return (8000 * (barks * tones / 1.8 + noise)).astype(np.int16)


@functools.cache
def spectrogram() -> bytes:
    """Return the spectrogram of the sound as PNG, 800 pixels wide."""
    samples = sound()
    starts = np.linspace(0, len(samples) - 512, 800).astype(int)
    windows = np.stack([samples[start : start + 512] for start in starts]) * np.hanning(512)
    levels = 20 * np.log10(np.abs(np.fft.rfft(windows))[:, :160].T[::-1] + 1)
    scaled = np.clip(255 * (levels - 40) / 85, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO))[1])


@functools.cache
def wav() -> bytes:
    """Return the sound as a WAV file."""
    target = io.BytesIO()
    with av.open(target, "w", format="wav") as container:
        audio = container.add_stream("pcm_s16le", rate=SOUND_HZ)
        audio.layout = "mono"
        block = av.AudioFrame.from_ndarray(sound()[None], format="s16", layout="mono")
        block.sample_rate = SOUND_HZ
        container.mux(audio.encode(block))
        container.mux(audio.encode())
    return target.getvalue()
