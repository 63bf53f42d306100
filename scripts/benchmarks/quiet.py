"""A recording that is quiet nine tenths of the time, and the real bundle with a head that recognises the rest."""

from pathlib import Path

import av
import cv2
import numpy as np
import yaml

from benchmarks.bundles import build_real_bundle
from daemon.bundle.bundle import load_bundle
from daemon.core.records import Block, Frame
from daemon.encoders.audio import AudioFrontEnd
from daemon.inference.graphs import write_head
from daemon.pipeline.recogniser import Recogniser, load_recogniser

WIDTH, HEIGHT, FPS, RATE_HZ = 640, 480, 30, 16_000
ACTIVE_PART = 0.1
LABELS = ["quiet", "moving"]
# Log-odds that each sense has on the examples of the head. A picture alone outweighs sound that is not heard yet.
IMAGE_LOG_ODDS, AUDIO_LOG_ODDS = 5.0, 2.0

RIDGE = 1e-3
# Number of pictures of each label that the head is fitted to.
PICTURES = 24


class QuietClip:
    """640x480 at 30 frames a second with sound: a still room with faint noise.

    In the middle of the clip a disc moves and a tone sounds.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.active_from_s = seconds * (1 - ACTIVE_PART) / 2
        self.active_until_s = seconds * (1 + ACTIVE_PART) / 2
        self._generator = np.random.default_rng(1)
        scene = self._generator.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._scene = cv2.normalize(cv2.GaussianBlur(scene, (0, 0), 25), None, 30, 220, cv2.NORM_MINMAX)
        self._noise = [self._generator.integers(0, 6, self._scene.shape, np.uint8) for _ in range(15)]

    def picture(self, at_s: float) -> np.ndarray:
        """The picture at this time: BGR of shape (HEIGHT, WIDTH, 3)."""
        view = self._scene
        if self.active_from_s <= at_s < self.active_until_s:
            view = view.copy()
            cv2.circle(view, (int(320 + 200 * np.cos(at_s * 2.5)), 240), 90, (20, 200, 240), -1)
        return cv2.add(view, self._noise[round(at_s * FPS) % len(self._noise)])

    def sound(self) -> np.ndarray:
        """The sound of the whole clip, float32 in [-1, 1]."""
        times = np.arange(round(self.seconds * RATE_HZ)) / RATE_HZ
        is_active = (times >= self.active_from_s) & (times < self.active_until_s)
        loud = 0.3 * np.sin(2 * np.pi * (600 + 300 * np.sin(3 * times)) * times)
        return (np.where(is_active, loud, 0.0) + np.random.default_rng(2).normal(0, 0.001, len(times))).astype(
            np.float32
        )

    def write(self, path: Path) -> None:
        """Write the clip as H.264 and AAC."""
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(FPS)})
            video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 1_000_000
            audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
            for index in range(round(self.seconds * FPS)):
                container.mux(video.encode(av.VideoFrame.from_ndarray(self.picture(index / FPS), format="bgr24")))
            container.mux(video.encode())
            samples = self.sound()
            for start in range(0, len(samples), 1024):
                piece = av.AudioFrame.from_ndarray(samples[np.newaxis, start : start + 1024], "fltp", "mono")
                piece.sample_rate, piece.pts = RATE_HZ, start
                container.mux(audio.encode(piece))
            container.mux(audio.encode())


def build_listening_bundle(models: Path, directory: Path, clip: QuietClip) -> None:
    """Write the real bundle with two labels, and a head fitted to its encoders' embeddings of the clip."""
    build_real_bundle(models, directory)
    path = directory / "bundle.yaml"
    manifest = yaml.safe_load(path.read_text())
    recogniser = load_recogniser(load_bundle(directory))
    spans = (1.0, clip.active_from_s), (clip.active_from_s, clip.active_until_s)
    image = _fitted(*(_image_rows(recogniser, clip, *span) for span in spans), IMAGE_LOG_ODDS)
    audio = _fitted(*(_audio_rows(recogniser, clip, *span) for span in spans), AUDIO_LOG_ODDS)
    weight = np.concatenate((image, audio, (0, 0)))
    weights, sizes = np.stack([-weight, weight]).astype(np.float32) / 2, [len(image), len(audio)]
    (directory / "head.tflite").write_bytes(write_head(weights, np.zeros(len(LABELS), np.float32), sizes))
    manifest |= {"labels": LABELS, "background": [LABELS[0]]}
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))


def _fitted(quiet: np.ndarray, active: np.ndarray, log_odds: float) -> np.ndarray:
    """Weights that give about -log_odds for quiet rows and log_odds for active rows: least squares with a ridge.

    In the dual form, because there are far fewer examples than numbers in an embedding.
    """
    rows = np.concatenate((quiet, active)).astype(np.float64)
    targets = np.repeat((-log_odds, log_odds), (len(quiet), len(active)))
    gram = rows @ rows.T
    return rows.T @ np.linalg.solve(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), targets)


def _image_rows(recogniser: Recogniser, clip: QuietClip, begin_s: float, end_s: float) -> np.ndarray:
    times_s = np.linspace(begin_s, end_s, PICTURES, endpoint=False)
    encoder = recogniser.encoders["image"]
    return np.stack([encoder.encode(Frame((clip.picture(at_s),), 0)).vector for at_s in times_s])


def _audio_rows(recogniser: Recogniser, clip: QuietClip, begin_s: float, end_s: float) -> np.ndarray:
    audio, encoder = recogniser.bundle.manifest.encoder_specs["audio"], recogniser.encoders["audio"]
    samples = clip.sound()[round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)]
    patches = AudioFrontEnd(audio.preprocessing).push(Block(samples, RATE_HZ, 0))
    return np.stack([encoder.encode(patch).vector for patch in patches])
