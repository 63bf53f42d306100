"""What a fit reads of the store: moments whose encoders are the same as those of a bundle."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from daemon.core.records import Array
from daemon.teaching.blobs import BadBytes, differ, encoders_from, from_bytes, usable
from daemon.teaching.examples import EMBEDDED, infos
from daemon.teaching.gathered import BOUNDED
from daemon.teaching.outliers import without_outliers
from daemon.teaching.records import (
    BackgroundMoment,
    Example,
    ExampleInfo,
    StoredMoment,
    TrainingData,
    WrongMoment,
)
from daemon.teaching.stored import Row, background_from, wrong_from

MomentKind = TypeVar("MomentKind", BackgroundMoment, WrongMoment)

_BACKGROUND = f"SELECT stream, taken_s, encoders, {BOUNDED} FROM background ORDER BY number"  # noqa: S608
_WRONG = f"SELECT label, stream, taken_s, encoders, {BOUNDED} FROM wrong ORDER BY number"  # noqa: S608


def training_data(database: sqlite3.Connection, encoders: Mapping[str, str]) -> TrainingData:
    """Return what a fit with these encoders can use, without pictures and sound.

    Moments that cannot be read, or that no encoder can have made, are left out and named.
    """
    examples, others, damaged = [], [], []
    for info in infos(database):
        try:
            example = _made_by(database, info, encoders)
        except BadBytes as error:
            damaged.append(f"example {info.id} of {info.label}: {error}")
            continue
        if example is None:
            others.append(info.id)
        else:
            examples.append(example)
    background = _moments(database, _BACKGROUND, background_from, encoders, damaged)
    wrong = _moments(database, _WRONG, wrong_from, encoders, damaged)
    return without_outliers(TrainingData(examples, background, wrong, others, damaged))


def others(database: sqlite3.Connection, encoders: Mapping[str, str]) -> list[str]:
    """Return the ids of the examples of which these encoders have made nothing. Raises BadBytes."""
    query = "SELECT encoders FROM embedded WHERE example = ?"
    return [
        info.id
        for info in infos(database)
        if all(differ(encoders_from(text), encoders) for (text,) in database.execute(query, (info.id,)).fetchall())
    ]


def encoders_of(database: sqlite3.Connection, example: str) -> frozenset[str]:
    """Return the names of the encoders that have made embeddings of an example. Raises BadBytes."""
    rows = database.execute("SELECT encoders FROM embedded WHERE example = ?", (example,))
    return frozenset(name for (text,) in rows for name in encoders_from(text))


def _made_by(database: sqlite3.Connection, info: ExampleInfo, encoders: Mapping[str, str]) -> Example | None:
    """Return an example with the embeddings that these encoders have made; None where there are none."""
    for text, content in database.execute(EMBEDDED, (info.id,)).fetchall():
        made_by = encoders_from(text)
        if differ(made_by, encoders):
            continue
        moments = []
        for moment in from_bytes(content):
            if vectors := usable(moment.vectors, made_by, encoders):
                moments.append(StoredMoment(moment.time_ms, vectors))
        if moments:
            same = {name: made_by[name] for name in made_by.keys() & encoders.keys()}
            return Example(info.id, info.label, info.stream, info.taken_s, info.origin, same, moments)
    return None


def _moments(
    database: sqlite3.Connection,
    query: str,
    read: Callable[[Row], MomentKind],
    encoders: Mapping[str, str],
    damaged: list[str],
) -> list[MomentKind]:
    found = []
    for row in database.execute(query):
        try:
            moment = read(row)
        except BadBytes as error:
            damaged.append(f"a moment of {read.__name__.removesuffix('_from')}: {error}")
            continue
        if differ(moment.encoders, encoders):
            continue
        vectors: dict[str, Array] = usable(moment.vectors, moment.encoders, encoders)
        if vectors:
            found.append(replace(moment, vectors=vectors))
    return found
