"""Background, peaks and questions in the store: which one makes room when there are as many as may be."""

import sqlite3
import time
from collections.abc import Collection, Mapping

from daemon.teaching.blobs import MAX_BYTES, BadBytes, differ, encoders_from
from daemon.teaching.records import (
    MAX_BACKGROUND,
    MAX_BACKGROUND_OF_STREAM,
    MAX_PEAK_AGE_S,
    MAX_PEAKS,
    BackgroundMoment,
    Peak,
    Question,
)
from daemon.teaching.review import Review
from daemon.teaching.stored import check_peak, moment_columns, peak_columns, peak_from, question_from

# a value that is too long is not read into memory
BOUNDED = f"CASE WHEN LENGTH(moments) <= {MAX_BYTES} THEN moments END"

MAX_QUESTIONS = 10

_PEAK_COLUMNS = "event, label, score, stream, taken_s, encoders, moments"
_BOUNDED_PEAK = _PEAK_COLUMNS.replace("moments", BOUNDED)
_PEAK = f"SELECT {_BOUNDED_PEAK} FROM peaks"  # noqa: S608
_QUESTION = f"SELECT id, why, recognised, asked_s, {_BOUNDED_PEAK} FROM questions"  # noqa: S608


def add_background(database: sqlite3.Connection, moment: BackgroundMoment) -> None:
    """Add a moment. In a full reservoir, moments of other encoders make room first.

    Otherwise a random moment makes room, of the hour of the day that has most.
    """
    columns = moment_columns(moment, is_packed=True)
    hour = time.localtime(moment.taken_s).tm_hour
    (count,) = database.execute("SELECT COUNT(*) FROM background WHERE stream = ?", (moment.stream,)).fetchone()
    if count >= MAX_BACKGROUND_OF_STREAM:
        _make_room(database, moment, hour)
    (count,) = database.execute("SELECT COUNT(*) FROM background").fetchone()
    if count >= MAX_BACKGROUND:  # the streams that no longer exist have the oldest
        database.execute("DELETE FROM background WHERE number = (SELECT MIN(number) FROM background)")
    stream, taken_s, encoders, moments = columns
    database.execute(
        "INSERT INTO background (stream, hour, taken_s, encoders, moments) VALUES (?, ?, ?, ?, ?)",
        (stream, hour, taken_s, encoders, moments),
    )


def _make_room(database: sqlite3.Connection, moment: BackgroundMoment, hour: int) -> None:
    texts = database.execute("SELECT DISTINCT encoders FROM background WHERE stream = ?", (moment.stream,))
    for (text,) in texts.fetchall():
        if _made_by_others(text, moment.encoders):
            database.execute(
                "DELETE FROM background WHERE number ="
                " (SELECT MIN(number) FROM background WHERE stream = ? AND encoders = ?)",
                (moment.stream, text),
            )
            return
    hours = dict(
        database.execute("SELECT hour, COUNT(*) FROM background WHERE stream = ? GROUP BY hour", (moment.stream,))
    )
    hours[hour] = hours.get(hour, 0) + 1
    fullest = max(hours, key=lambda of_day: (hours[of_day], of_day == hour))
    database.execute(
        "DELETE FROM background WHERE number ="
        " (SELECT number FROM background WHERE stream = ? AND hour = ? ORDER BY RANDOM() LIMIT 1)",
        (moment.stream, fullest),
    )


def background_counts(database: sqlite3.Connection, encoders: Mapping[str, str]) -> dict[str, int]:
    """Return how many moments of each stream these encoders have made."""
    found: dict[str, int] = {}
    rows = database.execute("SELECT stream, encoders, COUNT(*) FROM background GROUP BY stream, encoders")
    for stream, text, count in rows:
        if isinstance(stream, str) and not _made_by_others(text, encoders):
            found[stream] = found.get(stream, 0) + count
    return found


def background_by_hour(database: sqlite3.Connection, stream: str, encoders: Mapping[str, str]) -> tuple[int, ...]:
    """Return how many moments of a stream these encoders have made, by hour of the day."""
    found = [0] * 24
    rows = database.execute(
        "SELECT encoders, hour, COUNT(*) FROM background WHERE stream = ? GROUP BY encoders, hour", (stream,)
    )
    for text, hour, count in rows:
        if isinstance(hour, int) and 0 <= hour < len(found) and not _made_by_others(text, encoders):
            found[hour] += count
    return tuple(found)


def add_peak(database: sqlite3.Connection, peak: Peak, now_s: float) -> None:
    """Add the peak of an event; the peaks that are too old or too many go."""
    database.execute(
        "INSERT OR REPLACE INTO peaks (event, label, score, stream, taken_s, encoders, moments)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        peak_columns(peak),
    )
    drop_peaks(database, now_s)


def drop_peaks(database: sqlite3.Connection, now_s: float) -> None:
    """Remove the peaks that are too old or too many."""
    database.execute("DELETE FROM peaks WHERE taken_s < ?", (now_s - MAX_PEAK_AGE_S,))
    database.execute(
        "DELETE FROM peaks WHERE number <= (SELECT number FROM peaks ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_PEAKS,),
    )


def peak_of(database: sqlite3.Connection, event: str) -> Peak | None:
    """Return the peak of an event. Raises BadBytes."""
    row = database.execute(f"{_PEAK} WHERE event = ?", (event,)).fetchone()
    return None if row is None else peak_from(row)


def latest_peak(database: sqlite3.Connection, labels: Collection[str], stream: str | None) -> Peak | None:
    """Return the peak of the latest event of these labels, in a stream or in all. Raises BadBytes."""
    marks = ", ".join("?" * len(labels))
    row = database.execute(
        f"{_PEAK} WHERE label IN ({marks}) AND (stream = ? OR ? IS NULL) ORDER BY number DESC LIMIT 1",
        (*labels, stream, stream),
    ).fetchone()
    return None if row is None else peak_from(row)


def add_question(database: sqlite3.Connection, question: Question) -> None:
    """Add a question, and note when it was asked; the oldest go beyond the most.

    An event that was called wrong is asked about no more.
    """
    peak = question.moment
    check_peak(peak)
    if database.execute("SELECT 1 FROM wrong WHERE label = ? AND event = ?", (peak.label, peak.event)).fetchone():
        return
    of_peak = (peak.event, peak.label, peak.score, *moment_columns(peak))
    database.execute(
        f"INSERT OR REPLACE INTO questions (id, why, recognised, asked_s, {_PEAK_COLUMNS})"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (question.id, question.why, question.recognised, question.asked_s, *of_peak),
    )
    database.execute(
        "DELETE FROM questions WHERE number <= (SELECT number FROM questions ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_QUESTIONS,),
    )
    database.execute("UPDATE node SET asked_s = ?", (question.asked_s,))
    if question.why == "spot_check":
        database.execute("UPDATE node SET spot_checked_s = ?", (question.asked_s,))


def review(database: sqlite3.Connection) -> Review:
    """Return when the latest question was asked, and the latest spot check."""
    asked_s, spot_checked_s = database.execute("SELECT asked_s, spot_checked_s FROM node").fetchone()
    return Review(
        asked_s if isinstance(asked_s, float) else None, spot_checked_s if isinstance(spot_checked_s, float) else None
    )


def questions(database: sqlite3.Connection) -> list[Question]:
    """Return the open questions, oldest first. Raises BadBytes."""
    return [question_from(row) for row in database.execute(f"{_QUESTION} ORDER BY number")]


def remove_question(database: sqlite3.Connection, id_: str) -> None:
    """Remove a question, if it is there."""
    database.execute("DELETE FROM questions WHERE id = ?", (id_,))


def _made_by_others(text: object, encoders: Mapping[str, str]) -> bool:
    try:
        return differ(encoders_from(text), encoders)
    except BadBytes:
        return True
