"""The map from the classes of the data sets to the labels of the bundle, read from classes.yaml."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("classes.yaml")


@dataclass(frozen=True, slots=True)
class SoundClass:
    """One class of sounds: its label, and the labels that may rightly start beside it with the reason of each."""

    name: str
    label: str
    beside: Mapping[str, str]

    def allows(self, label: str) -> bool:
        """Whether an event of `label` in a sound of this class is right."""
        return label == self.label or label in self.beside


@dataclass(frozen=True, slots=True)
class SeenAndHeard:
    """A label that is both seen and heard: its group of pictures and its class of sounds."""

    label: str
    picture: str
    sound: str


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of sounds by name, the groups of pictures with their label, and the labels seen and heard."""

    sounds: Mapping[str, SoundClass]
    made: Mapping[str, SoundClass]
    pictures: Mapping[str, str]
    seen_and_heard: Collection[SeenAndHeard]

    def of(self, name: str) -> SoundClass:
        """The class of this name, recorded or made."""
        return self.sounds[name] if name in self.sounds else self.made[name]


@cache
def load_classes() -> Classes:
    """The content of classes.yaml."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return Classes(
        _sound_classes(document["sounds"]),
        _sound_classes(document["made"]),
        document["pictures"],
        [SeenAndHeard(label, **entry) for label, entry in document["seen_and_heard"].items()],
    )


def _sound_classes(entries: Mapping[str, Any]) -> dict[str, SoundClass]:
    return {name: SoundClass(name, **entry) for name, entry in entries.items()}
