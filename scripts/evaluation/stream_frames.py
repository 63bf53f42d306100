"""Half an hour of camera frames without a digit: rooms, light, people passing, pictures, blank paper.

Written independently of the training scenes, so that it tests something else.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from evaluation.stream_surfaces import (
    HEIGHT,
    WIDTH,
    Light,
    Picture,
    as_filmed,
    colour,
    paste,
    room,
    sensor_noise,
    slope,
    surface,
)

# From the time within the scene, 0 to 1, to brightness (HEIGHT, WIDTH, 3), 0 to 255 and a little beyond.
Scene = Callable[[float], Light]

SCENE_S = 15.0


def empty_frames(seconds: float, fps: float, photos: Sequence[Path], seed: int) -> Iterator[Picture]:
    """BGR pictures (HEIGHT, WIDTH, 3); every SCENE_S the next of the nine kinds of scene."""
    rng = np.random.default_rng(seed)
    length = round(SCENE_S * fps)
    for index in range(round(seconds * fps)):
        within = index % length
        if within == 0:
            scene = _new_scene(index // length, photos, rng)
            noise = sensor_noise(rng.uniform(1, 8), rng)
        yield as_filmed(scene(within / length), noise, rng)


def _new_scene(index: int, photos: Sequence[Path], rng: np.random.Generator) -> Scene:
    kinds = [_wall, _furniture, _passer_by, _paper, _shadows, _edges, _window, _dark, partial(_photos, photos)]
    return kinds[index % len(kinds)](rng)


def _wall(rng: np.random.Generator) -> Scene:
    """A textured wall in slowly changing light."""
    wall, direction = surface(rng), rng.uniform(0, 2 * math.pi)
    depth = rng.uniform(0.1, 0.5)

    def at(t: float) -> Light:
        light = slope(direction + t * 1.5, depth)
        return wall * (light * np.float32(0.75 + 0.25 * math.sin(2 * math.pi * t)))[..., np.newaxis]

    return at


def _furniture(rng: np.random.Generator) -> Scene:
    """Cupboards, tables and a door; one of them moves."""
    place = room(rng)
    width, height = rng.integers(90, 260), rng.integers(120, 300)
    piece = np.ascontiguousarray(surface(rng)[:height, :width])
    cv2.rectangle(piece, (0, 0), (int(width) - 1, int(height) - 1), colour(rng).tolist(), 16)
    begin, way = rng.uniform(-0.3, 0.3), rng.uniform(0.3, 1.0) * rng.choice([-1, 1])
    floor = HEIGHT - rng.integers(10, 80)

    def at(t: float) -> Light:
        picture = place.copy()
        paste(picture, piece, round(WIDTH * (0.5 + begin + way * (t - 0.5))) - width // 2, floor - height)
        return picture

    return at


def _passer_by(rng: np.random.Generator) -> Scene:
    """A person walks through, with motion blur."""
    place, coat, skin = room(rng), colour(rng), rng.uniform(60, 210)
    size, sway = rng.uniform(0.7, 1.4), rng.uniform(4, 12)
    blur = int(rng.integers(15, 50))

    def at(t: float) -> Light:
        x, y = round(WIDTH * (1.6 * t - 0.3)), round(HEIGHT * 0.62 + sway * math.sin(40 * t))
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.ellipse(mask, (x, y), (round(75 * size), round(170 * size)), 0, 0, 360, 1, cv2.FILLED)
        head = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.circle(head, (x, y - round(200 * size)), round(45 * size), 1, cv2.FILLED)
        picture = place
        for part, tint in ((mask, coat), (head, skin)):
            part = cv2.blur(part, (blur, 9))[..., np.newaxis]
            picture = picture * (1 - part) + part * np.float32(tint)
        return picture

    return at


def _paper(rng: np.random.Generator) -> Scene:
    """Sheets without writing are pushed about on a table, each with its shadow."""
    table, count = surface(rng), int(rng.integers(1, 4))
    middles, turns = rng.uniform(0.25, 0.75, (count, 2)), rng.uniform(-40, 40, count)
    moves, sizes = rng.uniform(-0.2, 0.2, (count, 2)), rng.uniform(90, 280, count)
    whites = rng.uniform(170, 250, count)
    crumple = cv2.resize(rng.normal(1, 0.04, (6, 8)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    def at(t: float) -> Light:
        picture = table.copy()
        for middle, turn, move, size, white in zip(middles, turns, moves, sizes, whites, strict=True):
            where = (middle + move * t) * (WIDTH, HEIGHT)
            corners = cv2.boxPoints((tuple(where), (size, size * 1.41), turn + 10 * t)).astype(np.int32)
            shade = np.ones((HEIGHT, WIDTH), np.float32)
            cv2.fillConvexPoly(shade, corners + np.array((8, 10)), 0.6)
            picture *= cv2.blur(shade, (15, 15))[..., np.newaxis]
            sheet = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.fillConvexPoly(sheet, corners, 255)
            picture[sheet > 0] = (crumple * np.float32(white))[sheet > 0, np.newaxis]
        return picture

    return at


def _shadows(rng: np.random.Generator) -> Scene:
    """Soft shadows of branches and people move over a wall."""
    wall, shadows = surface(rng), int(rng.integers(2, 6))
    corners = rng.uniform(0, 1, (shadows, 5, 2)) * (WIDTH, HEIGHT)
    moves, softness = rng.uniform(-150, 150, (shadows, 1, 2)), int(rng.integers(10, 40))
    depth = rng.uniform(0.3, 0.8)

    def at(t: float) -> Light:
        shade = np.ones((HEIGHT, WIDTH), np.float32)
        for shadow in (corners + moves * t).astype(np.int32):
            cv2.fillConvexPoly(shade, cv2.convexHull(shadow), depth)
        return wall * cv2.blur(shade, (softness, softness))[..., np.newaxis]

    return at


def _edges(rng: np.random.Generator) -> Scene:
    """Shelves, tiles, boards or blinds: straight edges across the picture that turn a little."""
    pattern = surface(rng)
    step, joint = int(rng.integers(24, 110)), int(rng.integers(2, 9))
    darker = np.float32(rng.uniform(0.3, 1.5))
    kind = rng.integers(3)
    if kind != 1:
        for x in range(0, WIDTH, step):
            pattern[:, x : x + joint] *= darker
    if kind != 0:
        for y in range(0, HEIGHT, step * 2 // 3):
            pattern[y : y + joint] *= darker
    angle, turn, zoom = rng.uniform(-20, 20), rng.uniform(-8, 8), rng.uniform(1.4, 1.8)

    def at(t: float) -> Light:
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle + turn * t, zoom)
        return cv2.warpAffine(pattern, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)

    return at


def _window(rng: np.random.Generator) -> Scene:
    """A bright window in a room, out of focus, while clouds pass."""
    place = room(rng) * np.float32(0.6)
    left, top = int(rng.integers(40, 300)), int(rng.integers(20, 120))
    width, height = int(rng.integers(160, 320)), int(rng.integers(160, 300))
    sky = np.zeros((HEIGHT, WIDTH), np.float32)
    sky[top : top + height, left : left + width] = 1
    sky[top + height // 2 : top + height // 2 + 14] = 0
    sky = cv2.blur(sky, (9, 9))[..., np.newaxis]
    phase = rng.uniform(0, 6)

    def at(t: float) -> Light:
        day = np.float32(0.7 + 0.3 * math.sin(9 * t + phase))
        return place * (0.6 + 0.4 * day) * (1 - sky) + sky * np.float32(250) * day

    return at


def _dark(rng: np.random.Generator) -> Scene:
    """A noisy room at night; a lamp goes on and off."""
    place = room(rng)
    x, y = rng.integers(0, WIDTH), rng.integers(0, HEIGHT)
    lamp = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.circle(lamp, (int(x), int(y)), int(rng.integers(60, 160)), 1, cv2.FILLED)
    lamp = cv2.blur(lamp, (151, 151))[..., np.newaxis]
    grains = [cv2.resize(rng.normal(0, 12, (120, 160, 3)), (WIDTH, HEIGHT)).astype(np.float32) for _ in range(4)]
    on, off = sorted(rng.uniform(0, 1, 2))

    def at(t: float) -> Light:
        light = place * np.float32(0.15) + grains[rng.integers(4)]
        return light + lamp * place * np.float32(0.8) if on < t < off else light

    return at


def _photos(photos: Sequence[Path], rng: np.random.Generator) -> Scene:
    """Photos of 32 x 32 pixels, enlarged, drift by."""
    wall = surface(rng)
    size = int(rng.integers(200, 460))
    chosen = rng.choice(len(photos), 5, replace=False)
    pictures = [
        cv2.resize(cv2.imread(str(photos[index])), (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        for index in chosen
    ]
    tops = rng.integers(-size // 4, HEIGHT - size * 3 // 4, len(pictures))

    def at(t: float) -> Light:
        picture = wall.copy()
        way = (size + 60) * len(pictures) + WIDTH
        for index, photo in enumerate(pictures):
            paste(picture, photo, round(WIDTH + (size + 60) * index - way * t), int(tops[index]))
        return picture

    return at
