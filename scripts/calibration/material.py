"""The clips of the calibration: ESC-10 of folds 1 and 2, and sounds of our own. Nothing else is read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from training.splits import ESC10

from calibration.hearing import RATE_HZ
from calibration.music import piece
from calibration.speech import VOICES, talk
from calibration.tones import TONES
from daemon.core.records import Array
from daemon.sources.container import read_sound

SEED = 20261129
# Which label a class has, and which others may rightly start beside it.
CLASSES_FILE = Path(__file__).parents[1] / "home_evaluation" / "classes.yaml"
FOLDS = (1, 2)
# Label and labels beside it of our own tones. Noises have no label.
MADE: dict[str, tuple[str | None, frozenset[str]]] = {
    "smoke_alarm": ("fire_alarm", frozenset({"alarm_clock"})),
    "alarm_clock": ("alarm_clock", frozenset({"fire_alarm", "telephone"})),
    "doorbell": ("doorbell", frozenset({"music"})),
    "telephone": ("telephone", frozenset({"alarm_clock"})),
    "siren": ("siren", frozenset({"horn"})),
}
# An hour of speech, and two hours of music, because instruments differ more than voices.
LONG_S, SPEECH_CLIPS, MUSIC_CLIPS = 30, 120, 240
TONE_CLIPS = 20


@dataclass(frozen=True, slots=True)
class Clip:
    """A sound float32 (n,) at RATE_HZ with its label, and the labels that may rightly start beside it."""

    name: str
    kind: str
    label: str | None
    beside: frozenset[str]
    samples: Array
    is_recorded: bool = False

    def is_foreign(self, label: str) -> bool:
        """Return whether a start of the label in this clip is false."""
        return label != self.label and label not in self.beside

    def without_samples(self) -> "Clip":
        """Return the same clip without its sound."""
        return replace(self, samples=np.empty(0, np.float32))


def recorded(sounds: Path) -> Iterator[Clip]:
    """Yield the clips of ESC-10 in folds 1 and 2."""
    classes = yaml.safe_load(CLASSES_FILE.read_text())["sounds"]
    for kind, path in recorded_files(sounds):
        about, samples = classes[kind], read_sound(path, RATE_HZ)
        yield Clip(path.name, kind, about["label"], frozenset(about["beside"]), samples, is_recorded=True)


def recorded_files(sounds: Path) -> Iterator[tuple[str, Path]]:
    """Yield class and file of these clips. The first number of a file's name is its fold."""
    for kind in ESC10:
        for path in sorted((sounds / kind).glob("*.ogg")):
            if int(path.name.split("-")[0]) in FOLDS:
                yield kind, path


def made() -> Iterator[Clip]:
    """Yield sounds of our own: tones and noises, then speech, then music. The same each time."""
    rng = np.random.default_rng(SEED)
    for kind, make in TONES.items():
        label, beside = MADE.get(kind, (None, frozenset()))
        for number in range(TONE_CLIPS):
            yield Clip(f"{kind} {number}", kind, label, beside, make(rng))
    for number in range(SPEECH_CLIPS):
        voice = VOICES[number % len(VOICES)]
        yield Clip(f"{voice} {number}", "speech", "speech", frozenset(), talk(voice, LONG_S, rng))
    for number in range(MUSIC_CLIPS):
        yield Clip(f"music {number}", "music", "music", frozenset(), piece(LONG_S, rng))
