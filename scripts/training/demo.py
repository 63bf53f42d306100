"""Makes the demo clip: a camera's view of a wall with a note, the sound of a room, and lines of text.

The clip shares no digit, voice or line with the training items. Its strokes use another seed, and its voices are not
among voices.VARIANTS.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from training.speech import Sound
from training.strokes import draw_digit, draw_scribble
from training.voices import speak

FOLDER = Path("models/digits/demo")
SEED = 7_070
WIDTH, HEIGHT, FPS = 640, 480, 30
RATE_HZ = 16_000
# A pause in picture and sound between two passages, so that events end.
GAP_S = 1.0
VIDEO_BITRATE = 330_000
AUDIO_BITRATE = 40_000

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """What is shown, spoken and sent as text in one stretch of the clip.

    `image`, `audio` and `text` name a digit or are None. `voice`, `height` and `place` set how it is spoken and drawn.
    """

    kind: str
    duration_s: float
    image: str | None = None
    audio: str | None = None
    text: str | None = None
    spoken: str = ""
    written: str = ""
    voice: str = "en-us+m6"
    height: float = 0.4
    place: tuple[float, float] = (0.5, 0.5)

    @property
    def label(self) -> str | None:
        """The digit to be recognised, or None."""
        if self.kind in ("neither", "contradiction"):
            return None
        return self.image or self.audio or self.text


PASSAGES = (
    Passage("both", 1.8, image="3", audio="3", spoken="three", height=0.45, place=(0.4, 0.5)),
    Passage("image", 1.4, image="8", height=0.3, place=(0.68, 0.4)),
    Passage("audio", 1.5, audio="5", spoken="five", voice="en-gb+Alicia"),
    Passage("text", 2.2, text="7", written="room seven"),
    Passage(
        "neither", 1.6, spoken="good evening", written="please close the door", voice="en-gb+m6", place=(0.45, 0.5)
    ),
    Passage("both", 1.8, image="0", audio="0", spoken="zero", voice="en-us+Annie", height=0.35, place=(0.3, 0.55)),
    Passage("contradiction", 1.8, image="2", audio="6", spoken="six", height=0.5, place=(0.55, 0.5)),
    Passage("image", 1.4, image="4", height=0.55, place=(0.5, 0.5)),
    Passage("audio", 1.5, audio="9", spoken="nine", voice="en-us+Andy"),
    Passage("text", 2.2, text="2", written="Raum 2"),
    Passage("both", 1.8, image="6", audio="6", spoken="sechs", voice="de+m6", height=0.4, place=(0.6, 0.45)),
    Passage("image", 1.4, image="1", height=0.4, place=(0.4, 0.5)),
)


def main() -> None:
    """Write clip.mp4, clip.text.yaml and clip.truth.yaml."""
    rng = np.random.default_rng(SEED)
    starts = _starts()
    length_s = starts[-1] + PASSAGES[-1].duration_s + GAP_S
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write_clip(FOLDER / "clip.mp4", _pictures(starts, length_s, rng), _sound(starts, length_s, rng))
    lines = [
        {"at_s": start, "text": passage.written}
        for start, passage in zip(starts, PASSAGES, strict=True)
        if passage.written
    ]
    _write_yaml(FOLDER / "clip.text.yaml", {"lines": lines})
    passages = []
    for start, passage in zip(starts, PASSAGES, strict=True):
        shown = {name: value for name, value in asdict(passage).items() if name in ("image", "audio", "text")}
        end = round(start + passage.duration_s, 3)
        passages.append({"start_s": start, "end_s": end, "kind": passage.kind, "label": passage.label, **shown})
    _write_yaml(FOLDER / "clip.truth.yaml", {"passages": passages})


def _starts() -> list[float]:
    starts, at = [], GAP_S
    for passage in PASSAGES:
        starts.append(round(at, 3))
        at += passage.duration_s + GAP_S
    return starts


def _pictures(starts: list[float], length_s: float, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """BGR frames of a hand-held camera: the view sways a little, the light flickers, and the sensor is noisy."""
    wall = _wall(rng)
    inks = [_ink(passage, rng) for passage in PASSAGES]
    grain = rng.normal(0, 2.5, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)
    for index in range(round(length_s * FPS)):
        at_s = index / FPS
        view = wall
        for start, passage, ink in zip(starts, PASSAGES, inks, strict=True):
            if ink is not None and start <= at_s < start + passage.duration_s:
                view = wall * (1 - ink[..., np.newaxis]) + np.float32([52, 44, 40]) * ink[..., np.newaxis]
        sway = np.array([[1, 0, 5 * np.sin(0.9 * at_s) - 20], [0, 1, 4 * np.sin(1.3 * at_s + 1) - 20]], np.float32)
        frame = cv2.warpAffine(view, sway, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        left, top = rng.integers(0, 64, 2)
        frame = frame * (1 + 0.015 * np.sin(2.1 * at_s)) + grain[top : top + HEIGHT, left : left + WIDTH, np.newaxis]
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _wall(rng: np.random.Generator) -> Picture:
    """A textured wall, brighter on one side, with a picture frame's corner: float32 BGR with a margin of 20."""
    height, width = HEIGHT + 40, WIDTH + 40
    light = np.linspace(1.05, 0.85, width, dtype=np.float32)[np.newaxis] * np.linspace(1.0, 0.93, height)[:, np.newaxis]
    coarse = cv2.resize(rng.normal(0, 5, (9, 12)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.normal(0, 3, (130, 170)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    wall = (200 * light + coarse + fine).astype(np.float32)
    picture = cv2.merge([wall * 0.94, wall * 0.98, wall])
    cv2.rectangle(picture, (width - 70, -10), (width + 10, 120), (96, 110, 128), -1)  # a picture frame's corner
    cv2.rectangle(picture, (0, height - 46), (width, height), (120, 132, 140), -1)  # the skirting board
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def _ink(passage: Passage, rng: np.random.Generator) -> Picture | None:
    """The ink on the wall during the passage, 0 to 1; None where nothing is drawn."""
    if passage.image is None and passage.kind != "neither":
        return None
    drawn = draw_scribble(rng, 400) if passage.image is None else draw_digit(int(passage.image), rng, 400)
    rows = np.flatnonzero(drawn.max(axis=1) > 64)
    scale = passage.height * HEIGHT / (rows[-1] - rows[0])
    turn = cv2.getRotationMatrix2D((200, 200), float(rng.uniform(-8, 8)), scale)
    turn[:, 2] += np.array(passage.place) * (WIDTH, HEIGHT) + 20 - 200
    ink = cv2.warpAffine(drawn, turn, (WIDTH + 40, HEIGHT + 40), flags=cv2.INTER_AREA)
    return cv2.GaussianBlur(ink, (0, 0), 1.2).astype(np.float32) / 255


def _sound(starts: list[float], length_s: float, rng: np.random.Generator) -> Sound:
    """Quiet room noise with the voices in it: float32 (n,) at RATE_HZ."""
    samples = rng.normal(0, 0.0015, round(length_s * RATE_HZ)).astype(np.float32)
    for start, passage in zip(starts, PASSAGES, strict=True):
        if passage.spoken:
            voice = speak(passage.spoken, passage.voice, 140, 50, RATE_HZ)
            first = round((start + 0.3) * RATE_HZ)
            samples[first : first + len(voice)] += voice * np.float32(0.5 / np.abs(voice).max())
    return np.clip(samples, -1, 1)


def _write_clip(path: Path, pictures: Iterator[NDArray[np.uint8]], sound: Sound) -> None:
    """Write H.264 with a key frame every second, and AAC."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        # one thread: with more, the file differs from run to run
        video = container.add_stream(
            "libx264", FPS, options={"preset": "slow", "g": str(FPS), "bf": "0", "threads": "1"}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.bit_rate = VIDEO_BITRATE
        audio = container.add_stream("aac", RATE_HZ, layout="mono")
        audio.bit_rate = AUDIO_BITRATE
        for index, picture in enumerate(pictures):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
            first, last = index * RATE_HZ // FPS, (index + 1) * RATE_HZ // FPS
            part = av.AudioFrame.from_ndarray(sound[np.newaxis, first:last], "fltp", "mono")
            part.sample_rate, part.pts, part.time_base = RATE_HZ, first, Fraction(1, RATE_HZ)
            container.mux(audio.encode(part))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _write_yaml(path: Path, value: object) -> None:
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
