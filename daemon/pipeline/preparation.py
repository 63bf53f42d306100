"""The preparation of what a stream captures for the encoders of one bundle."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.bundle.encoder_specs import AudioSpec, ImageSpec, SoundPreprocessing, TextSpec
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Block, Captured, Counters, Frame, Line, Modality, modality_of
from daemon.core.timing import Schedule
from daemon.encoders.audio import AudioFrontEnd
from daemon.encoders.text import utf8

log = rate_limited_logger(__name__)

# The input of an encoder, with the encoder's name.
Prepared = tuple[str, Any]


def encoder_counters(modalities: Mapping[str, Modality], senses: Mapping[Modality, Counters]) -> dict[str, Counters]:
    """Return the counters of each encoder. The only encoder of a modality counts with those of the modality itself.

    `modalities` has the modality of each encoder of a bundle. Several encoders of a modality have counters of their
    own, beneath those of the modality.
    """
    names = list(modalities.values())
    return {
        encoder: senses[modality]
        if names.count(modality) == 1
        else senses[modality].encoders.setdefault(encoder, Counters())
        for encoder, modality in modalities.items()
    }


@dataclass(slots=True)
class _FrontEnd:
    """The patches of one preprocessing, and the encoders that take them."""

    preprocessing: SoundPreprocessing
    patches: AudioFrontEnd
    encoders: list[str] = field(default_factory=list)


class Preparation:
    """Turns the captured items of one stream into encoder inputs for one bundle. Used by one thread at a time.

    Encoders of sound with the same preprocessing share their patches.
    """

    def __init__(self, manifest: Manifest, counters: Mapping[str, Counters]) -> None:
        """`counters` are those of each encoder."""
        modalities = manifest.encoder_modalities
        self.encoders = tuple(modalities)
        self._of: dict[Modality, tuple[str, ...]] = {
            sense: tuple(name for name in modalities if modalities[name] == sense)
            for sense in ("image", "audio", "text")
        }
        self._counters = counters
        images, texts = manifest.of_modality(ImageSpec), manifest.of_modality(TextSpec)
        self._rates = {name: Schedule(spec.rate_hz) for name, spec in images.items() if spec.rate_hz is not None}
        self._max_text_bytes = {name: spec.input.shape[1] for name, spec in texts.items()}
        self._front_ends: list[_FrontEnd] = []
        for name, spec in manifest.of_modality(AudioSpec).items():
            front_end = self._front_end_of(spec.preprocessing)
            if front_end is None:
                front_end = _FrontEnd(spec.preprocessing, AudioFrontEnd(spec.preprocessing))
                self._front_ends.append(front_end)
            front_end.encoders.append(name)

    def encoders_for(self, captured: Captured) -> tuple[str, ...]:
        """Return the encoders that use such an item, in the order of the head's input."""
        return self._of[modality_of(captured)]

    def prepare(self, captured: Captured, held: Collection[str] = ()) -> list[Prepared]:
        """Return the inputs of the encoders that are to encode this item.

        `held` has the encoders behind a closed gate: they get nothing, and each input left out is counted. An item that
        cannot be used, or is cut, is counted too. A picture that an encoder leaves out because of its `rate_hz` is not.
        """
        if isinstance(captured, Block):
            return self._patches(captured, held)
        if isinstance(captured, Frame):
            return self._pictures(captured, held)
        return self._lines(captured)

    def adopt_front_ends(self, other: "Preparation") -> None:
        """Continue in the middle of the other's sound, where both make the same patches of it."""
        for own in self._front_ends:
            before = other._front_end_of(own.preprocessing)
            if before is not None:
                own.patches = before.patches

    def warm_up(self, blocks: Iterable[Block], other: "Preparation") -> None:
        """Give earlier blocks to the front ends that `other` lacks. Their patches are not computed."""
        missing = [each.patches for each in self._front_ends if other._front_end_of(each.preprocessing) is None]
        for block in blocks if missing else ():
            for patches in missing:
                try:
                    patches.push(block, is_needed=False)
                except InputError as error:
                    log.warning("%s", error)

    def _front_end_of(self, preprocessing: SoundPreprocessing) -> _FrontEnd | None:
        return next((each for each in self._front_ends if each.preprocessing == preprocessing), None)

    def _pictures(self, frame: Frame, held: Collection[str]) -> list[Prepared]:
        inputs: list[Prepared] = []
        for name in self._of["image"]:
            if name in held:
                self._counters[name].drop("gate_closed")
            elif name not in self._rates or self._rates[name].passes(frame.captured_ns):
                inputs.append((name, frame))
        return inputs

    def _patches(self, block: Block, held: Collection[str]) -> list[Prepared]:
        inputs: list[Prepared] = []
        for each in self._front_ends:
            needed = [name for name in each.encoders if name not in held]
            skipped_before = each.patches.skipped
            try:
                patches = each.patches.push(block, bool(needed))
            except InputError as error:
                for name in each.encoders:
                    self._counters[name].drop("wrong_rate")
                log.warning("%s", error)
                continue
            left_out = each.patches.skipped - skipped_before + len(patches)
            for name in each.encoders:
                if name in needed:
                    inputs += [(name, patch) for patch in patches]
                elif left_out:
                    self._counters[name].drop("gate_closed", left_out)
        return inputs

    def _lines(self, line: Line) -> list[Prepared]:
        for name in self._of["text"]:
            if len(utf8(line.text)) > self._max_text_bytes[name]:
                self._counters[name].drop("cut")
        return [(name, line) for name in self._of["text"]]
