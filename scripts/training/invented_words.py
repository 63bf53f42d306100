"""Invented words, so that lines have more than the vocabulary."""

import numpy as np

from training.typing_errors import is_near_digit, names_digit, plain
from training.voices import DIGIT_WORDS

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NUMERALS_ZH = "十百千万亿廿卅拾佰仟萬億半双雙几幾"
# The range of Chinese characters.
_FIRST_ZH, _COUNT_ZH = 0x4E00, 0x51A5


def random_letters(rng: np.random.Generator) -> str:
    """Up to nine letters that are not near the word for a digit."""
    while True:
        word = "".join(_LETTERS[int(rng.random() * 26)] for _ in range(1 + int(rng.random() * 9)))
        if not is_near_digit(word):
            return word


def crossed(firsts: list[str], seconds: list[str], rng: np.random.Generator) -> str:
    """The beginning of one of `firsts` and the end of one of `seconds`, as one word."""
    while True:
        first, second = (words[int(rng.random() * len(words))].split(" ")[-1] for words in (firsts, seconds))
        word = first[: 1 + int(rng.random() * 4)] + second[-1 - int(rng.random() * 5) :]
        if word.isalpha() and not is_near_digit(plain(word)):
            return word


def random_characters(rng: np.random.Generator) -> str:
    """Up to three Chinese characters that are no numerals."""
    while True:
        word = "".join(chr(_FIRST_ZH + int(rng.random() * _COUNT_ZH)) for _ in range(1 + int(rng.random() * 3)))
        if not any(names_digit(character) or character in _NUMERALS_ZH for character in word):
            return word


def longer_word(language: str, before: str, after: str, rng: np.random.Generator) -> str:
    """A digit's word with letters before or after it, or both, like "someone" and "freight".

    Returns "" if the result would be near the word for a digit.
    """
    words = DIGIT_WORDS[language]
    kind = rng.random()
    word = (before if kind < 0.65 else "") + words[int(rng.random() * 10)] + (after if kind > 0.35 else "")
    return "" if is_near_digit(plain(word)) else word
