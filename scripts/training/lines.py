"""Lines of text in five languages that name one digit, or none. words.py says what counts as a digit."""

import re

import numpy as np
from numpy.typing import NDArray

from training import invented_words, vocabulary
from training.numerals import in_figures, in_words
from training.phrases import JOINS
from training.specs import NONE, TEXT_LENGTH
from training.splits import Part
from training.typing_errors import is_clear, is_near_digit, mistyped, names_digit, plain
from training.voices import DIGIT_WORDS
from training.words import MORE_DIGIT_WORDS, TRADITIONAL

NONE_SHARE = 0.36
_LANGUAGES = ("en", "en", "en", "de", "de", "fr", "fr", "es", "es", "zh", "zh", "zh")
_WORD = re.compile(r"\w+")
# Where "one", "un" and 一 are digits, and not an article, a pronoun or a part of a word.
_COUNTED = re.compile(
    r"(^|\{n\}:? |\{g\}: |[Nn]umber |numéro |is |est |digit |chiffre |[#(]|n° |no\. )\{d\}($|\)|,? \{s\})"
    r"|\{d\}(\{c\}|$|）)"
)
# Placeholder for the name of the digit while the words around it are put together.
_NAME = "\0"


def make_lines(count: int, rng: np.random.Generator, part: Part) -> tuple[list[str], NDArray[np.int64]]:
    """`count` lines with their labels; about a third have no digit (NONE).

    A line may be longer than the TEXT_LENGTH bytes that the encoder reads. The name in it ends within those bytes.
    """
    lines, labels = [], np.empty(count, np.int64)
    for index in range(count):
        writer = _Writer(_LANGUAGES[int(rng.random() * len(_LANGUAGES))], rng, part)
        labels[index] = NONE if rng.random() < NONE_SHARE else int(rng.random() * 10)
        lines.append(writer.without_digit() if labels[index] == NONE else writer.with_digit(int(labels[index])))
    return lines, labels


def to_ids(lines: list[str]) -> NDArray[np.int32]:
    """Lines as the network takes them: UTF-8 bytes plus 1, then zeros, shape (n, TEXT_LENGTH)."""
    ids = np.zeros((len(lines), TEXT_LENGTH), np.int32)
    for row, line in zip(ids, lines, strict=True):
        data = np.frombuffer(line.encode()[:TEXT_LENGTH], np.uint8)
        row[: len(data)] = data.astype(np.int32) + 1
    return ids


class _Writer:
    """Writes one line in one language."""

    def __init__(self, language: str, rng: np.random.Generator, part: Part) -> None:
        self._language, self._rng, self._part = language, rng, part
        self._gap = "" if language == "zh" else " "
        self._slots = vocabulary.slots(language, part)

    def with_digit(self, digit: int) -> str:
        """A line that names `digit` and no other."""
        while True:
            name = self._digit_name(digit)
            counted = name in ("one", "un", "一")
            around = self._phrase(counted)
            if counted and (f"{_NAME}点" in around or f"{_NAME}个" in around):  # "a little", "a"
                continue
            if self._chance(0.3) and not name.isnumeric():
                name = self._digit_mistyped(name, digit)
            line = self._as_typed(around, name)
            if line:
                return line

    def without_digit(self) -> str:
        """A line that names no digit, or more than one."""
        while True:
            line = self._as_typed(*self._nothing_named())
            if line is not None:
                return line

    def _digit_name(self, digit: int) -> str:
        kind = self._rng.random()
        if kind < 0.38:
            return str(digit)
        if kind < (0.46 if self._language == "zh" else 0.4):
            return chr(ord("０") + digit)
        more = MORE_DIGIT_WORDS.get(self._language, {}).get(digit, "").split()
        if more and self._chance(0.45 if self._language == "zh" else 0.2):
            return self._pick(more)
        if self._chance(0.03) and self._language != "zh":
            return DIGIT_WORDS[self._pick(["en", "de", "es"])][digit]
        return DIGIT_WORDS[self._language][digit]

    def _digit_mistyped(self, name: str, digit: int) -> str:
        """`name` with a typing error that still means the same digit, or `name` if four tries find none."""
        if len(name) > 2:
            for _ in range(4):
                word = mistyped(name, self._rng, self._part)
                if is_clear(word, digit):
                    return word
        return name

    def _nothing_named(self) -> tuple[str, str]:
        """Words with a placeholder for a name, and a text for the placeholder that names no digit."""
        kind = self._rng.random()
        if kind < 0.18:
            return self._phrase(), self._wide(in_figures(self._rng))
        if kind < 0.32:
            return self._phrase(), self._number_in_words()
        if kind < 0.52:
            return self._phrase(), self._pick(vocabulary.lookalikes(self._language, self._part))
        if kind < 0.57:
            return self._phrase(), self._longer_word()
        if kind < 0.62:
            return self._phrase(), self._letters() if self._chance(0.6) else self._pick(self._slots["o"])
        if kind < 0.65:
            return self._phrase(), self._two_digits()
        if kind < 0.70:
            return self._filled(self._pick(vocabulary.sentences(self._language, self._part))), ""
        if kind < 0.75:
            return " ".join(self._letters() for _ in range(1 + int(self._rng.random() * 4))), ""
        if kind < 0.76:
            return self._pick(["", " ", "?", "...", "!", "-", ":)", "。", "#"]), ""
        if kind < 0.84:
            return self._salad(1 + int(self._rng.random() * 6)), ""
        return self._filled(self._pick(vocabulary.phrases(self._language, self._part, digit=False))), ""

    def _phrase(self, counted: bool = False) -> str:
        """Words with a placeholder for the name of a digit."""
        kind = self._rng.random()
        if kind < 0.05:
            return _NAME
        if kind < 0.2 and not counted:
            before, after = (self._salad(int(self._rng.random() * 5)) for _ in range(2))
            return self._gap.join(filter(None, (before, _NAME, after)))
        choices = vocabulary.phrases(self._language, self._part, digit=True)
        if counted:
            choices = [phrase for phrase in choices if _COUNTED.search(phrase)] or ["{d}"]
        phrase = self._filled(self._pick(choices))
        if self._chance(0.06):  # a longer line, partly beyond the bytes that are read
            phrase += (", ", ". ", " ")[int(self._rng.random() * 3)] + self._salad(8) if not counted else ""
        return phrase

    def _filled(self, phrase: str) -> str:
        while (at := phrase.find("{")) >= 0:
            slot = phrase[at + 1]
            new = slot in "nto" and self._chance(0.1)
            word = _NAME if slot == "d" else self._invented_word() if new else self._pick(self._slots[slot])
            phrase = phrase[:at] + word + phrase[at + 3 :]
        return phrase

    def _salad(self, count: int) -> str:
        """Words in random order; some of them are in no dictionary."""
        return self._gap.join(
            self._invented_word()
            if self._chance(0.12)
            else self._pick(self._slots["ntvoo"[int(self._rng.random() * 5)]])
            for _ in range(count)
        )

    def _letters(self) -> str:
        return self._invented_word() if self._chance(0.5) else invented_words.random_letters(self._rng)

    def _invented_word(self) -> str:
        if self._language == "zh":
            return invented_words.random_characters(self._rng)
        return invented_words.crossed(self._slots["n"], self._slots["t"], self._rng)

    def _longer_word(self) -> str:
        if self._language == "zh":
            return self._pick(vocabulary.lookalikes("zh", self._part))
        before, after = (self._invented_word()[: int(self._rng.random() * 6)] for _ in range(2))
        return invented_words.longer_word(self._language, before, after, self._rng)

    def _number_in_words(self) -> str:
        number = in_words(self._language, self._rng)
        if number.isalpha() and self._language != "zh" and self._chance(0.2):
            wrong = mistyped(number, self._rng, self._part)
            return number if is_near_digit(plain(wrong)) else wrong
        return number

    def _two_digits(self) -> str:
        first, second = (int(self._rng.random() * 10) for _ in range(2))
        second = second if second != first else (first + 1) % 10
        join = self._pick(JOINS[self._language].split("; "))
        between = f"{self._gap}{join}{self._gap}" if self._chance(0.7) else self._pick([" ", ", ", "/", " - "])
        return between.join(self._digit_name(digit) for digit in (first, second))

    def _as_typed(self, around: str, name: str) -> str | None:
        """The line as somebody types it.

        None if it names another digit, or if the name does not end within TEXT_LENGTH.
        """
        if self._chance(0.03) and name:
            name = self._pick(["'{}'", '"{}"', "({})", "*{}*", "«{}»", "„{}“"]).format(name)
        if self._chance(0.04) and name:
            around = around.replace(f" {_NAME}", self._pick(["-", " - ", ": ", " #", "  "]) + _NAME)
        around, name = self._spelled(around, name)
        if any(names_digit(word) for word in _WORD.findall(around) if word.lower() not in ("un", "one")):
            return None
        if self._chance(0.18):
            around += self._pick("。！？，" if self._language == "zh" and self._chance(0.6) else "!.?,")
        if self._chance(0.05):
            around = f"  {around} "
        before, _, after = around.partition(_NAME)
        read = len(f"{before}{name}{after[:1]}".encode()) <= TEXT_LENGTH
        return before + name + after if read or not name else None

    def _spelled(self, around: str, name: str) -> tuple[str, str]:
        """The texts with typing errors, random case and accents; Chinese sometimes in traditional characters."""
        if self._language == "zh":
            return around.translate(TRADITIONAL) if self._chance(0.15) else around, name
        around, style = self._with_errors(around), self._rng.random()
        around, name = _cased(around, style), _cased(name, style)
        umlauts = self._language == "de" and self._chance(0.5)
        kind = self._rng.random()
        return plain(around, umlauts) if kind < 0.3 else around, plain(name, umlauts) if kind < 0.4 else name

    def _with_errors(self, around: str) -> str:
        """The text, sometimes with one word mistyped. The mistyped word is never near the word for a digit."""
        if not self._chance(0.2):
            return around
        words = around.split(" ")
        at = int(self._rng.random() * len(words))
        if len(words[at]) > 2 and words[at].isalpha():
            word = mistyped(words[at], self._rng, self._part)
            if not is_near_digit(plain(word)):
                words[at] = word
        return " ".join(words)

    def _wide(self, figures: str) -> str:
        if not self._chance(0.12 if self._language == "zh" else 0.02):
            return figures
        return "".join(chr(ord("０") + int(figure)) if figure.isdigit() else figure for figure in figures)

    def _pick(self, choices: list[str] | str) -> str:
        return choices[int(self._rng.random() * len(choices))]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)


def _cased(text: str, style: float) -> str:
    if style < 0.01:
        return text.swapcase()
    if style < 0.12:
        return text.upper()
    if style < 0.3:
        return text.title() if style < 0.2 else text[:1].upper() + text[1:]
    return text.lower() if style < 0.55 else text
