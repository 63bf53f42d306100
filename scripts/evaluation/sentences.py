"""Lines for measuring: messages to a room, a gate or a warehouse, with and without a typing error."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from training.specs import NONE

Kind = Literal["figures", "words", "mistyped", "none"]
KINDS: tuple[Kind, ...] = ("figures", "words", "mistyped", "none")
LANGUAGES = ("en", "de", "fr", "es", "zh")
# Greatest length in bytes of UTF-8.
LONGEST = 48
# Shorter digit words get no typing error, because one wrong letter makes them ambiguous.
LETTERS = 4

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A line, its label, its language, and its kind."""

    text: str
    label: int
    language: str
    kind: Kind


def sentences(rng: np.random.Generator) -> list[Sentence]:
    """Every carrier with every digit as a figure, as a word and mistyped; and all lines without a digit."""
    source = yaml.safe_load(Path(__file__).with_name("sentences.yaml").read_text(encoding="utf-8"))
    found = [line for language, part in source.items() for line in _of_language(language, part, rng)]
    too_long = [line.text for line in found if len(line.text.encode()) > LONGEST]
    if too_long:
        raise ValueError(f"longer than {LONGEST} bytes: {too_long}")
    return found


def _of_language(language: str, part: dict[str, list[str]], rng: np.random.Generator) -> Iterator[Sentence]:
    for carrier in part["carriers"]:
        for digit, word in enumerate(part["words"]):
            yield Sentence(carrier.format(digit), digit, language, "figures")
            yield Sentence(carrier.format(word), digit, language, "words")
            mistyped = _mistyped(carrier, word, part, rng)
            if mistyped is not None:
                yield Sentence(mistyped, digit, language, "mistyped")
    for line in part["others"]:
        yield Sentence(line, NONE, language, "none")


def _mistyped(carrier: str, word: str, part: dict[str, list[str]], rng: np.random.Generator) -> str | None:
    """The line with one error, as often in the digit's word as elsewhere; None if no such line is short enough."""
    before, after = carrier.split("{}")
    if len(word) >= LETTERS and (carrier == "{}" or rng.random() < 0.5):
        made = [before + wrong + after for wrong in _errors(word) if _is_clear(wrong, word, part)]
    else:
        made = [wrong + word + after for wrong in _errors(before)] + [before + word + wrong for wrong in _errors(after)]
    short = [line for line in made if len(line.encode()) <= LONGEST]
    return short[rng.integers(len(short))] if short else None


def _errors(text: str) -> list[str]:
    """Every text that one slip makes of `text`: two letters exchanged, one missing, doubled, or a key beside it."""
    made = []
    for at in _letters(text):
        head, letter, rest = text[:at], text[at], text[at + 1 :]
        made += [head + rest, head + letter + letter + rest]
        made += [head + key + rest for key in _beside(letter)]
        if rest and rest[0].isalpha() and rest[0] != letter:
            made.append(head + rest[0] + letter + rest[1:])
    return made


def _letters(text: str) -> list[int]:
    return [at for at, letter in enumerate(text) if letter.isalpha()]


def _beside(letter: str) -> str:
    """The keys left and right of it."""
    for row in _KEYS:
        at = row.find(letter)
        if at >= 0:
            return row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    return ""


def _is_clear(made: str, word: str, part: dict[str, list[str]]) -> bool:
    """Whether the mistyped word can mean only one digit: no other digit's word is as near, and it is no other word."""
    others = [other for other in part["words"] if other != word]
    slips = distance(made, word)
    return made not in part["mistakable"] and slips > 0 and all(distance(made, other) > slips for other in others)


def distance(one: str, other: str) -> int:
    """How many slips lie between two words: a letter more, less or other, or two exchanged."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, other_letter in enumerate(other, start=1):
            best = min(row[j - 1] + 1, rows[i - 1][j] + 1, rows[i - 1][j - 1] + (letter != other_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == other_letter:
                best = min(best, rows[i - 2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
