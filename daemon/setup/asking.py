"""Asks a person in a terminal: a line, a choice by number, yes or no, a password. A wrong answer is asked again.

`<` goes back to the question before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from daemon.core.text import clean, redact

T = TypeVar("T")

# what somebody types to go back
BACK = "<"

# of a label: names of devices come from outside
MAX_LABEL_CHARS = 100


class Back(Exception):
    """Somebody wants the question before."""


class Terminal(Protocol):
    """Where the questions are asked. EOFError and KeyboardInterrupt end the setup."""

    def say(self, text: str) -> None:
        """Print text and a line end."""

    def ask(self, prompt: str) -> str:
        """Return a line that somebody types. Raises UnicodeError where it is no text."""

    def secret(self, prompt: str) -> str:
        """Return a line that is not shown. Raises UnicodeError where it is no text."""


@dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One of several answers. The label is cleaned, and shown without credentials."""

    label: str
    value: T


def ask(terminal: Terminal, question: str, default: str, read: Callable[[str], T], *, has_before: bool = True) -> T:
    """Return the answer, as `read` makes it; an empty one is the default. Raises Back, if there is a question before.

    `read` raises ValueError for an answer that cannot be used, with a text that says what is expected.
    """
    back = f", or type {BACK} to go back" if has_before else ""
    shown = f" [{clean(redact(default), MAX_LABEL_CHARS)}]" if default else ""
    while True:
        try:
            typed = _line(terminal.ask(f"{question}{shown}: ")).strip()
            if typed == BACK and has_before:
                raise Back
            return read(typed or default)
        except ValueError as error:
            terminal.say(f"  {_reason(error)}. Please answer again{back}.")


def choose(
    terminal: Terminal, question: str, options: Sequence[Option[T]], default: int = 0, *, has_before: bool = True
) -> T:
    """Return the value of the option that somebody chooses by its number. `default` counts from 0. Raises Back."""
    terminal.say(question)
    for number, option in enumerate(options, 1):
        terminal.say(f"  {number}  {clean(redact(option.label), MAX_LABEL_CHARS)}")
    return ask(terminal, "Number", str(default + 1), _Numbered(options), has_before=has_before)


def ask_yes(terminal: Terminal, question: str, *, default: bool, has_before: bool = True) -> bool:
    """Return whether somebody says yes. Raises Back."""
    return ask(terminal, f"{question} (yes or no)", "yes" if default else "no", _yes, has_before=has_before)


def ask_secret(terminal: Terminal, question: str, *, has_before: bool = True) -> str:
    """Return what somebody types, which is not shown and not changed. Raises Back, if there is a question before."""
    while True:
        try:
            typed = _line(terminal.secret(f"{question}: "))
        except ValueError as error:
            terminal.say(f"  {_reason(error)}. Please answer again.")
            continue
        if typed == BACK and has_before:
            raise Back
        return typed


class _Numbered(Generic[T]):
    """Reads the number of an option."""

    def __init__(self, options: Sequence[Option[T]]) -> None:
        self._options = options

    def __call__(self, text: str) -> T:
        # str.isdecimal accepts digits of all scripts, as int() does
        if not (text.isdecimal() and len(text) < 4 and 1 <= int(text) <= len(self._options)):
            raise ValueError(f"expected a number from 1 to {len(self._options)}")
        return self._options[int(text) - 1].value


def _yes(text: str) -> bool:
    answers = {"y": True, "yes": True, "n": False, "no": False}
    if text.lower() not in answers:
        raise ValueError("expected yes or no")
    return answers[text.lower()]


def _line(typed: str) -> str:
    """Return what was typed. Raises ValueError where UTF-8 cannot hold it: the terminal has another encoding."""
    typed.encode()
    return typed


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "these characters cannot be read; expected UTF-8"
    return redact(str(error))
