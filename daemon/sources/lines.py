"""The timed lines that lie beside a recording."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.clock import NS_PER_S
from daemon.documents import Document, load_document
from daemon.records import Line

LONGEST_AT_S = 7 * 86_400.0


class TimedLine(Document):
    """A text and when it comes, in seconds from the start of the recording."""

    at_s: Annotated[float, Field(ge=0, le=LONGEST_AT_S, allow_inf_nan=False)]
    text: Annotated[str, Field(min_length=1, max_length=4096)]


class TimedLines(Document):
    """A whole sidecar."""

    lines: Annotated[list[TimedLine], Field(max_length=100_000)]


def load_lines(path: Path) -> tuple[Line, ...]:
    """The lines in the order of their time, stamped from the recording's start on. Raises DocumentError."""
    lines = load_document(path, TimedLines).document.lines
    dated = [Line(line.text, round(line.at_s * NS_PER_S)) for line in lines]
    return tuple(sorted(dated, key=lambda line: line.captured_ns))
