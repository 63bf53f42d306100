"""Measures the baseline network on the test part, run as a bundle by the daemon's encoders and head."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from training.glyphs import load_digits

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import MANIFEST
from daemon.core.records import Embedding, Line, Moment
from daemon.fusion.fuse import FusionHead
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from evaluation.frames import bare_frame, digit_frame
from evaluation.progress import report, with_progress
from evaluation.rows import Row, plain, share
from evaluation.sentences import sentences

WHAT = "the network this work grew from"
SEED = 20261125
# Moments over which the speed is taken.
TIMED = 200


def rows(directory: Path, data: Path) -> list[Row]:
    """The rows of the baseline in `directory`. The baseline is trained first if the directory has none."""
    recogniser = _load(data, directory)
    return [
        *_accuracies(recogniser, data),
        plain(WHAT, "size of all models", _size_bytes(recogniser) / 1000, "KB"),
        plain(WHAT, "a moment of picture and text", _ms_a_moment(recogniser), "ms", None, TIMED),
    ]


def _load(data: Path, directory: Path) -> Recogniser:
    """The baseline in `directory`, trained and written there first if it is missing."""
    if not (directory / MANIFEST).is_file():
        # imported late: TensorFlow takes seconds to import, and a finished bundle does not need it
        from evaluation.baseline_network import build

        report("baseline: trains the network, about a quarter of an hour")
        build(data, directory)
    return load_recogniser(load_bundle(directory))


def _accuracies(recogniser: Recogniser, data: Path) -> Iterator[Row]:
    """Accuracy on all handwritten digits of the test part: as they are, in a frame, with a line, and combined."""
    rng = np.random.default_rng(SEED)
    pictures, digits = load_digits(data, "test")
    lines = _lines_for(digits, rng)
    head, right = recogniser.new_head(), Counter[str]()
    for picture, line, digit in with_progress("the baseline", list(zip(pictures, lines, digits, strict=True))):
        centred = recogniser.encoders["image"].encode(bare_frame(picture))
        framed = recogniser.encoders["image"].encode(digit_frame(picture, rng))
        read = recogniser.encoders["text"].encode(line)
        kinds: dict[str, tuple[Embedding, ...]] = {
            "image, centred": (centred,),
            "image, in a camera frame": (framed,),
            "text": (read,),
            "image, centred + text": (centred, read),
            "image, in a camera frame + text": (framed, read),
        }
        for name, items in kinds.items():
            right[name] += _label(head, items) == digit
    for name, count in right.items():
        yield share(WHAT, name, count, len(digits))


def _size_bytes(recogniser: Recogniser) -> int:
    """Bytes of all models of the bundle."""
    return sum(path.stat().st_size for path in recogniser.bundle.directory.glob("*.tflite"))


def _ms_a_moment(recogniser: Recogniser) -> float:
    """Median time of one frame and one line through encoders and head, in milliseconds."""
    head, frame, line = recogniser.new_head(), bare_frame(np.full((480, 640), 128, np.uint8)), Line("room seven", 0)
    times_s = []
    for _ in range(TIMED):
        start_s = time.perf_counter()
        _label(head, (recogniser.encoders["image"].encode(frame), recogniser.encoders["text"].encode(line)))
        times_s.append(time.perf_counter() - start_s)
    return float(np.median(times_s)) * 1000


def _label(head: FusionHead, embeddings: Sequence[Embedding]) -> int:
    moment = Moment(0, {embedding.encoder: embedding for embedding in embeddings})
    return int(np.argmax(head.recognise(moment).scores))


def _lines_for(digits: NDArray[np.int64], rng: np.random.Generator) -> list[Line]:
    """For each digit a line that names it."""
    every = sentences(rng)
    texts = [[line.text for line in every if line.label == digit] for digit in range(10)]
    return [Line(texts[digit][rng.integers(len(texts[digit]))], 0) for digit in digits]
