"""Parts of stream frames: surfaces, furniture, light, and the noise of a camera."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# BGR, (HEIGHT, WIDTH, 3).
Picture = NDArray[np.uint8]
# Brightness (HEIGHT, WIDTH, 3), 0 to 255 and a little beyond.
Light = NDArray[np.float32]

WIDTH, HEIGHT = 640, 480
_NOISES = 4


def room(rng: np.random.Generator) -> Light:
    """Wall, floor and some pieces of furniture, some of them cut by the edge of the picture."""
    picture, floor = surface(rng), int(HEIGHT * rng.uniform(0.6, 0.9))
    picture[floor:] = surface(rng)[floor:]
    picture[floor - 10 : floor] *= np.float32(0.7)
    for _ in range(rng.integers(1, 5)):
        width, height = int(rng.integers(80, 300)), int(rng.integers(60, 340))
        piece = surface(rng)[:height, :width]
        for shelf in range(30, height - 20, int(rng.integers(40, 120))):
            piece[shelf : shelf + 6] *= np.float32(0.6)
        paste(picture, piece, int(rng.integers(-150, WIDTH - 50)), floor - height + int(rng.integers(0, 60)))
    return picture


def surface(rng: np.random.Generator) -> Light:
    """A surface of one colour, with stains, grain and uneven light."""
    texture = np.ones((HEIGHT, WIDTH), np.float32)
    for cell, strength in ((160, 0.08), (24, 0.04), (3, 0.05)):
        coarse = rng.standard_normal((HEIGHT // cell + 2, WIDTH // cell + 2), np.float32)
        stains = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        texture += stains * np.float32(strength * rng.uniform(0, 1.5))
    texture *= slope(rng.uniform(0, 6.3), rng.uniform(0, 0.4))
    return texture[..., np.newaxis] * colour(rng)


def colour(rng: np.random.Generator) -> Light:
    """A muted colour, (3,)."""
    return (rng.uniform(30, 220) * rng.uniform(0.8, 1.2, 3)).astype(np.float32)


def slope(direction: float, depth: float) -> Light:
    """Light that falls off by `depth` across the picture."""
    x, y = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32), np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)
    across = np.float32(math.cos(direction)) * x + np.float32(math.sin(direction)) * y[:, np.newaxis]
    return 1 + np.float32(depth) * across


def paste(picture: Light, piece: Light, left: int, top: int) -> None:
    """Draw `piece` at this position; parts outside of the picture are cut off."""
    x, y = max(left, 0), max(top, 0)
    right, bottom = min(left + piece.shape[1], WIDTH), min(top + piece.shape[0], HEIGHT)
    if right > x and bottom > y:
        picture[y:bottom, x:right] = piece[y - top : bottom - top, x - left : right - left]


def sensor_noise(strength: float, rng: np.random.Generator) -> list[Light]:
    """A few pictures of noise to choose from, because new noise for every frame takes too long."""
    return [rng.standard_normal((HEIGHT, WIDTH, 3), np.float32) * np.float32(strength) for _ in range(_NOISES)]


def as_filmed(light: Light, noise: list[Light], rng: np.random.Generator) -> Picture:
    """The picture that a noisy camera makes of `light`."""
    return np.clip(cv2.add(light, noise[rng.integers(_NOISES)]), 0, 255).astype(np.uint8)
