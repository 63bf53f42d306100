"""Pictures as a camera would see them, with one digit somewhere or none, composed at the encoder's own size."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.encoders.pixels import fit
from daemon.manifest import ImageSpec
from daemon.records import Frame
from training.strokes import draw_digit, draw_scribble

Grey = NDArray[np.uint8]
Mask = NDArray[np.float32]

HEIGHT, WIDTH = 120, 160
NONE = 10
LOWEST_SHARE, HIGHEST_SHARE = 0.14, 0.82
"""Of the frame's height that a digit takes, a little beyond what the model card promises."""
LETTERS = "AEFHKMNPRUVWXadefhkmnrtuvwxy?&#@%+="
"""Signs no hand confuses with a digit."""

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
)


class Composer:
    """Makes training and test frames from handwritten digits (n, 28, 28) and from digits drawn with strokes."""

    def __init__(self, images: Grey, labels: Sequence[int], spec: ImageSpec) -> None:
        self.images, self.labels, self._spec = images, np.asarray(labels), spec

    @property
    def count(self) -> int:
        """How many handwritten digits there are."""
        return len(self.images)

    def frames(self, count: int, rng: np.random.Generator, none_share: float = 0.2) -> tuple[Grey, NDArray[np.int64]]:
        """`count` frames (n, HEIGHT, WIDTH) with their labels (n,); NONE where there is no digit."""
        frames = np.empty((count, HEIGHT, WIDTH), np.uint8)
        labels = np.empty(count, np.int64)
        for index in range(count):
            if rng.random() < none_share:
                frames[index], labels[index] = self.without_digit(rng), NONE
            elif rng.random() < 0.15:
                item = int(rng.integers(len(self.images)))
                frames[index], labels[index] = self.whole_picture(self.images[item], rng), self.labels[item]
            else:
                mask, labels[index] = self._digit(rng)
                frames[index] = self.with_digit(mask, rng)
        return frames, labels

    def composed(self, items: Sequence[int], rng: np.random.Generator) -> Grey:
        """One camera-like frame (n, HEIGHT, WIDTH) for each of the handwritten digits named by index."""
        return np.stack([self.with_digit(self.images[item], rng) for item in items])

    def centred(self, items: Sequence[int]) -> Grey:
        """The handwritten pictures themselves, fitted as the daemon fits them."""
        return np.stack([self._fitted(self.images[item]) for item in items])

    def whole_picture(self, image: Grey, rng: np.random.Generator) -> Grey:
        """The small picture as the whole frame, sometimes dark on light, moved or noisy."""
        if rng.random() < 0.3:
            image = 255 - image
        if rng.random() < 0.3:
            shift = np.array([[1, 0, rng.uniform(-3, 3)], [0, 1, rng.uniform(-3, 3)]], np.float32)
            image = cv2.warpAffine(image, shift, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        frame = self._fitted(image)
        return _camera(frame.astype(np.float32), rng) if rng.random() < 0.3 else frame

    def with_digit(self, mask: Grey, rng: np.random.Generator) -> Grey:
        """A frame with this digit somewhere on a sheet, wall or board."""
        frame = _background(rng)
        clutter = rng.random() < 0.3
        ink, box = _placed(mask, rng)
        if clutter:
            _add_shapes(frame, rng, keep_free=box)
        if rng.random() < 0.25:
            _add_sheet(frame, rng, box)
        return _camera(_inked(frame, ink, box, rng), rng)

    def without_digit(self, rng: np.random.Generator) -> Grey:
        """A frame with shapes, letters, scribbles or nothing."""
        frame = _background(rng)
        kind = rng.random()
        if kind < 0.35:
            _add_shapes(frame, rng)
        elif kind < 0.85:
            for _ in range(rng.integers(1, 4)):
                mask = draw_scribble(rng) if rng.random() < 0.4 else _letter(rng)
                ink, box = _placed(mask, rng)
                frame = _inked(frame, ink, box, rng)
        if rng.random() < 0.25:
            _add_shapes(frame, rng)
        return _camera(frame, rng)

    def _digit(self, rng: np.random.Generator) -> tuple[Grey, int]:
        kind = rng.random()
        if kind < 0.62:
            item = int(rng.integers(len(self.images)))
            return _pen_changed(self.images[item], rng), int(self.labels[item])
        digit = int(rng.integers(10))
        return (draw_digit(digit, rng) if kind < 0.92 else _sign(str(digit), rng)), digit

    def _fitted(self, image: Grey) -> Grey:
        frame = Frame((np.ascontiguousarray(np.repeat(image[..., np.newaxis], 3, axis=2)),), 0)
        return fit(frame, self._spec)[..., 0]


def _pen_changed(image: Grey, rng: np.random.Generator) -> Grey:
    """A finer or broader pen; large and thin strokes are what a camera sees most."""
    kind = rng.random()
    if kind < 0.5:
        return image
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    thinner = kind < 0.85
    changed = cv2.erode(large, kernel, iterations=int(rng.integers(1, 4))) if thinner else cv2.dilate(large, kernel)
    return changed if not thinner or (changed > 128).sum() > 0.3 * (large > 128).sum() else large


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


def _placed(mask: Grey, rng: np.random.Generator) -> tuple[Mask, tuple[int, int, int, int]]:
    """The mask turned, scaled and moved: a frame (HEIGHT, WIDTH) of 0 to 1, and the box left, top, right, bottom."""
    rows, columns = np.flatnonzero(mask.max(axis=1) > 64), np.flatnonzero(mask.max(axis=0) > 64)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # more small digits than large ones: they are the harder
    height = HEIGHT * np.exp(rng.uniform(np.log(LOWEST_SHARE), np.log(HIGHEST_SHARE)))
    scale = height / (bottom - top)
    angle = np.deg2rad(rng.uniform(-16, 16))
    stretch = rng.uniform(0.85, 1.2)
    slant = rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[stretch, slant], [0, 1]]) * scale
    corners = matrix @ (
        np.array([[left, right, left, right], [top, top, bottom, bottom]])
        - [[(left + right) / 2], [(top + bottom) / 2]]
    )
    half_width, half_height = np.abs(corners[0]).max(), np.abs(corners[1]).max()
    shrink = min(1.0, (WIDTH / 2 - 2) / half_width, (HEIGHT / 2 - 2) / half_height)
    matrix, half_width, half_height = matrix * shrink, half_width * shrink, half_height * shrink
    x = rng.uniform(half_width + 1, WIDTH - half_width - 1)
    y = rng.uniform(half_height + 1, HEIGHT - half_height - 1)
    shift = np.array([x, y]) - matrix @ [(left + right) / 2, (top + bottom) / 2]
    if scale * shrink < 0.7:  # bilinear sampling would alias
        mask = cv2.GaussianBlur(mask, (0, 0), 0.4 / (scale * shrink))
    ink = cv2.warpAffine(mask, np.column_stack((matrix, shift)), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    return ink.astype(np.float32) / 255, tuple(round(side) for side in box)


def _inked(frame: Mask, ink: Mask, box: tuple[int, int, int, int], rng: np.random.Generator) -> Mask:
    """Ink of a tone that stands out from what is under it."""
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


def _background(rng: np.random.Generator) -> Mask:
    """Plain, lit unevenly, grained, patterned or ruled: float32 (HEIGHT, WIDTH) in 0 to 255."""
    tone = rng.uniform(140, 250) if rng.random() < 0.6 else rng.uniform(0, 255)
    frame = np.full((HEIGHT, WIDTH), tone, np.float32)
    if rng.random() < 0.7:
        frame += _blotches(rng, int(rng.integers(2, 6)), rng.uniform(2, 45))
    if rng.random() < 0.5:
        frame += _blotches(rng, int(rng.integers(8, 60)), rng.uniform(1, 14))
    kind = rng.random()
    if kind < 0.12:  # ruled or squared paper
        gap, offset, depth = int(rng.integers(6, 24)), int(rng.integers(6)), rng.uniform(5, 30)
        frame[offset::gap] -= depth
        if rng.random() < 0.5:
            frame[:, offset::gap] -= depth
    elif kind < 0.18:  # a striped cloth, a shutter
        phase = np.arange(WIDTH if rng.random() < 0.5 else HEIGHT) * rng.uniform(0.1, 1.2)
        wave = (np.sin(phase) * rng.uniform(4, 30)).astype(np.float32)
        frame += wave if len(wave) == WIDTH else wave[:, np.newaxis]
    return np.clip(frame, 0, 255)


def _blotches(rng: np.random.Generator, cells: int, depth: float) -> Mask:
    small = rng.normal(0, depth, (max(2, cells * 3 // 4), cells)).astype(np.float32)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _add_shapes(frame: Mask, rng: np.random.Generator, keep_free: tuple[int, int, int, int] | None = None) -> None:
    """Furniture: blocks, discs, bars, edges; the part `keep_free` stays as it was."""
    before = frame.copy()
    for _ in range(rng.integers(1, 8)):
        tone = float(rng.uniform(0, 255))
        x, y = (int(n) for n in rng.integers(-20, 180, 2))
        kind = rng.random()
        if kind < 0.4:
            size = rng.integers(5, 90, 2)
            cv2.rectangle(frame, (x, y), (x + int(size[0]), y + int(size[1])), tone, -1)
        elif kind < 0.65:
            axes = tuple(int(n) for n in rng.integers(4, 40, 2))
            cv2.ellipse(frame, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)
        else:
            end = tuple(int(n) for n in rng.integers(-20, 180, 2))
            cv2.line(frame, (x, y), end, tone, int(rng.integers(1, 7)), cv2.LINE_AA)
    if keep_free:
        left, top, right, bottom = keep_free
        margin = int(rng.integers(2, 8))
        part = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        frame[part] = before[part]


def _add_sheet(frame: Mask, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    """A note or plate around the digit."""
    left, top, right, bottom = box
    margins = rng.integers(4, 40, 4)
    corners = np.array(
        [
            [left - margins[0], top - margins[1]],
            [right + margins[2], top - margins[1]],
            [right + margins[2], bottom + margins[3]],
            [left - margins[0], bottom + margins[3]],
        ]
    ) + rng.integers(-3, 4, (4, 2))
    cv2.fillConvexPoly(frame, corners.astype(np.int32), float(rng.uniform(0, 255)), cv2.LINE_AA)


def _camera(frame: Mask, rng: np.random.Generator) -> Grey:
    """Uneven light, blur, noise, limited contrast: what lens and sensor add."""
    if rng.random() < 0.5:
        light = _blotches(rng, 3, rng.uniform(0.02, 0.2)) + 1
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
        noise = np.empty((HEIGHT, WIDTH), np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
        cv2.randn(noise, 0, float(rng.uniform(1, 11)))
        frame = frame + noise
    frame = np.clip(frame, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))])
        frame = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return frame
