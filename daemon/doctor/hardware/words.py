"""Which words of a text may stand in a report. Everything that is not listed here is left out. Pure.

A report goes into a public issue. So no text is copied: each field takes from a text what its list knows.
"""

import re
from collections.abc import Callable, Set
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path

# stands for one or more words that were left out
LEFT_OUT = "…"

MAX_WORDS = 60

# words of our own messages, written by scripts/hardware_pages.py
OWN_WORDS = Path(__file__).with_name("words.txt")

# the other words, in lists by what they name
_KNOWN = ConfigParser(interpolation=None)
_KNOWN.read_string(Path(__file__).with_name("known.ini").read_text(encoding="utf-8"))


def known(name: str) -> frozenset[str]:
    """Return one of the lists."""
    return frozenset(_KNOWN["known"][name].split())


SYSTEM_WORDS, NAMES, BOARDS, PROCESSORS, FLAVOURS = map(known, ("system", "names", "boards", "processors", "flavours"))

_NUMBER = re.compile(r"\d{1,5}(?:\.\d{1,3})?(?:%|ms|s|MB|GHz|x\d{1,4})?")
_PROCESSOR_NUMBER = re.compile(r"(?:[A-Z]?\d{1,5}[A-Z]{0,2}|i[3579]-\d{4,5}[A-Z]{0,2}|\d{1,2}-Core|\d\.\d{1,2}GHz|v\d)")
_BOARD_NUMBER = re.compile(r"\d{1,3}[A-Z]?(?:\.\d)?|[A-Z]\d{1,2}")
_SIGNAL = re.compile(r"SIG[A-Z]{2,6}")
_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,5}){0,2}(?=$|[.+~ -]|rc)")
_KERNEL = re.compile(r"\d{1,2}\.\d{1,3}(?:\.\d{1,4})?(?=$|[+~-])")
_EDGES = " \t\n.,:;()[]\"'`"


def message(text: str) -> str:
    """Return a message of ours, or of a library, without the words that are not known."""
    return _kept(re.sub(r"'s\b", "", text).split(), _is_message_word)


def board(text: str) -> str | None:
    """Return what a device tree or a BIOS calls the board. None: nothing of it is known."""
    return _named(text.split(), _is_board_word, BOARDS)


def processor(text: str) -> str | None:
    """Return what /proc/cpuinfo calls the processor. None: nothing of it is known."""
    return _named(text.split(), _is_processor_word, PROCESSORS)


def version(text: str | None) -> str | None:
    """Return the first three numbers of a version. A fourth would make it look like an address."""
    found = None if text is None else _VERSION.match(text)
    return None if found is None else found.group()


def kernel(text: str) -> str | None:
    """Return the release of a kernel: its number, and the flavours of distributions. The builder's name is left out."""
    number = _KERNEL.match(text)
    if number is None:
        return None
    flavours = [part for part in re.split(r"[-+.~]", text[number.end() :]) if part in FLAVOURS]
    return "-".join([number.group(), *flavours])


def one_of(text: str, listed: Set[str]) -> str | None:
    """Return a text that is listed."""
    return text if text in listed else None


@lru_cache(maxsize=1)
def own_words() -> frozenset[str]:
    """Return the words of our own messages, in lower case."""
    return frozenset(OWN_WORDS.read_text(encoding="utf-8").split())


def _kept(words: list[str], is_known: Callable[[str], bool]) -> str:
    shown: list[str] = []
    for word in words:
        bare = word.strip(_EDGES)
        if not bare:
            continue
        if is_known(bare):
            shown.append(bare)
        elif shown[-1:] != [LEFT_OUT]:
            shown.append(LEFT_OUT)
    return " ".join(shown[:MAX_WORDS])


def _named(words: list[str], is_known: Callable[[str], bool], names: frozenset[str]) -> str | None:
    """Return the known words of a name. Without a word from a list, numbers alone name nothing."""
    shown = [word for word in words if is_known(word)]
    return " ".join(shown[:MAX_WORDS]) if any(word in names for word in shown) else None


def _is_message_word(word: str) -> bool:
    if word in NAMES or any(form.fullmatch(word) for form in (_NUMBER, _VERSION, _SIGNAL)):
        return True
    return word.lower() in SYSTEM_WORDS or word.lower() in own_words()


def _is_board_word(word: str) -> bool:
    return word in BOARDS or _BOARD_NUMBER.fullmatch(word) is not None


def _is_processor_word(word: str) -> bool:
    return word in PROCESSORS or _PROCESSOR_NUMBER.fullmatch(word) is not None
