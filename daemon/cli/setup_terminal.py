"""Where `perceptd setup` asks its questions and says what it does.

Texts of devices, of the network and of other programs come this way to the terminal, without control characters.
"""

import getpass
import io
import sys
from typing import TextIO

from daemon.core.text import harmless


class Console:
    """The terminal of a person. A context is not needed: nothing of the terminal's settings stays changed."""

    def __init__(self) -> None:
        _write_all(sys.stdout)

    def say(self, text: str) -> None:
        """Print text and a line end."""
        print(harmless(text), flush=True)

    def ask(self, prompt: str) -> str:
        """Return a line that somebody types. Raises UnicodeError, EOFError, KeyboardInterrupt."""
        return input(harmless(prompt))

    def secret(self, prompt: str) -> str:
        """Return a line that is not shown. Raises UnicodeError, EOFError, KeyboardInterrupt."""
        return getpass.getpass(harmless(prompt))


class Log:
    """A setup without questions: what it does is told on standard output, or on standard error beside JSON."""

    def __init__(self, *, beside_json: bool) -> None:
        self._stream = sys.stderr if beside_json else sys.stdout
        _write_all(self._stream)

    def say(self, text: str) -> None:
        """Print text and a line end."""
        print(harmless(text), file=self._stream, flush=True)

    def ask(self, prompt: str) -> str:
        """Raise EOFError: there is nobody."""
        raise EOFError(prompt)

    def secret(self, prompt: str) -> str:
        """Raise EOFError: there is nobody."""
        raise EOFError(prompt)


def _write_all(stream: TextIO) -> None:
    """Let a terminal show ? for what its encoding has not: names of devices come in all scripts."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
