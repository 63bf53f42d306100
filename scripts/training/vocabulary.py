"""The words and phrases that each part of the data uses."""

import hashlib
from functools import cache

from training.phrases import PRONOUNS, SENTENCES, WITH_DIGIT, WITHOUT_DIGIT
from training.splits import Part
from training.typing_errors import is_near_digit, plain
from training.words import COUNTERS_ZH, COURTESIES, GREETINGS, NEAR, NUMBERED, OTHERS, THINGS, VERBS

_PARTS: dict[int, Part] = {0: "dev", 1: "test"}
SLOTS = {"n": NUMBERED, "t": THINGS, "v": VERBS, "o": OTHERS, "g": GREETINGS, "s": COURTESIES}


@cache
def slots(language: str, part: Part) -> dict[str, list[str]]:
    """The words for each slot of a phrase, by its letter."""
    words = {slot: _share(table[language], part) for slot, table in SLOTS.items()}
    return words | {"c": COUNTERS_ZH.split("; ")}


@cache
def phrases(language: str, part: Part, digit: bool) -> list[str]:
    """Phrases with a digit, or without."""
    return _share((WITH_DIGIT if digit else WITHOUT_DIGIT)[language], part)


@cache
def sentences(language: str, part: Part) -> list[str]:
    """Whole sentences without a digit."""
    return _share(SENTENCES[language], part) + (PRONOUNS.split("; ") if language == "en" else [])


@cache
def lookalikes(language: str, part: Part) -> list[str]:
    """Words that look like the word for a digit; for Chinese, characters and words that every part must learn."""
    return NEAR["zh"].split("; ") if language == "zh" else _share(NEAR[language], part)


def _share(text: str, part: Part) -> list[str]:
    """The entries of this part: one entry in ten is for development, one for tests, the others for training.

    Words near the word for a digit are in every part: only an example shows that "fire" is not "five".
    """
    entries = text.split("; ")
    # ordered by hash, so that neighbours in the list fall into different parts
    ordered = sorted(set(entries), key=lambda entry: hashlib.sha256(entry.encode()).digest())
    selected = {entry for index, entry in enumerate(ordered) if _PARTS.get(index % 10, "train") == part}
    return [entry for entry in entries if entry in selected or is_near_digit(plain(entry))]
