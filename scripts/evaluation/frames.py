"""Camera frames for measuring: a handwritten digit on paper somewhere in 640 x 480 pixels, or no digit.

Written independently of the training frames (scripts/training), so that it does not share their assumptions. Contrast
is in grey levels. Fields are float32 (HEIGHT, WIDTH).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Frame

Grey = NDArray[np.uint8]
Field = NDArray[np.float32]

WIDTH, HEIGHT = 640, 480
# Range of the height of a digit's ink, as a share of the frame's height; uniform.
SIZES = (0.15, 0.80)
TURN_DEGREES = 15.0
# Least difference in grey levels between ink and paper, where the light on the digit is darkest.
CONTRAST = 60.0
# Least distance in pixels between the digit and the frame's edge.
MARGIN = 4
# The least light anywhere, as a share of the most.
DARKEST = 0.5
# Pixels of a 28 x 28 picture above this level of 255 count as ink.
INK_LEVEL = 64

# All noise is cut from this field, because drawing new noise takes longer than everything else.
_NOISE: Field = np.random.default_rng(4).standard_normal((2 * HEIGHT, 2 * WIDTH), np.float32)


def digit_frame(picture: Grey, rng: np.random.Generator, drawn: Grey | None = None) -> Frame:
    """A frame with the digit in it, as `composed` makes it; BGR or YUV 4:2:0."""
    return _delivered(composed(picture, rng, drawn), rng)


def composed(picture: Grey, rng: np.random.Generator, drawn: Grey | None = None) -> Grey:
    """BGR (HEIGHT, WIDTH, 3) with the digit of a picture (28, 28), light on black, somewhere on paper.

    `drawn` replaces the picture in the drawing, if given, and is drawn unchanged. The same generator gives the same
    scene, whatever is drawn. An all black picture gives the scene without a digit.
    """
    turn, box = _placed(picture, rng)
    light = _light(rng)
    sharpness = rng.uniform(1.5, 4.0)
    darkest = float(light[box].min())
    is_dark = rng.random() < 0.5
    tone = rng.uniform(130, 245) if is_dark else rng.uniform(15, 110)
    contrast = rng.uniform(CONTRAST / darkest, tone - 5 if is_dark else 250 - tone)
    paper = tone + _texture(rng)
    source = picture if drawn is None else drawn
    ink = cv2.warpAffine(source, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).astype(np.float32) / 255
    if drawn is None:
        # sharpens the line, because an enlarged picture of 28 x 28 is blurred
        ink = np.clip((ink - 0.5) * np.float32(sharpness) + 0.5, 0, 1)
    pressure = 1 - 0.15 * np.clip(np.abs(_noise(rng, 12.0)), 0, 1)
    return _photographed((paper + ink * pressure * (-contrast if is_dark else contrast)) * light, rng)


def empty_frame(rng: np.random.Generator, photos: list[Grey]) -> Frame:
    """A frame without any digit: paper, sheets on a desk, shapes as of furniture, or a photo."""
    kind = rng.integers(4)
    if kind == 0:
        scene = rng.uniform(15, 245) + _texture(rng)
    elif kind == 1:
        scene = _sheets(rng)
    elif kind == 2:
        scene = _furniture(rng)
    else:
        photo = photos[rng.integers(len(photos))]
        scene = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32) + _texture(rng)
    return _delivered(_photographed(scene * _light(rng), rng), rng)


def bare_frame(picture: Grey) -> Frame:
    """A grey picture of any size, as a frame."""
    return Frame((cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False),), 0)


def contact_sheet(frames: list[Frame], columns: int) -> Grey:
    """The frames side by side, small and in grey, for people to look at."""
    small = [cv2.resize(_grey(frame), (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA) for frame in frames]
    rows = [np.hstack(small[start : start + columns]) for start in range(0, len(small) // columns * columns, columns)]
    return np.vstack(rows)


def _grey(frame: Frame) -> Grey:
    plane = frame.planes[0]
    return plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def _placed(picture: Grey, rng: np.random.Generator) -> tuple[NDArray[np.float64], tuple[slice, slice]]:
    """The 2 x 3 matrix from the picture to the frame, and the part of the frame that the ink will cover."""
    rows, columns = np.nonzero(picture > INK_LEVEL)
    if not len(rows):
        rows, columns = np.array([4, 23]), np.array([4, 23])
    scale = rng.uniform(*SIZES) * HEIGHT / (rows.max() - rows.min() + 1)
    turn = cv2.getRotationMatrix2D((13.5, 13.5), float(rng.uniform(-TURN_DEGREES, TURN_DEGREES)), scale)
    points = turn @ np.stack((columns, rows, np.ones(len(rows))))
    low, high = points.min(axis=1) - scale / 2, points.max(axis=1) + scale / 2
    free = np.maximum(np.array([WIDTH, HEIGHT]) - 2 * MARGIN - (high - low), 0)
    start = MARGIN + rng.random(2) * free
    turn[:, 2] += start - low
    left, top = start.astype(int)
    right, bottom = np.ceil(start + high - low).astype(int)
    return turn, (slice(top, bottom), slice(left, right))


def _noise(rng: np.random.Generator, grain: float) -> Field:
    """Random field of mean 0 and deviation 1 whose spots are about `grain` pixels wide."""
    scale = max(1.0, grain)
    height, width = int(HEIGHT / scale) + 2, int(WIDTH / scale) + 2
    top, left = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
    part = _NOISE[top : top + height, left : left + width]
    if rng.random() < 0.5:
        part = part[::-1]
    return part[:HEIGHT, :WIDTH] if scale == 1 else cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _texture(rng: np.random.Generator) -> Field:
    """Deviations of a surface from an even one, in grey levels: grain, blotches, fibres, faint lines."""
    texture = rng.uniform(0.5, 5) * _noise(rng, rng.uniform(1, 3)) + rng.uniform(0, 5) * _noise(
        rng, rng.uniform(20, 120)
    )
    if rng.random() < 0.35:
        fibres = cv2.filter2D(_noise(rng, 1), -1, _streak(int(rng.integers(9, 31)), rng.uniform(0, 180)))
        texture = texture + rng.uniform(2, 6) * fibres / fibres.std()
    if rng.random() < 0.35:
        texture = texture + _ruled(rng)
    return texture.astype(np.float32)


def _ruled(rng: np.random.Generator) -> Field:
    """Ruled lines or squares, as on writing paper."""
    lines = np.zeros((HEIGHT, WIDTH), np.float32)
    step, slope, width = int(rng.integers(18, 60)), rng.uniform(-0.08, 0.08), int(rng.integers(1, 3))
    level = float(rng.uniform(6, 22) * rng.choice((-1, 1)))
    for at in range(-60, HEIGHT + 60, step):
        cv2.line(lines, (0, at), (WIDTH, round(at + slope * WIDTH)), level, width, cv2.LINE_AA)
    if rng.random() < 0.4:
        for at in range(-60, WIDTH + 60, step):
            cv2.line(lines, (at, 0), (round(at - slope * HEIGHT), HEIGHT), level, width, cv2.LINE_AA)
    return cv2.GaussianBlur(lines, (0, 0), 0.7)


def _light(rng: np.random.Generator) -> Field:
    """Light over the frame, DARKEST to 1: brighter on one side, often with the soft edge of a shadow."""
    # Light changes little from pixel to pixel. A quarter of the size is enough, and much faster.
    y, x = np.mgrid[0:HEIGHT:4, 0:WIDTH:4].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = (x / WIDTH - 0.5) * np.cos(angle) + (y / HEIGHT - 0.5) * np.sin(angle)
    light = 1 - rng.uniform(0, 0.4) * (along + 0.7) / 1.4
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        edge = (x - rng.uniform(0, WIDTH)) * np.cos(angle) + (y - rng.uniform(0, HEIGHT)) * np.sin(angle)
        light = light * (1 - rng.uniform(0.1, 0.4) / (1 + np.exp(-np.clip(edge / rng.uniform(4, 30), -30, 30))))
    return cv2.resize(np.maximum(light, DARKEST).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def _sheets(rng: np.random.Generator) -> Field:
    """Sheets of paper on a desk, each with a shadow at its edge."""
    scene = (rng.uniform(20, 160) + 2 * _texture(rng)).astype(np.float32)
    for _ in range(rng.integers(1, 4)):
        sheet = np.zeros((HEIGHT, WIDTH), np.float32)
        size = (rng.uniform(150, 500), rng.uniform(150, 500))
        corners = cv2.boxPoints(((rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)), size, rng.uniform(0, 90)))
        cv2.fillPoly(sheet, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
        scene = scene * (1 - 0.4 * cv2.GaussianBlur(sheet, (0, 0), 6))
        scene = scene * (1 - sheet) + (rng.uniform(140, 240) + _texture(rng)) * sheet
    return scene


def _furniture(rng: np.random.Generator) -> Field:
    """A wall with filled boxes and bars before it."""
    scene = (rng.uniform(60, 220) + _texture(rng)).astype(np.float32)
    for _ in range(rng.integers(2, 7)):
        left, top = int(rng.integers(-60, WIDTH)), int(rng.integers(-60, HEIGHT))
        size = (int(rng.integers(40, 400)), int(rng.integers(15, 300)))
        cv2.rectangle(scene, (left, top), (left + size[0], top + size[1]), float(rng.uniform(20, 240)), -1)
    for _ in range(rng.integers(0, 3)):
        # from edge to edge, because a bar that ends within the frame would look like a 1
        ends = ((-40, int(rng.integers(HEIGHT))), (WIDTH + 40, int(rng.integers(HEIGHT))))
        if rng.random() < 0.5:
            ends = ((int(rng.integers(WIDTH)), -40), (int(rng.integers(WIDTH)), HEIGHT + 40))
        cv2.line(scene, *ends, float(rng.uniform(20, 240)), int(rng.integers(4, 40)), cv2.LINE_AA)
    return scene + _texture(rng)


def _photographed(scene: Field, rng: np.random.Generator) -> Grey:
    """BGR of the scene by a cheap camera: out of focus, moved, noisy, often compressed."""
    scene = cv2.GaussianBlur(scene.astype(np.float32), (0, 0), float(rng.uniform(0.3, 2.0)))
    if rng.random() < 0.4:
        scene = cv2.filter2D(scene, -1, _streak(int(rng.integers(3, 11)), rng.uniform(0, 180)))
    scene = scene + rng.uniform(1, 8) * _noise(rng, 1)
    tint = rng.uniform(0.92, 1.0, 3)
    colour = cv2.merge([np.clip(scene * np.float32(part), 0, 255).astype(np.uint8) for part in tint])
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        colour = cv2.imdecode(cv2.imencode(".jpg", colour, quality)[1], cv2.IMREAD_COLOR)
    return colour.astype(np.uint8, copy=False)


def _delivered(colour: Grey, rng: np.random.Generator) -> Frame:
    """The frame that a decoder delivers: BGR, or as often YUV 4:2:0."""
    if rng.random() < 0.5:
        return Frame((colour,), 0)
    planes = cv2.cvtColor(colour, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)
    chroma = planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    return Frame((planes[:HEIGHT], chroma[0], chroma[1]), 0)


def _streak(length: int, degrees: float) -> Field:
    """A line through the middle as a kernel: float32 (length, length) that sums to 1."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    middle = ((length - 1) / 2, (length - 1) / 2)
    kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(middle, degrees, 1), (length, length))
    return kernel / kernel.sum()
