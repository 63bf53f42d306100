"""Typing errors, and the words that they must not produce."""

import unicodedata

import numpy as np

from training.phrases import PRONOUNS, SENTENCES
from training.splits import Part
from training.voices import DIGIT_WORDS
from training.words import MORE_DIGIT_WORDS, NEAR, NUMBERED, OTHERS, THINGS, VERBS

_QWERTY = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_QWERTZ = ("qwertzuiop", "asdfghjkl", "yxcvbnm")
_AZERTY = ("azertyuiop", "qsdfghjklm", "wxcvbn")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_LETTERS = "abcdefghijklmnopqrstuvwxyzäöüéèñ"


def plain(word: str, umlauts: bool = False) -> str:
    """The word without accents: "für" becomes "fur", or "fuer" with `umlauts`."""
    if word.isascii():
        return word
    if umlauts:
        word = word.translate(_UMLAUTS)
    parts = unicodedata.normalize("NFD", word.replace("ß", "ss"))
    return unicodedata.normalize("NFC", "".join(letter for letter in parts if not unicodedata.combining(letter)))


def mistyped(word: str, rng: np.random.Generator, part: Part) -> str:
    """`word` with one error: letters exchanged, missing or doubled, or a neighbouring key pressed instead or as well.

    The training part uses one keyboard layout, the other parts use two others.
    """
    at = int(rng.random() * len(word))
    keys = _neighbours(word[at], rng, part)
    kind = int(rng.random() * 4.5)
    if kind == 0:
        at = min(at, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    if not keys:
        return word
    key = keys[int(rng.random() * len(keys))]
    return word[:at] + key + word[at + (kind == 3) :]


def is_near_digit(word: str) -> bool:
    """Whether `word` is the word for a digit, or one typing error away from it."""
    return word.lower() in _NEAR_DIGITS


def names_digit(word: str) -> bool:
    """Whether `word` is the word for a digit, with or without accents."""
    return word.lower() in _NAMES


def is_clear(word: str, digit: int) -> bool:
    """Whether a mistyped word still means `digit`: it is no other word, and not as near to another digit."""
    word = word.lower()
    return word not in _VOCABULARY and _NEAR_DIGITS.get(word) == {digit}


def _neighbours(letter: str, rng: np.random.Generator, part: Part) -> str:
    """The keys around a letter's key: left, right, above, below."""
    layout = _QWERTY if part == "train" else (_QWERTZ, _AZERTY)[int(rng.random() * 2)]
    for index, row in enumerate(layout):
        at = row.find(plain(letter.lower()))
        if at >= 0:
            beside = row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
            other = [layout[line] for line in (index - 1, index + 1) if 0 <= line < len(layout)]
            return beside + "".join(line[max(at - 1, 0) : at + 2] for line in other)
    return ""


def _one_error(word: str) -> set[str]:
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    return (
        {word}
        | {a + b[1:] for a, b in splits if b}
        | {a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1}
        | {a + letter + b[1:] for a, b in splits if b for letter in _LETTERS}
        | {a + letter + b for a, b in splits for letter in _LETTERS}
    )


def _digit_names() -> dict[str, int]:
    names = {}
    for language, words in DIGIT_WORDS.items():
        for digit, word in enumerate(words):
            for name in (word, *MORE_DIGIT_WORDS.get(language, {}).get(digit, "").split()):
                names.update(dict.fromkeys((name, plain(name), plain(name, umlauts=True)), digit))
    return names


def _near_digits() -> dict[str, set[int]]:
    near: dict[str, set[int]] = {}
    for name, digit in _NAMES.items():
        if name.isascii() or name[0] < "一":
            for word in _one_error(name) if len(name) > 2 else {name}:
                near.setdefault(word, set()).add(digit)
    return near


def _vocabulary() -> set[str]:
    entries = [*PRONOUNS.split()]
    for table in (NUMBERED, THINGS, VERBS, OTHERS, NEAR, SENTENCES):
        for text in table.values():
            entries += text.replace(";", " ").replace("-", " ").lower().split()
    return {form for word in entries for form in (word, plain(word))} | set(_NAMES)


_NAMES = _digit_names()
_NEAR_DIGITS = _near_digits()
_VOCABULARY = _vocabulary()
