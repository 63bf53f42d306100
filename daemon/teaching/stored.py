"""Examples, background, peaks and questions as rows of the store. Every row that is read is checked. Pure."""

import math
import re
from collections.abc import Mapping
from typing import get_args

from daemon.bundle.taught import taught_name
from daemon.core.errors import TeachingError
from daemon.core.records import Array
from daemon.teaching.blobs import BadBytes, encoders_from, encoders_text, from_bytes, to_bytes
from daemon.teaching.records import (
    BackgroundMoment,
    Example,
    ExampleInfo,
    Origin,
    Peak,
    Question,
    StoredMoment,
    Why,
    WrongMoment,
)

MAX_MEDIA_BYTES = 1 << 20

# an id is the name of a folder when examples are exported
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_NAME = 64

# The clock of a board that has lost the time begins in 1970, or a few years later. Dates end with the year 9999.
EARLIEST_S, LATEST_S = -86_400.0, 250_000_000_000.0

_ORIGINS: Mapping[object, Origin] = {origin: origin for origin in get_args(Origin)}
_WHYS: Mapping[object, Why] = {why: why for why in get_args(Why)}

Row = tuple[object, ...]
Moment = BackgroundMoment | WrongMoment | Peak


def check_example(example: Example) -> None:
    """Look at an example that is to be stored. Raises TeachingError."""
    check_label(example.label)
    problem = None
    if ID.fullmatch(example.id) is None:
        problem = "its id may have letters, digits, _ and -, at most 64"
    elif not _is_name(example.stream):
        problem = f"its stream needs a name of 1 to {MAX_NAME} printable characters"
    elif not _is_time(example.taken_s):
        problem = "its time is no time"
    elif example.origin not in _ORIGINS:
        problem = f"its origin is none of {', '.join(get_args(Origin))}"
    elif max(len(example.picture or b""), len(example.sound or b"")) > MAX_MEDIA_BYTES:
        problem = f"its picture and its sound may have {MAX_MEDIA_BYTES} bytes each"
    if problem is not None:
        raise TeachingError("invalid", f"the example cannot be stored: {problem}")


def check_label(label: str) -> None:
    """Look at the name of a label. Raises TeachingError."""
    try:
        named = taught_name(label)
    except ValueError as error:
        raise TeachingError("invalid", f"the label cannot be taught: {error}") from error
    if named != label:
        raise TeachingError("invalid", f"the label cannot be taught: expected {named!r}")


def moment_columns(moment: Moment, *, is_packed: bool = False) -> Row:
    """Return stream, time, encoders and embeddings of a moment as they are stored. Raises TeachingError.

    Packed are those that the daemon gathers all the time. What a person has said is kept as it is.
    """
    if not _is_name(moment.stream) or not _is_time(moment.taken_s):
        raise TeachingError("invalid", "the moment cannot be stored: its stream or its time is missing")
    further = () if isinstance(moment, BackgroundMoment) else moment.further
    moments = [StoredMoment(0, vectors) for vectors in (moment.vectors, *further)]
    content = to_bytes(moments, is_packed=is_packed)
    # the encoders of a peak become those of an example, or of what was wrong
    encoders = encoders_text(moment.encoders, moments, is_short=isinstance(moment, BackgroundMoment))
    return moment.stream, moment.taken_s, encoders, content


def info_from(row: Row) -> ExampleInfo:
    """Return what the columns id, label, stream, taken_s, origin, moments, has picture, has sound say."""
    id_, label, stream, taken_s, origin, moments, has_picture, has_sound = row
    if not isinstance(id_, str) or ID.fullmatch(id_) is None:
        raise BadBytes("an example has no id")
    known = _ORIGINS.get(origin)
    if known is None or not _is_name(label) or not _is_name(stream) or not _is_time(taken_s):
        raise BadBytes(f"example {id_}: its label, stream, time or origin is not readable")
    count = moments if isinstance(moments, int) else 0
    return ExampleInfo(id_, str(label), str(stream), _number(taken_s), known, count, bool(has_picture), bool(has_sound))


def example_from(info: ExampleInfo, encoders: object, moments: object, picture: object, sound: object) -> Example:
    """Return an example. Raises BadBytes."""
    try:
        return Example(
            id=info.id,
            label=info.label,
            stream=info.stream,
            taken_s=info.taken_s,
            origin=info.origin,
            encoders=encoders_from(encoders),
            moments=from_bytes(moments),
            picture=picture if isinstance(picture, bytes) else None,
            sound=sound if isinstance(sound, bytes) else None,
        )
    except BadBytes as error:
        raise BadBytes(f"example {info.id}: {error}") from error


def background_from(row: Row) -> BackgroundMoment:
    """Return what the columns stream, taken_s, encoders, moments say. Raises BadBytes."""
    stream, taken_s, encoders, moments = row
    if not _is_name(stream) or not _is_time(taken_s):
        raise BadBytes("a moment has no stream or no time")
    (moment,) = from_bytes(moments)[:1]
    return BackgroundMoment(str(stream), _number(taken_s), encoders_from(encoders), moment.vectors)


def _further_from(moments: object) -> tuple[Mapping[str, Array], ...]:
    """Return the vectors of all moments but the first. Raises BadBytes."""
    return tuple(each.vectors for each in from_bytes(moments)[1:])


def wrong_from(row: Row) -> WrongMoment:
    """Return what the columns label, stream, taken_s, encoders, moments say. Raises BadBytes."""
    label, *rest = row
    if not _is_name(label):
        raise BadBytes("a moment has no label")
    found = background_from(tuple(rest))
    further = _further_from(row[-1])
    return WrongMoment(str(label), found.stream, found.taken_s, found.encoders, found.vectors, further)


def peak_from(row: Row) -> Peak:
    """Return what the columns event, label, score, stream, taken_s, encoders, moments say. Raises BadBytes."""
    event, label, score, *rest = row
    if not _is_name(event) or not _is_name(label) or not _is_finite(score):
        raise BadBytes("a moment has no event, label or score")
    found = background_from(tuple(rest))
    return Peak(
        event=str(event),
        label=str(label),
        stream=found.stream,
        taken_s=found.taken_s,
        score=_number(score),
        encoders=found.encoders,
        vectors=found.vectors,
        further=_further_from(row[-1]),
    )


def question_from(row: Row) -> Question:
    """Return what the columns id, why, recognised, asked_s and those of a peak say. Raises BadBytes."""
    id_, why, recognised, asked_s, *rest = row
    known = _WHYS.get(why)
    if known is None or not _is_name(id_) or not _is_time(asked_s):
        raise BadBytes("a question is not readable")
    return Question(str(id_), known, bool(recognised), _number(asked_s), peak_from(tuple(rest)))


def peak_columns(peak: Peak) -> Row:
    """Return event, label, score, stream, time, encoders and packed embeddings of a peak. Raises TeachingError."""
    check_peak(peak)
    return peak.event, peak.label, peak.score, *moment_columns(peak, is_packed=True)


def check_peak(peak: Peak) -> None:
    """Look at a peak that is to be stored. Raises TeachingError."""
    if not _is_name(peak.event) or not _is_name(peak.label) or not _is_finite(peak.score):
        raise TeachingError("invalid", "the moment cannot be stored: its event, label or score is missing")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME and value.isprintable()


def _is_time(value: object) -> bool:
    return _is_finite(value) and EARLIEST_S <= _number(value) <= LATEST_S


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
