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

# Of one kind of message so many are written in an hour, and of one text of it so many. A camera or a broker that comes
# and goes would fill the journal in years.
WINDOW_S = 3600.0
MOST_OF_KIND, MOST_OF_TEXT = 200, 20

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


@dataclass(slots=True)
class _Window:
    """The messages of one kind since an instant: how many were written, and how many were left out."""

    since_s: float
    written: int = 0
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Passes each message of a rate-limited logger once in `QUIET_S`, with the number of repeats since.

    Of the messages of other loggers it passes so many of one kind in an hour. Messages of the level debug always pass.
    Any thread may log: two that write one message at once may both pass.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._kinds: dict[tuple[str, ...], _Window] = {}
        self._texts: dict[tuple[str, ...], _Window] = {}
        # logger and message -> when it was written, and how often it has been suppressed since
        self._written: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if not getattr(record, RATE_LIMITED, False):
            return record.levelno <= logging.DEBUG or self._has_place(record)
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

    def _has_place(self, record: logging.LogRecord) -> bool:
        """Return whether the message is among the first of its kind in this hour; the last one of them says so."""
        now_s, kind = self._clock_s(), (record.name, str(record.msg))
        first = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        of_kind, of_text = _window(self._kinds, kind, now_s), _window(self._texts, (*kind, first), now_s)
        if of_kind.written >= MOST_OF_KIND or of_text.written >= MOST_OF_TEXT:
            of_text.left_out += 1
            return False
        note = f" ({of_text.left_out} like it were left out before)" if of_text.left_out else ""
        of_kind.written, of_text.written, of_text.left_out = of_kind.written + 1, of_text.written + 1, 0
        if of_text.written == MOST_OF_TEXT or of_kind.written == MOST_OF_KIND:
            note += " (more like it are left out for an hour)"
        if note:
            record.msg, record.args = f"{record.getMessage()}{note}", ()
        return True


def _window(windows: dict[tuple[str, ...], _Window], key: tuple[str, ...], now_s: float) -> _Window:
    window = windows.get(key)
    if window is None or now_s - window.since_s >= WINDOW_S:
        if len(windows) >= MAX_REMEMBERED:
            windows.clear()
        window = windows[key] = _Window(now_s, 0, 0 if window is None else window.left_out)
    return window
