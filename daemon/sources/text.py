"""Lines of text as they come in over MQTT."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.core.document import StrictModel, load_document
from daemon.core.errors import InputError
from daemon.core.ports import Deliver
from daemon.core.records import Counters, Line
from daemon.core.timing import NS_PER_S, monotonic_ns

MAX_PAYLOAD_BYTES = 4096

LONGEST_AT_S = 7 * 86_400.0

_CONTROL_TO_SPACE = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


class LineError(InputError):
    """A payload that is no line; `reason` is what it is counted as."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_line(payload: bytes) -> str:
    """The text of a payload: the string `text` of a JSON object, or else the payload itself.

    Control characters become spaces, and spaces around the text go. Raises LineError for a payload that is too long,
    not UTF-8, or blank.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LineError("too_long", f"a text of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are taken")
    try:
        plain = payload.decode("utf-8")
        text = _json_text(plain)
        text = plain if text is None else text
        text.encode("utf-8")  # an escape in JSON can name half a surrogate pair
    except UnicodeError as error:
        raise LineError("not_utf8", "a text that is not UTF-8") from error
    text = text.translate(_CONTROL_TO_SPACE).strip()
    if not text:
        raise LineError("empty", "a text without a character")
    return text


def _json_text(plain: str) -> str | None:
    """The `text` of a JSON object; None when the payload is anything else."""
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return None
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else None


class TextInlet:
    """Stamps and delivers the lines of one stream; counts those it drops."""

    def __init__(self, deliver: Deliver, counters: Counters) -> None:
        self._deliver = deliver
        self._counters = counters

    def receive(self, payload: bytes, retained: bool) -> None:
        """Take one message. A retained one is from some other time, and ignored."""
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
    """A text and when it comes, in seconds from the start of the recording."""

    at_s: Annotated[float, Field(ge=0, le=LONGEST_AT_S, allow_inf_nan=False)]
    text: Annotated[str, Field(min_length=1, max_length=4096)]


class TimedLines(StrictModel):
    """A whole sidecar."""

    lines: Annotated[list[TimedLine], Field(max_length=100_000)]


def load_lines(path: Path) -> tuple[Line, ...]:
    """The lines in the order of their time, stamped from the recording's start on. Raises DocumentError."""
    lines = load_document(path, TimedLines).document.lines
    dated = [Line(line.text, round(line.at_s * NS_PER_S)) for line in lines]
    return tuple(sorted(dated, key=lambda line: line.captured_ns))
