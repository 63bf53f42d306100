"""Where `perceptd setup` asks its questions and says what it does."""

import getpass
import sys


class Console:
    """The terminal of a person. A context is not needed: nothing of the terminal's settings stays changed."""

    def say(self, text: str) -> None:
        """Print text and a line end."""
        print(text, flush=True)

    def ask(self, prompt: str) -> str:
        """Return a line that somebody types. Raises UnicodeError, EOFError, KeyboardInterrupt."""
        return input(prompt)

    def secret(self, prompt: str) -> str:
        """Return a line that is not shown. Raises UnicodeError, EOFError, KeyboardInterrupt."""
        return getpass.getpass(prompt)


class Log:
    """A setup without questions: what it does is told on standard output, or on standard error beside JSON."""

    def __init__(self, *, beside_json: bool) -> None:
        self._stream = sys.stderr if beside_json else sys.stdout

    def say(self, text: str) -> None:
        """Print text and a line end."""
        print(text, file=self._stream, flush=True)

    def ask(self, prompt: str) -> str:
        """Raise EOFError: there is nobody."""
        raise EOFError(prompt)

    def secret(self, prompt: str) -> str:
        """Raise EOFError: there is nobody."""
        raise EOFError(prompt)
