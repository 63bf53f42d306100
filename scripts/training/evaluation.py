"""Figures of the finished bundle on held-out data, through the daemon's own code for single items."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.bundles.load import load_bundle
from daemon.offline import Item, OfflineRecogniser
from daemon.recogniser import load_recogniser
from daemon.records import MODALITIES, Modality
from training.bundle import write_wave
from training.lines import make_lines
from training.scenes import Composer, Grey
from training.specs import NONE, SEED
from training.speech import Utterance

PER_SUBSET = 400
TEST_SEED = SEED + 1000


@dataclass(frozen=True)
class HeldOut:
    """What no training saw: digits as frames to compose, recorded digits, and sounds without a digit."""

    pictures: Composer
    digits: list[Utterance]
    sounds: list[Utterance]


def evaluate(directory: Path, held_out: HeldOut) -> Iterable[str]:
    """Lines of a table: accuracy and count, by kind of input and by which modalities are there."""
    bundle = load_bundle(directory)
    recogniser, start = OfflineRecogniser(load_recogniser(bundle)), bundle.manifest.thresholds.default.start
    rng = np.random.default_rng(TEST_SEED)
    with tempfile.TemporaryDirectory() as folder:
        files = _Files(Path(folder), held_out, rng)
        for name, (items, labels) in files.single().items():
            yield _line(name, *_scores(recogniser, items), labels, start)
        for size in (1, 2, 3):
            for subset in combinations(MODALITIES, size):
                labels = [int(rng.integers(10)) if rng.random() < 6 / 7 else NONE for _ in range(PER_SUBSET)]
                items = [files.item(dict.fromkeys(subset, label)) for label in labels]
                yield _line("+".join(subset), *_scores(recogniser, items), labels, start)
        pairs = [tuple(int(n) for n in rng.choice(10, 2, replace=False)) for _ in range(PER_SUBSET)]
        items = [files.item({"image": seen, "text": read}) for seen, read in pairs]
        _, highest = _scores(recogniser, items)
        share = np.mean(np.array(highest) < start)
        yield f"{'picture against text: no digit above it':<44} {share:7.1%} of {len(items)}"


def _scores(recogniser: OfflineRecogniser, items: list[Item]) -> tuple[list[int], list[float]]:
    scores = [recogniser.recognise(item).scores for item in items]
    return [int(np.argmax(row)) for row in scores], [float(row[:NONE].max()) for row in scores]


def _line(name: str, recognised: list[int], highest: list[float], labels: list[int], start: float) -> str:
    right = np.array(recognised) == np.array(labels)
    sure = np.array(highest) >= start
    return f"{name:<44} {right.mean():7.1%} of {len(right)}; a digit above the start threshold in {sure.mean():.1%}"


class _Files:
    """Held-out items as files, and texts."""

    def __init__(self, folder: Path, held_out: HeldOut, rng: np.random.Generator) -> None:
        self._folder, self._rng, self._count = folder, rng, 0
        pictures = held_out.pictures
        everything = range(pictures.count)
        self._composed = [self._picture(frame) for frame in pictures.composed(everything, rng)]
        self._whole = [self._picture(image) for image in pictures.images]
        self._empty = [self._picture(pictures.without_digit(rng)) for _ in range(400)]
        self._picture_labels = [int(label) for label in pictures.labels]
        self._spoken = [self._sound(item) for item in held_out.digits]
        self._spoken_labels = [item.label for item in held_out.digits]
        self._other = [self._sound(item) for item in held_out.sounds]
        self._lines, labels = make_lines(3000, rng, "test")
        self._line_labels = [int(label) for label in labels]

    def single(self) -> dict[str, tuple[list[Item], list[int]]]:
        """Every kind of input by itself."""
        digit_lines = [
            (line, label) for line, label in zip(self._lines, self._line_labels, strict=True) if label != NONE
        ]
        other_lines = [
            line for line, label in zip(self._lines, self._line_labels, strict=True) if label == NONE and line
        ]
        return {
            "handwritten, composed into frames": ([Item(image=path) for path in self._composed], self._picture_labels),
            "handwritten, the 28 x 28 picture itself": (
                [Item(image=path) for path in self._whole],
                self._picture_labels,
            ),
            "frames without a digit": ([Item(image=path) for path in self._empty], [NONE] * len(self._empty)),
            "spoken digits": ([Item(audio=path) for path in self._spoken], self._spoken_labels),
            "sounds without a digit, 5 s each": ([Item(audio=path) for path in self._other], [NONE] * len(self._other)),
            "lines with a digit": ([Item(text=line) for line, _ in digit_lines], [label for _, label in digit_lines]),
            "lines without a digit": ([Item(text=line) for line in other_lines], [NONE] * len(other_lines)),
        }

    def item(self, shown: dict[Modality, int]) -> Item:
        """A moment with these modalities, each with its label."""
        return Item(
            self._any(
                self._composed + self._empty, self._picture_labels + [NONE] * len(self._empty), shown.get("image")
            ),
            self._any(self._spoken + self._other, self._spoken_labels + [NONE] * len(self._other), shown.get("audio")),
            self._any(self._lines, self._line_labels, shown.get("text")),
        )

    def _any(self, items: list[Any], labels: list[int], label: int | None) -> Any:
        if label is None:
            return None
        fitting = [item for item, of in zip(items, labels, strict=True) if of == label]
        return fitting[self._rng.integers(len(fitting))]

    def _picture(self, image: Grey) -> Path:
        path = self._next("png")
        cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return path

    def _sound(self, item: Utterance) -> Path:
        path = self._next("wav")
        write_wave(path, item.samples)
        return path

    def _next(self, suffix: str) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.{suffix}"
