"""Pictures as a camera sees them, with one digit or none, composed at the encoder's input size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Frame
from daemon.encoders.image import fit
from training.cells import LEVELS
from training.clutter import Box, Mask, add_pile, add_shapes, add_sheet
from training.glyphs import Faded, box_of, pen_changed, rewritten
from training.specs import IMAGE, NONE
from training.strokes import draw_digit, draw_scribble

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """Height and width of a picture, and the least and greatest height of a digit in it, all in pixels.

    The network looks at the picture in `levels` sizes.
    """

    height: int
    width: int
    lowest: float
    highest: float
    levels: int


# The input of the image encoder. Digits are a little smaller and larger than the model card promises.
FRAME = View(120, 160, 0.14 * 120, 0.82 * 120, LEVELS)
# A smaller view to learn the choice between two sizes and the absence of a digit, four times as fast.
PART = View(60, 80, 13.0, 50.0, 2)
# The smallest view, to learn digits at a single size.
CLOSE = View(40, 48, 13.0, 36.0, 1)
# Share of the frames with a digit in which the small picture fills the frame.
FULL_FRAME_SHARE = 0.17
# Range of the PCA energy that remains in a faded digit.
LEAST_ENERGY, MOST_ENERGY = 0.15, 0.7
# Characters that nobody confuses with a digit.
LETTERS = "AEFHKMNPRUVWXadefhkmnrtuvwxy?&#@%+="

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
)


class Composer:
    """Makes frames of one view from handwritten digits (n, 28, 28) and from digits drawn with strokes.

    `faded_share` of the handwritten digits lose most of their PCA energy.
    """

    def __init__(self, images: Grey, labels: Sequence[int], view: View = FRAME, faded_share: float = 0.2) -> None:
        self.images, self.labels = images, np.asarray(labels)
        self._view, self._faded, self._faded_share = view, Faded(images), faded_share

    def frames(
        self, count: int, rng: np.random.Generator, none_share: float = 0.2
    ) -> tuple[Grey, NDArray[np.int64], NDArray[np.int16]]:
        """`count` frames (n, height, width), their labels (n,), and boxes (n, 4) of left, top, right, bottom.

        A frame without a digit has the label NONE and a box of zeros.
        """
        frames = np.empty((count, self._view.height, self._view.width), np.uint8)
        labels, boxes = np.full(count, NONE, np.int64), np.zeros((count, 4), np.int16)
        for index in range(count):
            if rng.random() < none_share:
                frames[index] = self.without_digit(rng)
                continue
            mask, labels[index] = self._digit(rng)
            fills_frame = rng.random() < FULL_FRAME_SHARE
            frames[index], boxes[index] = (self.full_frame if fills_frame else self.with_digit)(mask, rng)
        return frames, labels, boxes

    def full_frame(self, mask: Grey, rng: np.random.Generator) -> tuple[Grey, Box]:
        """The small picture as the whole frame, sometimes inverted, shifted or noisy, reduced to the view's size."""
        if rng.random() < 0.5:
            matrix = cv2.getRotationMatrix2D((14, 14), rng.uniform(-12, 12), rng.uniform(0.88, 1.12))
            matrix[:, 2] += rng.uniform(-2, 2, 2)
            mask = cv2.warpAffine(cv2.resize(mask, (28, 28), interpolation=cv2.INTER_AREA), matrix, (28, 28))
        left, top, right, bottom = (side * FRAME.height / mask.shape[0] for side in box_of(mask))
        margin = (FRAME.width - FRAME.height) / 2
        frame = fitted(255 - mask if rng.random() < 0.3 else mask)
        if rng.random() < 0.3:
            frame = _camera(frame.astype(np.float32), rng)
        box = (round(left + margin), round(top), round(right + margin), round(bottom))
        return _reduced(frame, box, self._view)

    def with_digit(self, mask: Grey, rng: np.random.Generator) -> tuple[Grey, Box]:
        """A frame with this digit at a random position on a sheet, wall or board, and its box."""
        frame = _background(self._view, rng)
        clutter = rng.random() < 0.3
        ink, box = _placed(mask, self._view, rng)
        if clutter:
            add_shapes(frame, rng, keep_free=box)
        if self._view.levels > 1 and rng.random() < 0.12:
            add_pile(frame, rng, keep_free=box)
        if rng.random() < 0.25:
            add_sheet(frame, rng, box)
        return _camera(_inked(frame, ink, box, rng), rng), box

    def without_digit(self, rng: np.random.Generator) -> Grey:
        """A frame with shapes, letters, scribbles or nothing."""
        frame = _background(self._view, rng)
        if self._view.levels > 1 and rng.random() < 0.35:
            add_pile(frame, rng)
            return _camera(frame, rng)
        kind = rng.random()
        if kind < 0.35:
            add_shapes(frame, rng)
        elif kind < 0.85:
            for _ in range(rng.integers(1, 4)):
                mask = draw_scribble(rng) if rng.random() < 0.4 else _letter(rng)
                ink, box = _placed(mask, self._view, rng)
                frame = _inked(frame, ink, box, rng)
        if rng.random() < 0.25:
            add_shapes(frame, rng)
        return _camera(frame, rng)

    def _digit(self, rng: np.random.Generator) -> tuple[Grey, int]:
        kind = rng.random()
        if kind < 0.85:
            item = int(rng.integers(len(self.images)))
            image, label = self.images[item], int(self.labels[item])
            if rng.random() < self._faded_share:
                # Squared, so that few components remain more often: such digits teach the network uncertainty.
                return self._faded.of(image, LEAST_ENERGY + (MOST_ENERGY - LEAST_ENERGY) * rng.random() ** 2), label
            return pen_changed(rewritten(image, rng) if rng.random() < 0.8 else image, rng), label
        digit = int(rng.integers(10))
        return (draw_digit(digit, rng) if kind < 0.96 else _sign(str(digit), rng)), digit


def fitted(image: Grey) -> Grey:
    """A small picture as the daemon fits it into the frame, with bars at its sides."""
    frame = Frame((np.ascontiguousarray(np.repeat(image[..., np.newaxis], 3, axis=2)),), 0)
    return fit(frame, IMAGE)[..., 0]


def _reduced(frame: Grey, box: Box, view: View) -> tuple[Grey, Box]:
    """A whole frame scaled down to the sizes of this view and padded, and its box."""
    scale = 2 ** (FRAME.levels - view.levels)
    small = cv2.resize(frame, (FRAME.width // scale, FRAME.height // scale), interpolation=cv2.INTER_AREA)
    top, left = (view.height - small.shape[0]) // 2, (view.width - small.shape[1]) // 2
    padded = cv2.copyMakeBorder(small, top, top, left, left, cv2.BORDER_REPLICATE)
    left, top, right, bottom = (side // scale + start for side, start in zip(box, (left, top) * 2, strict=True))
    return padded, (left, top, right, bottom)


def _sign(text: str, rng: np.random.Generator, size: int = 96) -> Grey:
    mask = np.zeros((size, size), np.uint8)
    font, thickness = _FONTS[rng.integers(len(_FONTS))], int(rng.integers(2, 9))
    scale = 2.0
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    scale *= 0.62 * size / max(width, height)
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    cv2.putText(mask, text, ((size - width) // 2, (size + height) // 2), font, scale, 255, thickness, cv2.LINE_AA)
    return mask


def _letter(rng: np.random.Generator) -> Grey:
    return _sign(LETTERS[rng.integers(len(LETTERS))], rng)


def _placed(mask: Grey, view: View, rng: np.random.Generator) -> tuple[Mask, Box]:
    """The mask rotated, scaled and moved: a frame (height, width) of 0 to 1, and the box left, top, right, bottom."""
    left, top, right, bottom = box_of(mask)
    # more small digits than large ones, because small ones are harder
    height = np.exp(rng.uniform(np.log(view.lowest), np.log(view.highest)))
    scale = height / (bottom - top)
    angle = np.deg2rad(rng.uniform(-16, 16))
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    slant = rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[stretch, slant], [0, 1]]) * scale
    corners = matrix @ (
        np.array([[left, right, left, right], [top, top, bottom, bottom]])
        - [[(left + right) / 2], [(top + bottom) / 2]]
    )
    half_width, half_height = np.abs(corners[0]).max(), np.abs(corners[1]).max()
    shrink = min(1.0, (view.width / 2 - 2) / half_width, (view.height / 2 - 2) / half_height)
    matrix, half_width, half_height = matrix * shrink, half_width * shrink, half_height * shrink
    x = rng.uniform(half_width + 1, view.width - half_width - 1)
    y = rng.uniform(half_height + 1, view.height - half_height - 1)
    shift = np.array([x, y]) - matrix @ [(left + right) / 2, (top + bottom) / 2]
    if scale * shrink < 0.7:  # bilinear sampling would alias
        mask = cv2.GaussianBlur(mask, (0, 0), 0.4 / (scale * shrink))
    ink = cv2.warpAffine(mask, np.column_stack((matrix, shift)), (view.width, view.height), flags=cv2.INTER_LINEAR)
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    return ink.astype(np.float32) / 255, tuple(round(side) for side in box)


def _inked(frame: Mask, ink: Mask, box: Box, rng: np.random.Generator) -> Mask:
    """The frame with ink of a tone that contrasts with the background."""
    left, top, right, bottom = box
    under = float(np.median(frame[max(0, top) : bottom, max(0, left) : right]))
    contrast = rng.uniform(45, 220)
    darker = rng.random() < (0.7 if under > 100 else 0.3)
    tone = under - contrast if darker else under + contrast
    if not 0 <= tone <= 255:
        other = under + contrast if darker else under - contrast
        tone = other if 0 <= other <= 255 else (0 if under > 128 else 255)
    if ink.max() > 0:
        ink = np.minimum(1.0, ink / max(0.3, float(ink.max())))
    return frame * (1 - ink) + np.float32(tone) * ink


def _background(view: View, rng: np.random.Generator) -> Mask:
    """A plain, unevenly lit, grainy, patterned or ruled surface: float32 (height, width) in 0 to 255."""
    tone = rng.uniform(140, 250) if rng.random() < 0.6 else rng.uniform(0, 255)
    frame = np.full((view.height, view.width), tone, np.float32)
    if rng.random() < 0.7:
        frame += _blotches(frame.shape, int(rng.integers(2, 6)), rng.uniform(2, 45), rng)
    if rng.random() < 0.5:
        frame += _blotches(frame.shape, int(rng.integers(8, 60)), rng.uniform(1, 14), rng)
    kind = rng.random()
    if kind < 0.12:  # ruled or squared paper
        gap, offset, depth = int(rng.integers(6, 24)), int(rng.integers(6)), rng.uniform(5, 30)
        frame[offset::gap] -= depth
        if rng.random() < 0.5:
            frame[:, offset::gap] -= depth
    elif kind < 0.18:  # a striped cloth, a shutter
        phase = np.arange(view.width if rng.random() < 0.5 else view.height) * rng.uniform(0.1, 1.2)
        wave = (np.sin(phase) * rng.uniform(4, 30)).astype(np.float32)
        frame += wave if len(wave) == view.width else wave[:, np.newaxis]
    return np.clip(frame, 0, 255)


def _blotches(shape: tuple[int, ...], cells: int, depth: float, rng: np.random.Generator) -> Mask:
    small = rng.normal(0, depth, (max(2, cells * 3 // 4), cells)).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _camera(frame: Mask, rng: np.random.Generator) -> Grey:
    """The frame with the flaws of lens and sensor: uneven light, blur, noise, limited contrast."""
    if rng.random() < 0.5:
        light = _blotches(frame.shape, 3, rng.uniform(0.02, 0.2), rng) + 1
        frame = frame * light
    if rng.random() < 0.6:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.1:
        kernel = np.zeros((5, 5), np.float32)
        cv2.line(kernel, (0, int(rng.integers(5))), (4, int(rng.integers(5))), 1.0)
        frame = cv2.filter2D(frame, -1, kernel / kernel.sum())
    if rng.random() < 0.5:
        frame = (frame - 128) * rng.uniform(0.6, 1.15) + 128 + rng.uniform(-30, 30)
    if rng.random() < 0.8:
        noise = np.empty(frame.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
        cv2.randn(noise, 0, float(rng.uniform(1, 9)))
        frame = frame + noise
    frame = np.clip(frame, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))])
        frame = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return frame
