"""Recognises single items from files, without threads and without events."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle, Case, case_file
from daemon.bundle.manifest import AudioPreprocessing
from daemon.core.errors import InputError
from daemon.core.records import Array, Block, Embedding, Line, Modality, Moment, Recognition
from daemon.core.timing import NS_PER_S
from daemon.encoders.audio import AudioFrontEnd
from daemon.pipeline.recogniser import Recogniser
from daemon.sources.container import read_picture, read_sound

BLOCK_S = 0.02

# The modalities with one input per item. Sound has one input per patch.
STILL: tuple[Modality, ...] = ("image", "text")


@dataclass(frozen=True, slots=True)
class Item:
    """The files and the text of one moment; None is an absent modality."""

    image: Path | None = None
    audio: Path | None = None
    text: str | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that are present."""
        values: dict[Modality, object] = {"image": self.image, "audio": self.audio, "text": self.text}
        return tuple(modality for modality, value in values.items() if value is not None)


def item_of(bundle: Bundle, case: Case) -> Item:
    """Return the item of a case of the bundle's self-test."""
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
        """Return the recognition with the highest score of a label that is not background.

        Picture and text are the same in every moment of the item; sound makes the moments differ. A modality that the
        bundle lacks counts as absent.
        Raises InputError when a file cannot be read, or the bundle has none of the item's modalities.
        """
        still: dict[Modality, Embedding] = {}
        for modality in STILL:
            if modality in self._encoders:
                for encoder_input in encoder_inputs(item, modality, None):
                    still[modality] = self._encoders[modality].encode(encoder_input)
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
    """Yield the inputs of a modality's encoder: the picture, the line, or one patch of sound after another.

    A patch of silence comes before and after the sound. Raises InputError when a file cannot be read.
    """
    if modality == "image" and item.image is not None:
        yield read_picture(item.image)
    elif modality == "text" and item.text is not None:
        yield Line(item.text, 0)
    elif modality == "audio" and item.audio is not None and audio is not None:
        front_end = AudioFrontEnd(audio)
        for block in _padded_blocks(read_sound(item.audio, audio.sample_rate_hz), audio):
            yield from front_end.push(block)


def _padded_blocks(sound: Array, audio: AudioPreprocessing) -> Iterator[Block]:
    rate_hz = audio.sample_rate_hz
    silence = np.zeros((audio.frames - 1) * audio.hop_samples + audio.window_samples, np.float32)
    samples = np.concatenate((silence, sound, silence))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)
