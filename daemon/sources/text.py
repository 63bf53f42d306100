"""Lines of text: the payloads of MQTT messages, and the timed lines of a recording."""

import json
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.core.document import StrictModel, load_document
from daemon.core.errors import InputError
from daemon.core.ports import Deliver
from daemon.core.records import Counters, Line
from daemon.core.timing import NS_PER_S, monotonic_ns

MAX_PAYLOAD_BYTES = 4096

# A recording lasts at most a week.
MAX_AT_S = 7 * 86_400.0

_CONTROL_TO_SPACE = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


class LineError(InputError):
    """A payload that is not a line. `reason` is the reason under which it is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_line(payload: bytes) -> str:
    """Return the text of a payload: the string `text` of a JSON object, or else the payload itself.

    Control characters become spaces, and spaces around the text are removed.
    Raises LineError for a payload that is too long, not UTF-8, or blank.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LineError("too_long", f"a text of {len(payload)} bytes exceeds the limit of {MAX_PAYLOAD_BYTES}")
    try:
        plain = payload.decode("utf-8")
        text = _json_text(plain)
        text = plain if text is None else text
        text.encode("utf-8")  # an escape in JSON may be a lone surrogate
    except UnicodeError as error:
        raise LineError("not_utf8", "the text is not UTF-8") from error
    text = text.translate(_CONTROL_TO_SPACE).strip()
    if not text:
        raise LineError("empty", "the text is blank")
    return text


def _json_text(plain: str) -> str | None:
    """Return the string `text` of a JSON object, or None for any other payload."""
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return None
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else None


class TextInlet:
    """Stamps and delivers the lines of one stream, and counts dropped ones by reason."""

    def __init__(self, deliver: Deliver, counters: Counters) -> None:
        self._deliver = deliver
        self._counters = counters

    def receive(self, payload: bytes, retained: bool) -> None:
        """Take one message. A retained message is dropped, because nobody knows when it was sent."""
        captured_ns = monotonic_ns()
        if retained:
            self._counters.drop("retained")
            return
        try:
            text = parse_line(payload)
        except LineError as error:
            self._counters.drop(error.reason)
            return
        self._deliver(Line(text, captured_ns))


class TimedLine(StrictModel):
    """A text and its time in seconds since the start of the recording."""

    at_s: Annotated[float, Field(ge=0, le=MAX_AT_S, allow_inf_nan=False)]
    text: Annotated[str, Field(min_length=1, max_length=4096)]


class TimedLines(StrictModel):
    """The timed lines of a recording."""

    lines: Annotated[list[TimedLine], Field(max_length=100_000)]


def load_lines(path: Path) -> tuple[Line, ...]:
    """Return the lines in the order of their time, stamped from the start of the recording. Raises DocumentError."""
    lines = load_document(path, TimedLines).document.lines
    stamped = [Line(line.text, round(line.at_s * NS_PER_S)) for line in lines]
    return tuple(sorted(stamped, key=attrgetter("captured_ns")))
