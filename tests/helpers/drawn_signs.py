"""Draws a wall with digits and with a sign that is none, as pictures and as a film."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from daemon.core.records import Array, Plane

WIDTH, HEIGHT = 320, 240
RATE_HZ = 10

# of the film: how long each part lasts
WALL_S, DIGIT_S, SIGN_S = 1.0, 1.5, 3.0
PERIOD_S = WALL_S + DIGIT_S + WALL_S + SIGN_S

CROSS = [[(-1, -1), (1, 1)], [(-1, 1), (1, -1)]]
SEVEN = [[(-0.6, -1), (0.6, -1), (-0.1, 1)]]
Strokes = Sequence[Sequence[tuple[float, float]]]


class Artist:
    """Draws on one wall. No two drawings are equal, and no two pictures of a drawing: the camera has noise."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        cloud = self._rng.normal(0, 1, (6, 8)).astype(np.float32)
        texture = cv2.resize(cloud, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        self._wall = np.array([180, 184, 188], np.float32) + 6 * texture[..., np.newaxis]

    def sign(self, strokes: Strokes) -> Array:
        """Return the wall with a drawing of strokes, given as points between -1 and 1."""
        shown, rng = self._wall.copy(), self._rng
        size, angle, thickness = rng.uniform(32, 42), rng.normal(0, 0.08), int(rng.integers(4, 7))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        place = np.array([rng.uniform(145, 175), rng.uniform(110, 130)])
        for stroke in strokes:
            points = (np.array(stroke) + rng.normal(0, 0.03, (len(stroke), 2))) @ turn * size + place
            fixed = np.round(points * 16).astype(np.int32)
            cv2.polylines(shown, [fixed], False, (45, 40, 40), thickness, cv2.LINE_AA, 4)
        return shown

    def digit(self, digit: int) -> Array:
        """Return the wall with a digit."""
        shown, rng = np.clip(self._wall, 0, 255).astype(np.uint8), self._rng
        place, scale = (int(rng.uniform(110, 150)), int(rng.uniform(140, 165))), float(rng.uniform(2.5, 3.5))
        cv2.putText(shown, str(digit), place, cv2.FONT_HERSHEY_SIMPLEX, scale, (45, 40, 40), 5, cv2.LINE_AA)
        return shown.astype(np.float32)

    def wall(self) -> Array:
        """Return the empty wall."""
        return self._wall

    def seen(self, shown: Array) -> Plane:
        """Return the picture of a drawing."""
        noise = self._rng.normal(0, 4, shown.shape)
        return np.clip(shown * self._rng.uniform(0.98, 1.02) + noise, 0, 255).astype(np.uint8)

    def background(self, count: int) -> Iterator[Plane]:
        """Yield pictures of digits and of the empty wall, in turn."""
        for number in range(count):
            yield self.seen(self.digit(number // 2 % 10) if number % 2 else self.wall())


def write_film(path: Path, periods: int, sign_s: float = SIGN_S) -> None:
    """Write a film of periods: the wall, a digit, the wall, the cross for `sign_s`."""
    artist = Artist(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for period in range(periods):
            parts = (
                (WALL_S, artist.wall()),
                (DIGIT_S, artist.digit(2 * period % 10)),
                (WALL_S, artist.wall()),
                (sign_s, artist.sign(CROSS)),
            )
            for seconds, shown in parts:
                for _ in range(round(seconds * RATE_HZ)):
                    frame = av.VideoFrame.from_ndarray(artist.seen(shown), format="bgr24")
                    container.mux(stream.encode(frame))
        container.mux(stream.encode())
