"""Lines of text in five languages that name one digit, or none."""

import numpy as np
from numpy.typing import NDArray

from training.specs import NONE, TEXT_LENGTH
from training.speech import DIGIT_WORDS, OTHER_WORDS

TEMPLATES = {
    "en": "{}; {}; room {}; room {}; number {}; gate {}; table {}; please go to room {}; door {} is open; it is {}; "
    "channel {}; line {} please; I see a {}; the digit {}; press {}; floor {}; bus {}; {} o'clock; call {}; page {}; "
    "turn to {}; switch to channel {}; this is number {}; a {} on the door; {} please; no. {}; box {} is empty; key {}",
    "de": "{}; Raum {}; Raum {}; Zimmer {}; Nummer {}; Tor {}; Tisch {} bitte; Linie {}; bitte in Raum {}; Gleis {}; "
    "das ist eine {}; die Ziffer {}; Kanal {}; Stock {}; Taste {}; Tür {} ist offen; Bus {}; Seite {}; ich sehe "
    "eine {}",
    "fr": "{}; salle {}; salle {}; chambre {}; numéro {}; porte {}; table {} s'il vous plaît; ligne {}; le chiffre {}; "
    "quai {}; étage {}; canal {}; page {}; c'est le {}; bus {}; allez salle {}",
    "es": "{}; sala {}; sala {}; habitación {}; número {}; puerta {}; mesa {} por favor; línea {}; la cifra {}; "
    "andén {}; piso {}; canal {}; página {}; es el {}; autobús {}; vaya a la sala {}",
    "zh": "{}; {}; 房间{}; {}号; {}号房间; 第{}; 数字{}; {}楼; {}号门; 请到{}号; 电话{}; 频道{}; {} 号",
}
TEST_TEMPLATES = {
    "en": "platform {}; meet me at desk {}; go to number {} now; the answer is {}; room number {}",
    "de": "Haus {}; bitte Nummer {} nehmen; Schalter {}; Raum Nummer {}",
    "fr": "bureau {}; prenez le numéro {}; guichet {}",
    "es": "oficina {}; tome el número {}; ventanilla {}",
    "zh": "{}号桌; 号码{}; 去{}号楼",
}
"""Kept out of training."""
LOOKALIKES = {
    "en": "someone; stone; alone; phone; none; nobody; height; weight; freight; often; tower; network; fourth of July; "
    "only; money; gone; done; zeroed in; the tone; artwork; canine; feminine; fiver; sixpence; anyone there; "
    "lone wolf; "
    "to; for; ate; won; nice; serve; even; heaven; fire; free; tree; site; sex; oven; line; fine; live; hive; tow; the",
    "de": "Achtung; Einsatz; eine; ein Haus; Vieh; dreist; Verein; einsam; nun; Zweig; Zweifel; Sechseck; "
    "Gefünft; sieht; neu; "
    "nach; Macht; Nacht; viel; frei; fun; Sieb; Reis; keins",
    "fr": "trottoir; neige; sixième sens; huître; dehors; deuil; unique; sept-cent; quatrain; neuve; nuit; "
    "suit; cuit; trop",
    "es": "nuevo; uña; tresillo; cuadro; seda; ocioso; sietemesino; doce; seísmo; once; luna; cinta; siesta; "
    "ocre; hueve",
    "zh": "上下; 天地; 山水; 日月; 大小; 土木; 人口; 工作",
}
NUMBERS = {
    "en": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty "
    "fifty sixty "
    "seventy eighty ninety twenty-one thirty-five forty-two hundred",
    "de": "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig einundzwanzig dreißig "
    "vierzig fünfzig sechzig siebzig achtzig neunzig hundert",
    "fr": "dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf vingt trente quarante "
    "cinquante soixante",
    "es": "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veinte treinta "
    "cuarenta cincuenta",
    "zh": "十 十一 十二 十五 十七 十八 二十 三十 百 七十 九十九 二十三 四十 八百",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LANGUAGES = ("en", "en", "en", "de", "de", "fr", "es", "zh", "zh")


def make_lines(count: int, rng: np.random.Generator, test: bool = False) -> tuple[list[str], NDArray[np.int64]]:
    """`count` lines with their labels; a third have no digit (NONE)."""
    lines, labels = [], np.empty(count, np.int64)
    for index in range(count):
        language = _LANGUAGES[rng.integers(len(_LANGUAGES))]
        labels[index] = NONE if rng.random() < 0.33 else rng.integers(10)
        if labels[index] == NONE:
            line = _without_digit(language, rng, test)
        else:
            line = _with_digit(int(labels[index]), language, rng, test)
        lines.append(_as_typed(line, rng))
    return lines, labels


def to_ids(lines: list[str]) -> NDArray[np.int32]:
    """Lines as the network takes them: UTF-8 bytes plus 1, then zeros, shape (n, TEXT_LENGTH)."""
    ids = np.zeros((len(lines), TEXT_LENGTH), np.int32)
    for row, line in zip(ids, lines, strict=True):
        data = np.frombuffer(line.encode()[:TEXT_LENGTH], np.uint8)
        row[: len(data)] = data.astype(np.int32) + 1
    return ids


def _pick(choices: str, rng: np.random.Generator, separator: str | None = "; ") -> str:
    parts = choices.split(separator)
    return parts[rng.integers(len(parts))]


def _with_digit(digit: int, language: str, rng: np.random.Generator, test: bool) -> str:
    name = str(digit) if rng.random() < 0.45 else DIGIT_WORDS[language][digit]
    if len(name) > 3 and rng.random() < 0.12:
        name = _mistyped(name, rng)
    if test:
        return _pick(TEST_TEMPLATES[language], rng).format(name)
    kind = rng.random()
    article = name == "un"
    if kind < 0.6 or article:
        line = _pick(TEMPLATES[language], rng).format(name)
    else:  # among words that have nothing to do with it
        before, after = _filler(language, rng), _filler(language, rng)
        gap = "" if language == "zh" else " "
        line = gap.join((before, name) if kind < 0.75 else (name, after) if kind < 0.85 else (before, name, after))
    return line


def _without_digit(language: str, rng: np.random.Generator, test: bool) -> str:
    kind = rng.random()
    templates = (TEST_TEMPLATES if test else TEMPLATES)[language]
    if kind < 0.3:  # a number of several digits, in the same places where a digit stands
        number = (
            str(rng.integers(10, 10 ** rng.integers(2, 6)))
            if rng.random() < 0.65
            else _pick(NUMBERS[language], rng, None)
        )
        return _pick(templates, rng).format(number)
    if kind < 0.4:
        parts = rng.integers(10, 60, 2)
        return f"{parts[0]}{':.,-/'[rng.integers(5)]}{parts[1]}"
    if kind < 0.55:
        return _pick(templates, rng).format(_pick(LOOKALIKES[language], rng))
    if kind < 0.65:
        return _pick(LOOKALIKES[language], rng)
    if kind < 0.75:
        return _pick(templates, rng).format(_filler(language, rng)).strip()
    if kind < 0.78:
        return ""
    return " ".join(_filler(language, rng) for _ in range(rng.integers(1, 4)))


def _filler(language: str, rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.45:
        return _pick(OTHER_WORDS[language], rng)
    if kind < 0.7:
        words = _pick(TEMPLATES[language], rng).replace("{}", " ").split()
        return words[rng.integers(len(words))] if words else _pick(OTHER_WORDS[language], rng)
    return "".join(_LETTERS[rng.integers(26)] for _ in range(rng.integers(2, 9)))


def _mistyped(word: str, rng: np.random.Generator) -> str:
    """Two letters exchanged, one missing, one doubled, or one wrong; never the first."""
    at = int(rng.integers(1, len(word) - 1))
    kind = rng.integers(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + _LETTERS[rng.integers(26)] + word[at + 1 :]


def _as_typed(line: str, rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.15:
        line = line.upper()
    elif kind < 0.35:
        line = line.capitalize()
    elif kind < 0.6:
        line = line.lower()
    if rng.random() < 0.15:
        line += "!.?,"[rng.integers(4)]
    if rng.random() < 0.06:
        line = f"  {line} "
    return line
