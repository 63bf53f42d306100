"""Draws a yard with a garage, as a camera sees it at an hour of the day: open, half open or closed. Pure."""

import cv2
import numpy as np

from daemon.core.records import Plane

WIDTH, HEIGHT = 320, 240
# How far the door is up, at most and at least, by state.
STATES = {"open": (0.85, 1.0), "half": (0.35, 0.6), "closed": (0.0, 0.04)}
# Between these hours the sun is up. At other hours the camera sees by infrared light: grey, dark and noisy.
SUNRISE, SUNSET = 7.0, 18.0
NOISE_BY_DAY, NOISE_BY_NIGHT = 3.0, 9.0
COLOURS = {
    "sky": (200, 170, 130),
    "wall": (120, 140, 165),
    "drive": (95, 95, 100),
    "door": (205, 205, 200),
    "inside": (35, 38, 45),
}


def garage(state: str | None, hour: float, rng: np.random.Generator) -> Plane:
    """The yard at an hour. The camera shakes by some pixels, and cars and leaves come and go; None: no garage."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:90], picture[90:] = COLOURS["sky"], COLOURS["drive"]
    dx, dy = (int(shift) for shift in rng.integers(-2, 3, 2))
    if state is not None:
        _house(picture, dx, dy, float(rng.uniform(*STATES[state])))
    for _ in range(int(rng.integers(0, 9))):  # leaves on the drive
        centre = (int(rng.integers(WIDTH)), int(rng.integers(205, HEIGHT)))
        cv2.ellipse(picture, (centre, (8, 4), float(rng.uniform(0, 180))), (40, 90, 140), -1)
    if rng.random() < 0.3:  # a car at the side of the drive
        left, hue = int(rng.integers(0, 25)), [int(each) for each in rng.integers(30, 220, 3)]
        cv2.rectangle(picture, (left, 165), (left + 70, 200), hue, -1)
        cv2.rectangle(picture, (left + 12, 148), (left + 56, 165), (60, 55, 50), -1)
    return _filmed(picture, hour, rng)


def empty_yard(rng: np.random.Generator) -> Plane:
    """A yard without a garage, at any hour."""
    return garage(None, float(rng.uniform(0, 24)), rng)


def covered(rng: np.random.Generator) -> Plane:
    """The picture of a camera that is covered: one dark or grey tone with noise."""
    tone = float(rng.uniform(0, 90))
    noise = rng.normal(0, float(rng.uniform(1, NOISE_BY_NIGHT)), (HEIGHT, WIDTH, 3))
    return np.clip(tone + noise, 0, 255).astype(np.uint8)


def _house(picture: Plane, dx: int, dy: int, up: float) -> None:
    left, right, top, bottom = 95 + dx, 225 + dx, 95 + dy, 195 + dy
    cv2.rectangle(picture, (70 + dx, 60 + dy), (250 + dx, bottom), COLOURS["wall"], -1)
    roof = np.array([(60 + dx, 62 + dy), (260 + dx, 62 + dy), (160 + dx, 25 + dy)], np.int32)
    cv2.fillPoly(picture, [roof], (60, 65, 120))
    cv2.rectangle(picture, (left, top), (right, bottom), COLOURS["inside"], -1)
    cv2.rectangle(picture, (left + 20, bottom - 35), (right - 50, bottom - 8), (70, 60, 55), -1)  # shelves inside
    edge = round(bottom - (bottom - top) * up)
    if edge > top:
        cv2.rectangle(picture, (left, top), (right, edge), COLOURS["door"], -1)
        for line in range(edge - 12, top, -14):
            cv2.line(picture, (left, line), (right, line), (150, 150, 148), 1)


def _filmed(picture: Plane, hour: float, rng: np.random.Generator) -> Plane:
    """The light of the hour, the shadow of the sun, and the noise of the sensor."""
    seen = picture.astype(np.float32)
    if SUNRISE <= hour < SUNSET:
        height = np.sin(np.pi * (hour - SUNRISE) / (SUNSET - SUNRISE))
        warm = np.array([1 - 0.25 * (1 - height), 1 - 0.1 * (1 - height), 1.0], np.float32)
        seen *= (0.45 + 0.6 * height) * rng.uniform(0.85, 1.1) * warm
        edge = round(WIDTH * (hour - SUNRISE) / (SUNSET - SUNRISE))
        shade = slice(edge, None) if hour < 12 else slice(None, edge)
        seen[90:, shade] *= 0.7
        noise = NOISE_BY_DAY
    else:
        grey = seen.mean(axis=2, keepdims=True)
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        lamp = np.exp(-(((x - WIDTH / 2) / 150) ** 2 + ((y - 150) / 120) ** 2))[..., np.newaxis]
        seen = np.repeat(grey * lamp * np.float32(rng.uniform(0.45, 0.65)), 3, axis=2)
        noise = NOISE_BY_NIGHT
    return np.clip(seen + rng.normal(0, noise, seen.shape), 0, 255).astype(np.uint8)
