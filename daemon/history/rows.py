"""Events as rows of the history. Every row that is written or read is checked. Pure."""

import json
import math
import re
import time
from collections.abc import Mapping
from typing import get_args

from daemon.core.errors import HistoryError
from daemon.core.records import EndedBy, Modality
from daemon.history.records import Clip, KeptEvent, Verdict
from daemon.history.schema import ROW_BYTES

# an id is the name of a folder when events are exported
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MAX_NAME = 64
MAX_BUNDLE = 200
MAX_FILE_BYTES = 1 << 40

# The clock of a board that has lost the time begins in 1970, or a few years later. Dates end with the year 9999.
EARLIEST_S, LATEST_S = -86_400.0, 250_000_000_000.0

_ENDED_BY: Mapping[object, EndedBy] = {each: each for each in get_args(EndedBy)}
_VERDICTS: Mapping[object, Verdict] = {each: each for each in get_args(Verdict)}
_MODALITIES: Mapping[object, Modality] = {each: each for each in get_args(Modality)}

Row = tuple[object, ...]

# the order of the columns that `event_from` reads, and that `columns` gives
COLUMNS = (
    *("id", "stream", "label", "bundle", "started_s", "ended_s", "ended_by", "peak_s", "peak", "shares"),
    *("snapshot_bytes", "clip_bytes", "video", "audio", "begins_s", "duration_s", "is_cut", "kept", "verdict", "was"),
)


class BadRow(ValueError):
    """A row is none that this program has written; the message says why."""


def columns(event: KeptEvent) -> Row:
    """Return the values of COLUMNS. Raises HistoryError for an event that cannot be kept."""
    if problem := _problem(event):
        raise HistoryError("unknown", f"the event cannot be kept: {problem}")
    clip = event.clip
    about = (None,) * 6 if clip is None else (clip.size_bytes, clip.video, clip.audio, clip.begins_s, clip.duration_s)
    return (
        *(event.id, event.stream, event.label, event.bundle, event.started_s, event.ended_s, event.ended_by),
        *(event.peak_s, event.peak, json.dumps(dict(event.shares)), event.snapshot_bytes, *about[:5]),
        *(clip is not None and clip.is_cut, event.kept, event.verdict, event.was),
    )


def bytes_of(event: KeptEvent) -> int:
    """Return what an event counts: the bytes of its files and of its row."""
    return ROW_BYTES + (event.snapshot_bytes or 0) + (0 if event.clip is None else event.clip.size_bytes)


def day_of(started_s: float) -> str:
    """Return the day of a wall time in the time zone of this machine, as YYYY-MM-DD."""
    return time.strftime("%Y-%m-%d", time.localtime(started_s))


def event_from(row: Row) -> KeptEvent:
    """Return the event of a row of the number and COLUMNS. Raises BadRow."""
    number, *values = row
    found = dict(zip(COLUMNS, values, strict=True))
    event = KeptEvent(
        number=_count(number),
        id=_text(found["id"], MAX_NAME),
        stream=_text(found["stream"], MAX_NAME),
        label=_text(found["label"], MAX_NAME),
        bundle=_text(found["bundle"], MAX_BUNDLE),
        started_s=_number(found["started_s"]),
        ended_s=None if found["ended_s"] is None else _number(found["ended_s"]),
        ended_by=_ENDED_BY.get(found["ended_by"]),
        peak_s=_number(found["peak_s"]),
        peak=_number(found["peak"]),
        shares=_shares(found["shares"]),
        snapshot_bytes=None if found["snapshot_bytes"] is None else _count(found["snapshot_bytes"]),
        clip=None if found["clip_bytes"] is None else _clip(found),
        kept=bool(found["kept"]),
        verdict=_VERDICTS.get(found["verdict"]),
        was=None if found["was"] is None else _text(found["was"], MAX_NAME),
    )
    if problem := _problem(event):
        raise BadRow(problem)
    return event


def _problem(event: KeptEvent) -> str | None:
    """Return why an event cannot be one of the history; None if it can."""
    times = [event.started_s, event.peak_s, *([] if event.ended_s is None else [event.ended_s])]
    if event.clip is not None:
        times.append(event.clip.begins_s)
    if ID.fullmatch(event.id) is None:
        return "its id may have letters, digits, _ and -, at most 64"
    if not all(EARLIEST_S <= each <= LATEST_S for each in times):
        return "one of its times is no time"
    names = [event.stream, event.label, *([] if event.was is None else [event.was])]
    if not all(1 <= len(name) <= MAX_NAME for name in names) or len(event.bundle) > MAX_BUNDLE:
        return f"the names of its stream and labels need 1 to {MAX_NAME} characters"
    if not math.isfinite(event.peak) or not all(map(math.isfinite, event.shares.values())):
        return "its peak or its shares are no numbers"
    if (event.ended_s is None) != (event.ended_by is None):
        return "it has an end without a reason, or a reason without an end"
    return None


def _clip(found: Mapping[str, object]) -> Clip:
    duration_s = _number(found["duration_s"])
    return Clip(
        size_bytes=_count(found["clip_bytes"]),
        video=None if found["video"] is None else _text(found["video"], MAX_NAME),
        audio=None if found["audio"] is None else _text(found["audio"], MAX_NAME),
        begins_s=_number(found["begins_s"]),
        duration_s=duration_s,
        is_cut=bool(found["is_cut"]),
    )


def _shares(text: object) -> dict[Modality, float]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise BadRow("its shares are no JSON") from error
    if not isinstance(found, dict):
        raise BadRow("its shares are no JSON")
    return {_MODALITIES[key]: _number(value) for key, value in found.items() if key in _MODALITIES}


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise BadRow("a name is none, or too long")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadRow("a number is none")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_FILE_BYTES:
        raise BadRow("a count is none")
    return value
