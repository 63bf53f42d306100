"""Numbers from 10 on, which are no digits: in figures and in words."""

import numpy as np

from training.phrases import NUMBER_PARTS
from training.voices import DIGIT_WORDS

_EN_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_EN_TEENS = [
    "ten",
    "eleven",
    "twelve",
    *(f"{unit}teen" for unit in ("thir", "four", "fif", "six", "seven", "eigh", "nine")),
]
_DE_TENS = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
_DE_TEENS = ["zehn", "elf", "zwölf", "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"]
_FR_TENS = ["vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt"]
_FR_TEENS = ["dix", "onze", "douze", "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf"]
_ES_TENS = ["veinte", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
_ES_TEENS = ["diez", "once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve"]
_ROUND = {
    "en": "hundred; a thousand; million; dozen",
    "de": "hundert; tausend; eine Million; einhundert",
    "fr": "cent; mille; un million; cents",
    "es": "cien; mil; un millón; ciento",
    "zh": "百; 一百; 一千; 万; 百万",
}


def in_words(language: str, rng: np.random.Generator) -> str:
    """A number of 10 or more, or a decimal fraction, as it is spoken."""
    kind = rng.random()
    if kind < 0.8:
        return _two_figures(language, int(10 + rng.random() * (90 if rng.random() < 0.6 else 10)), rng)
    if kind < 0.85:
        return _pick(_ROUND[language], rng)
    gap = "" if language == "zh" else " "
    words, (units, point) = DIGIT_WORDS[language], NUMBER_PARTS[language]
    first, second = words[int(rng.random() * 10)], words[int(rng.random() * 10)]
    if kind < 0.9:
        return gap.join((first, point, second))
    number = (words[int(2 + rng.random() * 8)] if rng.random() < 0.7 else "", _pick(units, rng))
    if rng.random() < 0.4:
        number = (*number, "and" if language == "en" and rng.random() < 0.7 else "", second)
    return ("" if language == "de" else gap).join(filter(None, number))


def in_figures(rng: np.random.Generator) -> str:
    """A number of several figures, a time, a date, a fraction or a telephone number."""
    kind = rng.random()
    if kind < 0.5:
        return str(int(10 ** (1 + rng.random() * 4)))
    a, b, c = (int(rng.random() * 10 ** (1 + int(rng.random() * 2))) for _ in range(3))
    if kind < 0.8:
        return f"{a}{':.,-/:.x'[int(rng.random() * 8)]}{b}"
    if kind < 0.88:
        return f"{a}:{10 + b % 50}"
    if kind < 0.94:
        mark = ".-/:"[int(rng.random() * 4)]
        return f"{a}{mark}{b}{mark}{2000 + c}"
    if kind < 0.96:
        return f"{a} {b:03}"
    if kind < 0.98:
        return f"{100 + 9 * a}{' -'[int(rng.random() * 2)]}{1000 + 83 * b}"
    return f"{chr(65 + a % 26)}{10 + b}"


def _two_figures(language: str, number: int, rng: np.random.Generator) -> str:
    """A number from 10 to 99 in words."""
    tens, unit = divmod(number, 10)
    word = DIGIT_WORDS[language][unit]
    if language == "zh":
        return ("" if tens == 1 else DIGIT_WORDS["zh"][tens]) + "十" + (word if unit else "")
    if language == "fr":
        return _french(tens, unit)
    teens, all_tens = {"en": (_EN_TEENS, _EN_TENS), "de": (_DE_TEENS, _DE_TENS), "es": (_ES_TEENS, _ES_TENS)}[language]
    if tens == 1:
        return teens[unit]
    ten = all_tens[tens - 2]
    if not unit:
        return ten
    if language == "de":
        return ("ein" if unit == 1 else word) + "und" + ten
    if language == "es":
        return f"veinti{word}" if tens == 2 else f"{ten} y {word}"
    return ten + "- -"[int(rng.random() * 3)] + word


def _french(tens: int, unit: int) -> str:
    if tens in (7, 9):
        return _FR_TENS[tens - 2] + (" et " if (tens, unit) == (7, 1) else "-") + _FR_TEENS[unit]
    if tens == 1:
        return _FR_TEENS[unit]
    ten = _FR_TENS[tens - 2]
    if not unit:
        return ten + ("s" if tens == 8 else "")
    return f"{ten} et un" if unit == 1 and tens < 8 else f"{ten}-{DIGIT_WORDS['fr'][unit]}"


def _pick(choices: str, rng: np.random.Generator) -> str:
    parts = choices.split("; ")
    return parts[int(rng.random() * len(parts))]
