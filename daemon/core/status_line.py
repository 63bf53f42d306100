"""Shows progress on one line of a terminal that is rewritten."""

import sys
from typing import TextIO

CLEAR_TO_END = "\x1b[K"


class StatusLine:
    """One line that is rewritten on a terminal; where there is no terminal, nothing is written. A context manager."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream` is standard error unless another one is given."""
        self._stream = stream or sys.stderr
        self.is_shown = self._stream.isatty()
        self._is_open = False

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.is_shown:
            self._write(f"\r{text}{CLEAR_TO_END}")
            self._is_open = True

    def finish(self) -> None:
        """Keep the line, and begin a new one."""
        if self._is_open:
            self._write("\n")
            self._is_open = False

    def clear(self) -> None:
        """Remove the line."""
        if self._is_open:
            self._write(f"\r{CLEAR_TO_END}")
            self._is_open = False

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
