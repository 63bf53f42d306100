"""Which words and phrases each part of the data may use."""

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
    """What each slot of a phrase may hold, by its letter."""
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
    """Words that look like a digit's; in Chinese, characters and words that have to be known."""
    return NEAR["zh"].split("; ") if language == "zh" else _share(NEAR[language], part)


def _share(text: str, part: Part) -> list[str]:
    """One entry in ten is for development, one for tests; ordered by hash, so that neighbours in the list part.

    A word one letter away from a digit's is for every part: only having seen "fire" tells that it is not "five".
    """
    entries = text.split("; ")
    ordered = sorted(set(entries), key=lambda entry: hashlib.sha256(entry.encode()).digest())
    kept = {entry for index, entry in enumerate(ordered) if _PARTS.get(index % 10, "train") == part}
    return [entry for entry in entries if entry in kept or is_near_digit(plain(entry))]
