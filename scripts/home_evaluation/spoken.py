"""Speech by espeak-ng: ten voices that say the sentences of sentences.yaml."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from training.voices import speak as speak_sentence

from daemon.core.records import Array

FILE = Path(__file__).with_name("sentences.yaml")
# Each with the language of its sentences.
VOICES = (
    ("en-us", "en"),
    ("en-us+f3", "en"),
    ("en-gb+m3", "en"),
    ("en-gb-scotland+f2", "en"),
    ("en-029+m7", "en"),
    ("en-gb-x-rp+f4", "en"),
    ("de+m1", "de"),
    ("de+f5", "de"),
    ("fr-fr+f1", "fr"),
    ("es+m5", "es"),
)
SPEED = (120, 210)
PITCH = (25, 75)
PAUSE_S = (0.2, 1.2)
# The highest sample of an utterance, as a share of full scale.
PEAK = (0.05, 0.9)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Sentences said by one voice at one speed and pitch, with a pause in seconds after each."""

    voice: str
    sentences: Sequence[str]
    pauses_s: Sequence[float]
    speed: int
    pitch: int
    peak: float


def utterance(voice: int, sentences: int, rng: np.random.Generator) -> Utterance:
    """Random sentences by one of VOICES."""
    name, language = VOICES[voice % len(VOICES)]
    said = tuple(str(sentence) for sentence in rng.choice(load_sentences()[language], sentences))
    pauses_s = tuple(float(pause_s) for pause_s in rng.uniform(*PAUSE_S, sentences))
    return Utterance(
        name, said, pauses_s, int(rng.integers(*SPEED)), int(rng.integers(*PITCH)), float(rng.uniform(*PEAK))
    )


def speak(spoken: Utterance, rate_hz: int) -> Array:
    """The sound of an utterance: float32 (n,)."""
    return np.concatenate(list(_parts(spoken, rate_hz)))


@cache
def load_sentences() -> dict[str, list[str]]:
    """The sentences of each language."""
    document: dict[str, list[str]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return document


def _parts(spoken: Utterance, rate_hz: int) -> Iterator[Array]:
    for sentence, pause_s in zip(spoken.sentences, spoken.pauses_s, strict=True):
        samples = speak_sentence(sentence, spoken.voice, spoken.speed, spoken.pitch, rate_hz)
        yield samples * np.float32(spoken.peak / np.max(np.abs(samples)))
        yield np.zeros(round(pause_s * rate_hz), np.float32)
