"""Recognises single items from files, without threads and without events."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle, Case, case_file
from daemon.bundle.encoder_specs import AudioSpec, EncoderSpec, ImageSpec, TextSpec
from daemon.core.errors import InputError
from daemon.core.records import Array, Block, Embedding, Line, Modality, Moment, Recognition
from daemon.core.timing import NS_PER_S
from daemon.encoders.audio import AudioFrontEnd
from daemon.fusion.pool import Pool
from daemon.fusion.taught import NO_TAUGHT
from daemon.pipeline.recogniser import Recogniser, max_ages_ns, pool_settings
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

    def __init__(self, recogniser: Recogniser, *, is_taught: bool = True) -> None:
        """`is_taught` says whether the labels that were taught count."""
        manifest = recogniser.bundle.manifest
        self._encoders = recogniser.encoders
        self._head = recogniser.new_head()
        self._specs = manifest.encoder_specs
        self._pool_settings = pool_settings(manifest)
        self._max_ages_ns = max_ages_ns(manifest)
        self._scope = None if is_taught else NO_TAUGHT
        self.labels = manifest.labels if is_taught else manifest.base_labels
        self._foreground = [index for index, label in enumerate(self.labels) if label not in manifest.background]

    def recognise(self, item: Item) -> Recognition:
        """Return the recognition with the highest score of a label that is not background.

        Picture and text are the same in every moment of the item; sound makes the moments differ. A modality that the
        bundle lacks counts as absent.
        Raises InputError when a file cannot be read, or the bundle has none of the item's modalities.
        """
        recognitions = [self._head.recognise(moment, self._scope) for moment in self.moments(item)]
        if not recognitions:
            raise InputError("none of the item's modalities is in the bundle")
        return max(recognitions, key=lambda recognition: float(recognition.scores[self._foreground].max()))

    def moments(self, item: Item) -> Iterator[Moment]:
        """Yield the moments of an item: one for each patch of sound of each encoder, or one without sound."""
        pool, still = Pool(self._pool_settings), {}
        for name, spec in self._specs.items():
            if spec.modality in STILL:
                for encoder_input in encoder_inputs(item, spec):
                    still[name] = pool.add(self._encoders[name].encode(encoder_input))
        sounds = {name: spec for name, spec in self._specs.items() if isinstance(spec, AudioSpec)}
        if item.audio is None or not sounds:
            if still:
                yield Moment(0, still)
            return
        latest: dict[str, Embedding] = {}
        for embedding in self._heard(item.audio, sounds):
            latest[embedding.encoder] = pool.add(embedding)
            now_ns = embedding.end_ns
            fresh = {name: each for name, each in latest.items() if now_ns - each.end_ns <= self._max_ages_ns[name]}
            yield Moment(now_ns, {**still, **fresh})

    def _heard(self, path: Path, specs: Mapping[str, AudioSpec]) -> Iterator[Embedding]:
        """Yield the embeddings of a sound in the order of their ends, then in the order of the head's input."""
        silence = max(spec.preprocessing.patch_samples for spec in specs.values())
        embeddings = [self._embeddings(name, path, spec, silence) for name, spec in specs.items()]
        return heapq.merge(*embeddings, key=attrgetter("end_ns"))

    def _embeddings(self, name: str, path: Path, spec: AudioSpec, silence: int) -> Iterator[Embedding]:
        for patch in _patches(path, spec, silence):
            yield self._encoders[name].encode(patch)


def encoder_inputs(item: Item, spec: EncoderSpec) -> Iterator[Any]:
    """Yield the inputs of an encoder: the picture, the line, or one patch of sound after another.

    A patch of silence comes before and after the sound. Raises InputError when a file cannot be read.
    """
    if isinstance(spec, ImageSpec) and item.image is not None:
        yield read_picture(item.image)
    elif isinstance(spec, TextSpec) and item.text is not None:
        yield Line(item.text, 0)
    elif isinstance(spec, AudioSpec) and item.audio is not None:
        yield from _patches(item.audio, spec, spec.preprocessing.patch_samples)


def _patches(path: Path, spec: AudioSpec, silence: int) -> Iterator[Any]:
    """Yield the patches of a sound, with so many samples of silence before and after it."""
    rate_hz = spec.preprocessing.sample_rate_hz
    front_end = AudioFrontEnd(spec.preprocessing)
    for block in _padded_blocks(read_sound(path, rate_hz), rate_hz, silence):
        yield from front_end.push(block)


def _padded_blocks(sound: Array, rate_hz: int, silence: int) -> Iterator[Block]:
    quiet = np.zeros(silence, np.float32)
    samples = np.concatenate((quiet, sound, quiet))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)
