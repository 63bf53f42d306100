"""Examples and corrections as the store keeps them, with their limits."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence

from daemon.core.errors import TeachingError
from daemon.core.text import clean
from daemon.teaching.blobs import BadBytes, encoders_text, from_bytes, to_bytes
from daemon.teaching.gathered import BOUNDED
from daemon.teaching.records import (
    MAX_EXAMPLES,
    MAX_EXAMPLES_OF_LABEL,
    MAX_WRONG_OF_LABEL,
    Example,
    ExampleInfo,
    StoredMoment,
    WrongMoment,
)
from daemon.teaching.stored import (
    MAX_MEDIA_BYTES,
    check_label,
    example_from,
    info_from,
    moment_columns,
)

log = logging.getLogger(__name__)

# an example has the embeddings of the press, and those that later encoders have made of its picture and sound
MAX_EMBEDDED = 3

_INFOS = (
    "SELECT id, label, stream, taken_s, origin, moments, picture IS NOT NULL, sound IS NOT NULL"
    " FROM examples WHERE removed_by IS NULL"
)
_MEDIA = (
    f"SELECT CASE WHEN LENGTH(picture) <= {MAX_MEDIA_BYTES} THEN picture END,"  # noqa: S608
    f" CASE WHEN LENGTH(sound) <= {MAX_MEDIA_BYTES} THEN sound END FROM examples WHERE id = ?"
)
EMBEDDED = f"SELECT encoders, {BOUNDED} FROM embedded WHERE example = ? ORDER BY number"  # noqa: S608


def add_example(database: sqlite3.Connection, example: Example, step: int) -> None:
    """Add an example that `check_example` takes. Raises TeachingError where there are as many as may be."""
    _check_count(database, example.label)
    moments = to_bytes(example.moments)
    encoders = encoders_text(example.encoders, example.moments)
    # what was removed a moment ago is imported again
    if database.execute("DELETE FROM examples WHERE id = ? AND removed_by IS NOT NULL", (example.id,)).rowcount:
        erase_embedded(database)
    if database.execute("SELECT 1 FROM examples WHERE id = ?", (example.id,)).fetchone():
        raise TeachingError("invalid", f"example {example.id} is there already")
    database.execute(
        "INSERT INTO examples VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)",
        (
            example.id,
            example.label,
            example.stream,
            example.taken_s,
            example.origin,
            len(example.moments),
            step,
            example.picture,
            example.sound,
        ),
    )
    _add_embedded(database, example.id, encoders, moments)


def _check_count(database: sqlite3.Connection, label: str) -> None:
    counted = "SELECT COUNT(*), COUNT(CASE label WHEN ? THEN 1 END) FROM examples WHERE removed_by IS NULL"
    count, of_label = database.execute(counted, (label,)).fetchone()
    if of_label >= MAX_EXAMPLES_OF_LABEL:
        raise TeachingError("limit", f"{label} has {of_label} examples, which is the most: remove some first")
    if count >= MAX_EXAMPLES:
        raise TeachingError("limit", f"there are {count} examples, which is the most: remove some first")


def infos(database: sqlite3.Connection) -> list[ExampleInfo]:
    """Return all examples without their content, oldest first. Those that cannot be read are left out."""
    found = []
    for row in database.execute(f"{_INFOS} ORDER BY rowid"):
        try:
            found.append(info_from(row))
        except BadBytes as error:
            log.error("an example cannot be read and is left out: %s", error)
    return found


def info(database: sqlite3.Connection, id_: str) -> ExampleInfo:
    """Return an example without its content. Raises TeachingError of kind `unknown`, and BadBytes."""
    row = database.execute(f"{_INFOS} AND id = ?", (id_,)).fetchone()
    if row is None:
        raise TeachingError("unknown", f"there is no example {clean(id_)}")
    return info_from(row)


def example(database: sqlite3.Connection, id_: str) -> Example:
    """Return an example with the embeddings of its press. Raises TeachingError of kind `unknown`, and BadBytes."""
    found = info(database, id_)
    encoders, moments = database.execute(EMBEDDED, (id_,)).fetchone() or (None, None)
    return example_from(found, encoders, moments, *database.execute(_MEDIA, (id_,)).fetchone())


def moments_of_label(database: sqlite3.Connection, label: str) -> list[list[StoredMoment]]:
    """Return the embeddings of each press of a label. Those that cannot be read are left out."""
    found = []
    for each in infos(database):
        if each.label != label:
            continue
        _encoders, content = database.execute(EMBEDDED, (each.id,)).fetchone() or (None, None)
        try:
            found.append(from_bytes(content))
        except BadBytes as error:
            log.error("example %s cannot be read and is left out: %s", each.id, error)
    return found


def remove_example(database: sqlite3.Connection, id_: str, step: int) -> None:
    """Remove an example; the step can bring it back. Raises TeachingError of kind `unknown`."""
    info(database, id_)
    database.execute("UPDATE examples SET removed_by = ? WHERE id = ?", (step, id_))


def add_embedding(
    database: sqlite3.Connection, id_: str, encoders: Mapping[str, str], moments: Sequence[StoredMoment]
) -> None:
    """Add what other encoders have made of an example. The latest ones stay, and those of the press."""
    info(database, id_)
    content = to_bytes(moments)
    _add_embedded(database, id_, encoders_text(encoders, moments), content)
    database.execute(
        "DELETE FROM embedded WHERE example = ?1 AND number <> (SELECT MIN(number) FROM embedded WHERE example = ?1)"
        " AND number NOT IN (SELECT number FROM embedded WHERE example = ?1 ORDER BY number DESC LIMIT ?2)",
        (id_, MAX_EMBEDDED - 1),
    )


def _add_embedded(database: sqlite3.Connection, id_: str, encoders: str, moments: bytes) -> None:
    database.execute(
        "INSERT OR REPLACE INTO embedded (number, example, encoders, moments)"
        " VALUES ((SELECT number FROM embedded WHERE example = ?1 AND encoders = ?2), ?1, ?2, ?3)",
        (id_, encoders, moments),
    )


def forget_label(database: sqlite3.Connection, label: str, *, is_lost: bool = False) -> None:
    """Erase what is known of a label, but for its examples: those are removed, and no step brings them back.

    Raises TeachingError of kind `unknown` where nothing is known, unless the label is lost.
    """
    forgotten = database.execute("UPDATE examples SET removed_by = 0 WHERE label = ?", (label,)).rowcount
    for table in ("wrong", "everywhere", "peaks", "questions"):
        forgotten += database.execute(f"DELETE FROM {table} WHERE label = ?", (label,)).rowcount  # noqa: S608
    forgotten += database.execute("UPDATE node SET next_label = NULL WHERE next_label = ?", (label,)).rowcount
    if forgotten == 0 and not is_lost:
        raise TeachingError("unknown", f"nothing is known of a label {clean(label)}")
    # their texts have the label, and undoing them would bring parts of it back
    database.execute("DELETE FROM steps")


def erase_embedded(database: sqlite3.Connection) -> None:
    """Erase the embeddings of examples that are no longer there."""
    database.execute("DELETE FROM embedded WHERE example NOT IN (SELECT id FROM examples)")


def is_wrong(database: sqlite3.Connection, moment: WrongMoment, event: str) -> bool:
    """Return whether this moment of an event was called wrong. A higher moment of an open event was not."""
    named = (moment.label, event[:64], moment.taken_s)
    query = "SELECT 1 FROM wrong WHERE label = ? AND event = ? AND taken_s = ?"
    return database.execute(query, named).fetchone() is not None


def add_wrong(database: sqlite3.Connection, moment: WrongMoment, event: str | None, step: int) -> None:
    """Add a moment as background of its label. A second one of the same event and label replaces the first.

    A question about the event is answered by that.
    """
    check_label(moment.label)
    columns = moment_columns(moment)
    if event is not None:
        for table in ("wrong", "questions"):
            database.execute(f"DELETE FROM {table} WHERE label = ? AND event = ?", (moment.label, event[:64]))  # noqa: S608
    (count,) = database.execute("SELECT COUNT(*) FROM wrong WHERE label = ?", (moment.label,)).fetchone()
    if count >= MAX_WRONG_OF_LABEL:
        raise TeachingError("limit", f"{moment.label} was called wrong {count} times, which is the most")
    database.execute(
        "INSERT INTO wrong (label, event, stream, taken_s, encoders, moments, added_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (moment.label, None if event is None else event[:64], *columns, step),
    )
