"""One item of files through a bundle, as `evaluate` and `bundle verify` need it: the same encoders, no threads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundles.load import Bundle
from daemon.bundles.selftest import Case, case_file
from daemon.encoders.audio import AudioFrontEnd
from daemon.errors import InputError
from daemon.manifest import AudioPreprocessing
from daemon.recogniser import Recogniser
from daemon.records import Array, Block, Embedding, Line, Modality, Moment, Recognition
from daemon.sources.files import read_picture, read_sound

BLOCK_S = 0.02

STILL: tuple[Modality, ...] = ("image", "text")
"""What is the same in every moment of an item."""


@dataclass(frozen=True, slots=True)
class Item:
    """The files and the text of one moment; None is an absent modality."""

    image: Path | None = None
    audio: Path | None = None
    text: str | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Which modalities are there."""
        given: dict[Modality, object] = {"image": self.image, "audio": self.audio, "text": self.text}
        return tuple(modality for modality, value in given.items() if value is not None)


def item_of(bundle: Bundle, case: Case) -> Item:
    """A stored case of the bundle's self-test."""
    image, audio = (case_file(bundle, name) if name else None for name in (case.image, case.audio))
    return Item(image, audio, case.text)


class OfflineRecogniser:
    """Recognises single items. Used by one thread."""

    def __init__(self, recogniser: Recogniser) -> None:
        manifest = recogniser.bundle.manifest
        self._encoders = recogniser.encoders
        self._head = recogniser.new_head()
        self._audio = manifest.modalities.audio.preprocessing if manifest.modalities.audio else None
        self._foreground = [index for index, label in enumerate(manifest.labels) if label not in manifest.background]
        self.labels = manifest.labels

    def recognise(self, item: Item) -> Recognition:
        """The recognition at the moment of the item with the highest score of a label that is not background.

        Picture and text are the same in every moment; sound is streamed. A modality that the bundle lacks counts as
        absent. Raises InputError when a file cannot be read or nothing is left to recognise.
        """
        still: dict[Modality, Embedding] = {}
        for modality in STILL:
            if modality in self._encoders:
                for taken in encoder_inputs(item, modality, None):
                    still[modality] = self._encoders[modality].encode(taken)
        recognitions = [self._head.recognise(moment) for moment in self._moments(item, still)]
        if not recognitions:
            raise InputError("none of the item's modalities is in the bundle")
        return max(recognitions, key=lambda recognition: float(recognition.scores[self._foreground].max()))

    def _moments(self, item: Item, still: dict[Modality, Embedding]) -> Iterator[Moment]:
        if item.audio is not None and self._audio is not None:
            for patch in encoder_inputs(item, "audio", self._audio):
                embedding = self._encoders["audio"].encode(patch)
                yield Moment(embedding.end_ns, {**still, "audio": embedding})
        elif still:
            yield Moment(0, still)


def encoder_inputs(item: Item, modality: Modality, audio: AudioPreprocessing | None) -> Iterator[Any]:
    """What the encoder of a modality takes of an item: its picture, its line, or one patch of its sound after another.

    The sound has a patch of silence before and after it. Raises InputError when a file cannot be read.
    """
    if modality == "image" and item.image is not None:
        yield read_picture(item.image)
    elif modality == "text" and item.text is not None:
        yield Line(item.text, 0)
    elif modality == "audio" and item.audio is not None and audio is not None:
        front_end = AudioFrontEnd(audio)
        for block in _padded(read_sound(item.audio, audio.sample_rate_hz), audio):
            yield from front_end.push(block)


def _padded(sound: Array, audio: AudioPreprocessing) -> Iterator[Block]:
    rate_hz = audio.sample_rate_hz
    silence = np.zeros((audio.frames - 1) * audio.hop_samples + audio.window_samples, np.float32)
    samples = np.concatenate((silence, sound, silence))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * 1_000_000_000 // rate_hz)
