"""The test part of the data sets, clean and degraded, and its embeddings by a bundle's encoders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from training.glyphs import load_digits
from training.specs import NONE
from training.speech import Sound, recorded_digits, sounds

from daemon.core.records import Array, Frame, Modality
from evaluation.frames import Grey, digit_frame, empty_frame
from evaluation.hearing import stretches, windows
from evaluation.progress import with_progress
from evaluation.sentences import Sentence, sentences
from evaluation.subject import Subject

SEED = 20261125
Condition = Literal["clean", "degraded"]
Labels = NDArray[np.int64]

# Greatest share of the variance that remains in a degraded picture.
FADED_ENERGY = 0.25
DEGRADED_SNR_DB = 0.0
# Frames with a digit for each frame without one.
DIGITS_TO_EMPTY = 4
# Windows made of each recording, each with the word at another position and with other noise.
POSITIONS = 4
# Windows without a digit made of each clip.
PAUSES = 4


@dataclass(frozen=True)
class HeldOut:
    """Items that were used neither in training nor for a choice between networks."""

    pictures: Grey
    faded: Grey
    labels: Labels
    photos: list[Grey]
    spoken: list[Sound]
    spoken_labels: Labels
    noises: list[Sound]
    sentences: list[Sentence]

    def frames(self, condition: Condition) -> Iterator[Frame]:
        """Every handwritten digit in a scene of its own, the same scene in both conditions."""
        for index, picture in enumerate(self.pictures):
            drawn = None if condition == "clean" else self.faded[index]
            yield digit_frame(picture, np.random.default_rng([SEED, index]), drawn)

    @property
    def empty_count(self) -> int:
        """Number of frames without a digit."""
        return len(self.pictures) // DIGITS_TO_EMPTY

    def empty_frames(self) -> Iterator[Frame]:
        """Frames without a digit."""
        for index in range(self.empty_count):
            yield empty_frame(np.random.default_rng([SEED + 1, index]), self.photos)


def load_held_out(data: Path) -> HeldOut:
    """Read all items; takes some seconds."""
    pictures, labels = load_digits(data, "test")
    spoken = recorded_digits(data, "test")
    return HeldOut(
        pictures,
        faded(load_digits(data, "train")[0], pictures),
        labels,
        [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((data / "photos").glob("*/*.jpg"))],
        [utterance.samples for utterance in spoken],
        np.array([utterance.label for utterance in spoken]),
        [clip.samples for clip in sounds(data, "test")],
        sentences(np.random.default_rng(SEED)),
    )


def faded(fitted: Grey, pictures: Grey) -> Grey:
    """The pictures (n, 28, 28) from the leading principal components of `fitted` that hold at most FADED_ENERGY."""
    rows = fitted.reshape(len(fitted), -1).astype(np.float32)
    mean = rows.mean(axis=0)
    energy, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    energy, directions = energy[::-1], directions[:, ::-1]
    count = int(np.searchsorted(np.cumsum(energy) / energy.sum(), FADED_ENERGY, side="right"))
    components = directions[:, :count].astype(np.float32)
    reduced = (pictures.reshape(len(pictures), -1) - mean) @ components @ components.T + mean
    return np.clip(reduced, 0, 255).astype(np.uint8).reshape(pictures.shape)


@dataclass(frozen=True)
class Items:
    """Embeddings (n, D) of one modality with their labels (n,); in both conditions row k is the same item."""

    clean: Array
    degraded: Array
    labels: Labels

    def of(self, condition: Condition) -> Array:
        """The embeddings in this condition."""
        return self.clean if condition == "clean" else self.degraded

    def draw(self, labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
        """For each of `labels` (m,) the row of a random item with it."""
        chosen = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            rows, has_label = np.flatnonzero(self.labels == label), labels == label
            chosen[has_label] = rows[rng.integers(len(rows), size=int(has_label.sum()))]
        return chosen


class Embedded:
    """Held-out items, embedded by a bundle's encoders on first use."""

    def __init__(self, subject: Subject, held_out: HeldOut) -> None:
        self.subject, self.held_out = subject, held_out

    @cached_property
    def items(self) -> dict[Modality, Items]:
        """Items with a digit, then items without one, of each modality."""
        return {"image": self.image, "audio": self._audio, "text": self._text}

    @cached_property
    def image(self) -> Items:
        """Embeddings of frames."""
        held_out = self.held_out
        empty = self._embedded("frames without a digit", held_out.empty_frames(), held_out.empty_count)
        clean = self._embedded("frames", held_out.frames("clean"), len(held_out.pictures))
        degraded = self._embedded("faded frames", held_out.frames("degraded"), len(held_out.pictures))
        return _with_none(clean, degraded, held_out.labels, empty)

    @cached_property
    def _audio(self) -> Items:
        held_out, subject, rng = self.held_out, self.subject, np.random.default_rng(SEED)
        size = subject.window_samples
        spoken = held_out.spoken * POSITIONS
        clean = subject.embed_sounds(windows(spoken, size, rng))
        degraded = subject.embed_sounds(windows(spoken, size, rng, held_out.noises, DEGRADED_SNR_DB))
        empty = subject.embed_sounds(stretches(held_out.noises * PAUSES, size, rng))
        return _with_none(clean, degraded, np.tile(held_out.spoken_labels, POSITIONS), empty)

    @cached_property
    def _text(self) -> Items:
        lines = [line for line in self.held_out.sentences if line.kind != "mistyped"]
        vectors = self.subject.embed_lines(line.text for line in lines)
        return Items(vectors, vectors, np.array([line.label for line in lines]))

    def _embedded(self, what: str, frames: Iterable[Frame], count: int) -> Array:
        return self.subject.embed_frames(with_progress(what, frames, count))


def _with_none(clean: Array, degraded: Array, labels: Labels, empty: Array) -> Items:
    silent: Sequence[int] = [NONE] * len(empty)
    return Items(np.vstack((clean, empty)), np.vstack((degraded, empty)), np.concatenate((labels, silent)))
