"""The steps of teaching that can be undone. What a removed example holds is erased when its step is too old."""

import sqlite3
from collections.abc import Mapping

from daemon.core.timing import clock_text
from daemon.teaching.examples import erase_embedded
from daemon.teaching.records import Example, ExampleInfo, Origin
from daemon.teaching.report import SHOWN_ID

MAX_STEPS = 20

# An example has a picture and a sound of a megabyte each at most, and embeddings.
ERASED_AT_ONCE = 2

# So long a removed example can be brought back. After that its bytes are gone.
UNDO_S = 3600.0

_ADDED: Mapping[Origin, str] = {
    "press": "example {id} of {label} in {stream} at {time}",
    "missed": "the missed {label} in {stream} at {time}, example {id}",
    "answer": "the answer that it was {label} in {stream} at {time}, example {id}",
    "file": "example {id} of {label} from a file, as of {stream}",
    "import": "the imported example {id} of {label} in {stream} at {time}",
}


def added_text(example: Example | ExampleInfo) -> str:
    """Return what a step is that adds an example: which one, of which label, where and when."""
    return _ADDED[example.origin].format(
        id=example.id[:SHOWN_ID], label=example.label, stream=example.stream, time=clock_text(example.taken_s)
    )


def removed_text(info: ExampleInfo) -> str:
    """Return what a step is that removes an example."""
    return f"the removal of {added_text(info).removeprefix('the ')}"


def begin_step(database: sqlite3.Connection, text: str, now_s: float) -> int:
    """Note a step, and forget those that are too old or too many; return its number.

    More is erased by each step than one step removes.
    """
    number = database.execute("INSERT INTO steps (text, at_s) VALUES (?, ?)", (text, now_s)).lastrowid
    drop_steps(database, now_s)
    erase_some(database)
    return int(number or 0)


def drop_steps(database: sqlite3.Connection, now_s: float) -> None:
    """Forget the steps that are too old or too many. `erase_some` then erases what they had removed."""
    # a clock that was set back would keep them for longer
    database.execute("DELETE FROM steps WHERE at_s < ? OR at_s > ?", (now_s - UNDO_S, now_s + UNDO_S))
    database.execute(
        "DELETE FROM steps WHERE number <= (SELECT number FROM steps ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_STEPS,),
    )


def erase_some(database: sqlite3.Connection) -> bool:
    """Erase some removed examples that no step can bring back; return whether there may be more of them.

    On a full disk there is room to erase a few at a time: the journal has what is erased until that is done.
    """
    erased = database.execute(
        "DELETE FROM examples WHERE id IN (SELECT id FROM examples WHERE removed_by IS NOT NULL"
        " AND removed_by NOT IN (SELECT number FROM steps) LIMIT ?)",
        (ERASED_AT_ONCE,),
    ).rowcount
    if erased:
        erase_embedded(database)
    return erased > 0


def undo_step(database: sqlite3.Connection) -> str | None:
    """Undo the latest step; return what it was, or None where there is none."""
    row = database.execute("SELECT number, text FROM steps ORDER BY number DESC LIMIT 1").fetchone()
    if row is None:
        return None
    number, text = row
    database.execute("DELETE FROM examples WHERE added_by = ?", (number,))
    database.execute("DELETE FROM wrong WHERE added_by = ?", (number,))
    database.execute("UPDATE examples SET removed_by = NULL WHERE removed_by = ?", (number,))
    database.execute("DELETE FROM steps WHERE number = ?", (number,))
    erase_embedded(database)
    return str(text)
