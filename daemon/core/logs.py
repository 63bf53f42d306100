"""The log on standard error: what can go wrong with every frame is said once, however often it does."""

import logging
import time
from collections.abc import Callable

QUIET_S = 600.0
PER_ITEM = ("daemon.pipeline", "daemon.node.stream_publisher", "daemon.runtime.worker")
"""Whose messages may come with every frame. The others tell of changes, and each change is told."""

MAX_REMEMBERED = 1000


class RepeatFilter(logging.Filter):
    """Lets a message of `PER_ITEM` pass once in `QUIET_S`; the next time it tells how often it was held back."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        if not record.name.startswith(PER_ITEM):
            return True
        key = (record.name, record.getMessage())
        now_s = self._clock_s()
        said_s, held_back = self._said.get(key, (-QUIET_S, 0))
        if now_s - said_s < QUIET_S:
            self._said[key] = (said_s, held_back + 1)
            return False
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
        self._said[key] = (now_s, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} ({held_back} times more since)", ()
        return True


def start_logging(level: str) -> None:
    """Write what the program says from `level` on."""
    handler = logging.StreamHandler()
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", handlers=[handler])
