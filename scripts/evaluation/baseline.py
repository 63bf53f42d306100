"""The network this work grew from as a bundle of its own, run by the daemon's encoders and head on the test part."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from training.lines import make_lines
from training.specs import NONE
from training.splits import part_of_picture

from daemon.bundles.load import MANIFEST, load_bundle
from daemon.fusion.head import FusionHead
from daemon.recogniser import Recogniser, load_recogniser
from daemon.records import Frame, Line, Moment, Tensor, modality_of
from evaluation.rows import Row, plain, share
from evaluation.stream_digits import Compose

WHAT = "the network this work grew from"
SEED = 20261125
TIMED = 200
"""Moments over which the speed is taken."""


def rows(directory: Path, data: Path, compose: Compose) -> list[Row]:
    """The rows of the baseline in `directory`, which is trained first where it is not there."""
    recogniser = _load(data, directory)
    return [
        *_accuracies(recogniser, data, compose),
        plain(WHAT, "size of all models", _size_bytes(recogniser) / 1000, "KB"),
        plain(WHAT, "a moment of picture and text", _ms_a_moment(recogniser), "ms", None, TIMED),
    ]


def _load(data: Path, directory: Path) -> Recogniser:
    """The baseline, trained and written to `directory` where it is not yet."""
    if not (directory / MANIFEST).is_file():
        # here, because TensorFlow takes seconds to import, and is not needed where the bundle is there
        from evaluation.baseline_network import build

        build(data, directory)
    return load_recogniser(load_bundle(directory))


def _accuracies(recogniser: Recogniser, data: Path, compose: Compose) -> Iterator[Row]:
    """Every handwritten digit of the test part, as it is and in a frame, lines of the test part, and both together."""
    rng = np.random.default_rng(SEED)
    pictures, digits = _test_digits(data)
    lines = _lines_for(digits, rng)
    centred = [_frame(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)) for picture in pictures]
    framed = [_frame(compose(picture, rng)) for picture in pictures]
    kinds: dict[str, Sequence[tuple[Frame | Line, ...]]] = {
        "image, centred": list(zip(centred)),
        "image, in a camera frame": list(zip(framed)),
        "text": list(zip(lines)),
        "image, centred + text": list(zip(centred, lines, strict=True)),
        "image, in a camera frame + text": list(zip(framed, lines, strict=True)),
    }
    head = recogniser.new_head()
    for name, moments in kinds.items():
        right = sum(_label(recogniser, head, items) == digit for items, digit in zip(moments, digits, strict=True))
        yield share(WHAT, name, right, len(digits))


def _size_bytes(recogniser: Recogniser) -> int:
    """Of all models of the bundle."""
    return sum(path.stat().st_size for path in recogniser.bundle.directory.glob("*.tflite"))


def _ms_a_moment(recogniser: Recogniser) -> float:
    """Median time of one frame and one line through encoders and head, in milliseconds."""
    head, items = recogniser.new_head(), (_frame(np.full((480, 640, 3), 128, np.uint8)), Line("room seven", 0))
    times_s = []
    for _ in range(TIMED):
        start_s = time.perf_counter()
        _label(recogniser, head, items)
        times_s.append(time.perf_counter() - start_s)
    return float(np.median(times_s)) * 1000


def _label(recogniser: Recogniser, head: FusionHead, items: Sequence[Frame | Line]) -> int:
    embeddings = {modality_of(item): recogniser.encoders[modality_of(item)].encode(item) for item in items}
    return int(np.argmax(head.recognise(Moment(0, embeddings)).scores))


def _frame(pixels: Tensor) -> Frame:
    return Frame((pixels,), 0)


def _test_digits(data: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(data / "handwritten-digits.npz") as archive:
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    rows = [index for index in range(len(images)) if part_of_picture(index, len(images)) == "test"]
    return images[rows], labels[rows]


def _lines_for(digits: NDArray[np.int64], rng: np.random.Generator) -> list[Line]:
    """One line of the test part for each digit."""
    lines, labels = make_lines(3 * len(digits), rng, test=True)
    by_digit = [[line for line, label in zip(lines, labels, strict=True) if label == digit] for digit in range(NONE)]
    return [Line(by_digit[digit][rng.integers(len(by_digit[digit]))], 0) for digit in digits]
