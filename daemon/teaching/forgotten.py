"""Remembers which labels somebody has removed completely, so that a lost store is not taken for an empty one.

Of a label only the SHA-256 of its name is kept: the name itself is erased.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# far more than the labels of all bundles to which a node can go back
MAX_FORGOTTEN = 1000


@contextmanager
def following(database: sqlite3.Connection) -> Iterator[None]:
    """Note which labels lose their last example in the block, and which labels come back."""
    before = _labels(database)
    yield
    after = _labels(database)
    forget(database, before - after)
    database.executemany("DELETE FROM forgotten WHERE digest = ?", [(_digest(label),) for label in after - before])


def forget(database: sqlite3.Connection, labels: Iterable[str]) -> None:
    """Note that these labels were removed."""
    database.executemany(
        "INSERT OR REPLACE INTO forgotten (digest) VALUES (?)", [(_digest(label),) for label in sorted(labels)]
    )
    database.execute(
        "DELETE FROM forgotten WHERE number <= (SELECT number FROM forgotten ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_FORGOTTEN,),
    )


def forgotten_of(database: sqlite3.Connection, labels: Iterable[str]) -> frozenset[str]:
    """Return those of these labels that were removed."""
    found = "SELECT 1 FROM forgotten WHERE digest = ?"
    return frozenset(label for label in labels if database.execute(found, (_digest(label),)).fetchone())


def was_taught(database: sqlite3.Connection) -> bool:
    """Return whether there is an example, or was one."""
    (found,) = database.execute("SELECT EXISTS (SELECT 1 FROM examples) OR EXISTS (SELECT 1 FROM forgotten)").fetchone()
    return bool(found)


def _labels(database: sqlite3.Connection) -> set[str]:
    rows = database.execute("SELECT DISTINCT label FROM examples WHERE removed_by IS NULL")
    return {label for (label,) in rows if isinstance(label, str)}


def _digest(label: str) -> bytes:
    return hashlib.sha256(label.encode(errors="surrogatepass")).digest()
