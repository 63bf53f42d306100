"""Recognises single items from files, without threads and without events."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle, Case, case_file
from daemon.bundle.encoder_specs import AudioSpec, EncoderSpec, ImageSpec, TextSpec
from daemon.bundle.sound_preprocessing import SoundPreprocessing
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
        self._specs = manifest.encoder_specs
        self._foreground = [index for index, label in enumerate(manifest.labels) if label not in manifest.background]
        self.labels = manifest.labels

    def recognise(self, item: Item) -> Recognition:
        """Return the recognition with the highest score of a label that is not background.

        Picture and text are the same in every moment of the item; sound makes the moments differ. A modality that the
        bundle lacks counts as absent.
        Raises InputError when a file cannot be read, or the bundle has none of the item's modalities.
        """
        still: dict[str, Embedding] = {}
        for name, spec in self._specs.items():
            if spec.modality in STILL:
                for encoder_input in encoder_inputs(item, spec):
                    still[name] = self._encoders[name].encode(encoder_input)
        recognitions = [self._head.recognise(moment) for moment in self._moments(item, still)]
        if not recognitions:
            raise InputError("none of the item's modalities is in the bundle")
        return max(recognitions, key=lambda recognition: float(recognition.scores[self._foreground].max()))

    def _moments(self, item: Item, still: dict[str, Embedding]) -> Iterator[Moment]:
        audio = next((name for name, spec in self._specs.items() if spec.modality == "audio"), None)
        if item.audio is not None and audio is not None:
            for patch in encoder_inputs(item, self._specs[audio]):
                embedding = self._encoders[audio].encode(patch)
                yield Moment(embedding.end_ns, {**still, audio: embedding})
        elif still:
            yield Moment(0, still)


def encoder_inputs(item: Item, spec: EncoderSpec) -> Iterator[Any]:
    """Yield the inputs of an encoder: the picture, the line, or one patch of sound after another.

    A patch of silence comes before and after the sound. Raises InputError when a file cannot be read.
    """
    if isinstance(spec, ImageSpec) and item.image is not None:
        yield read_picture(item.image)
    elif isinstance(spec, TextSpec) and item.text is not None:
        yield Line(item.text, 0)
    elif isinstance(spec, AudioSpec) and item.audio is not None:
        preprocessing = spec.preprocessing
        front_end = AudioFrontEnd(preprocessing)
        for block in _padded_blocks(read_sound(item.audio, preprocessing.sample_rate_hz), preprocessing):
            yield from front_end.push(block)


def _padded_blocks(sound: Array, audio: SoundPreprocessing) -> Iterator[Block]:
    rate_hz = audio.sample_rate_hz
    silence = np.zeros(audio.patch_samples, np.float32)
    samples = np.concatenate((silence, sound, silence))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)
