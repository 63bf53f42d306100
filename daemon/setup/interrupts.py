"""Ctrl-C, a shutdown and a terminal that is closed: they end a setup, but for steps that must end as a whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The handler of these signals. Its first one raises KeyboardInterrupt; later ones do not disturb the end.

    A handler is used, and no mask: a signal that one thread blocks goes to another one, and reaches Python all the
    same.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._waits = False
        self._has_ended = False

    def handle(self) -> None:
        """Handle the signals of a setup that begins now. Call it in the main thread."""
        self._waits = self._has_ended = False
        for number in SIGNALS:
            signal.signal(number, self._take)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the signals wait until the block has ended. Raises KeyboardInterrupt then."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._waits and not self._depth:
                self._end()

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if self._has_ended:
            return
        if self._depth:
            self._waits = True
        else:
            self._end()

    def _end(self) -> None:
        self._waits, self._has_ended = False, True
        raise KeyboardInterrupt


# of this process: a setup is one
interrupts = Interrupts()
