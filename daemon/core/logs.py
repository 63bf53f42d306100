"""The log on standard error and its latest lines in memory, and a logger whose repeated messages are suppressed."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.text import redact

# the name is that of the module which logs, such as daemon.mqtt.broker.connection
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"

# a rate-limited message is written again after this time
QUIET_S = 600.0

MAX_REMEMBERED = 1000

# lines in memory, and the characters of each of them: a traceback has several thousand
MAX_LINES = 500
MAX_LINE_CHARS = 4000

# set on the records of rate-limited loggers
RATE_LIMITED = "rate_limited"


def start_logging(level: str) -> "RememberedLog":
    """Write log messages from `level` on to standard error: time, level, module and message. Return the log."""
    handler = RememberedLog()
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=level.upper(), format=LINE, handlers=[handler])
    return handler


def set_level(level: str) -> None:
    """Write log messages from another `level` on."""
    logging.getLogger().setLevel(level.upper())


def rate_limited_logger(name: str) -> "logging.LoggerAdapter[logging.Logger]":
    """Return a logger for messages that may come with every frame, block, line or job; see `RepeatFilter`."""
    return logging.LoggerAdapter(logging.getLogger(name), {RATE_LIMITED: True})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One message of the log. `number` counts all messages of this process; `time_s` is wall time."""

    number: int
    time_s: float
    level: str
    module: str
    text: str


class RememberedLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error, and remembers the latest lines. Any thread may log, and read."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and remember it. `logging` holds the lock of this handler."""
        super().emit(record)
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not match, which `emit` has reported
            text = str(record.msg)
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self._number += 1
        shown = redact(text)[:MAX_LINE_CHARS]
        self._lines.append(LogLine(self._number, record.created, record.levelname.lower(), record.name, shown))

    def lines(self, after: int = 0) -> list[LogLine]:
        """Return the remembered lines with a higher number, oldest first."""
        self.acquire()
        try:
            return [line for line in self._lines if line.number > after]
        finally:
            self.release()


class RepeatFilter(logging.Filter):
    """Passes each message of a rate-limited logger once in `QUIET_S`, with the number of repeats since.

    Messages of other loggers always pass. Any thread may log: two that write one message at once may both pass.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        # logger and message -> when it was written, and how often it has been suppressed since
        self._written: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if not getattr(record, RATE_LIMITED, False):
            return True
        key = (record.name, record.getMessage())
        now_s = self._clock_s()
        written_s, suppressed = self._written.get(key, (-QUIET_S, 0))
        if now_s - written_s < QUIET_S:
            self._written[key] = (written_s, suppressed + 1)
            return False
        if len(self._written) >= MAX_REMEMBERED:
            self._written.clear()
        self._written[key] = (now_s, 0)
        if suppressed:
            record.msg, record.args = f"{record.getMessage()} ({suppressed} times more since)", ()
        return True
