"""The history on disk: events, with their pictures and clips in files beside the index. See docs/history.md."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from daemon.core.errors import HistoryError
from daemon.core.timing import monotonic_ns
from daemon.history.age import Age
from daemon.history.database import HistoryDatabase, disk_error
from daemon.history.files import complete, name_files, paths_of, remove_all, remove_aside
from daemon.history.quota import check_limit, check_room, to_go
from daemon.history.reader import usage_of
from daemon.history.records import KeptEvent, Paths, Quota, Usage, Verdict
from daemon.history.rows import COLUMNS, bytes_of, columns, day_of

_NAMES = ("number", "day", "at_s", "size_bytes", *COLUMNS)
_INSERT = f"INSERT INTO events ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
# what a person has said of an event stays when the event ends
_ENDS = tuple(name for name in COLUMNS if name not in ("kept", "verdict", "was"))
_FINISH = f"UPDATE events SET size_bytes = ?, {', '.join(f'{name} = ?' for name in _ENDS)} WHERE number = ?"  # noqa: S608

Statement = tuple[str, tuple[object, ...]]

# Deleting many at once would hold up others who use the history.
MAX_TO_GO = 200

_CANDIDATES = (
    "SELECT number, at_s, size_bytes FROM events WHERE kept = 0 AND ended_by IS NOT NULL ORDER BY number LIMIT ?"
)


class HistoryStore:
    """Writes the history. What the methods change is on disk when `commit` returns, completely or not at all.

    Used by one thread. All methods raise HistoryError. There is one store of a directory at a time; others may read,
    and delete, meanwhile. `now` gives the wall time in seconds.

    When `commit` fails, the events that were begun or finished are written by the next `commit` that succeeds; other
    changes are dropped. Until then `begin` refuses.
    """

    def __init__(
        self,
        directory: Path,
        quota: Quota | None = None,
        *,
        now: Callable[[], float] = time.time,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        """Open or create the history. Events that were open are ended; index and files agree afterwards."""
        self._file, self._quota, self._now, self._now_ns = HistoryDatabase(directory), quota, now, now_ns
        self._clips = self._file.clips
        self._open: dict[str, int] = {}
        self._begun: list[KeptEvent] = []
        self._finished: dict[str, KeptEvent] = {}
        # the numbers of events that have ended, and whose clip goes on
        self._with_open_clip: set[int] = set()
        self._changes: list[Statement] = []
        self._removed: list[int] = []
        # what is left to do with files after a transaction
        self._unnamed: list[KeptEvent] = []
        self._to_remove: list[int] = []
        # whether the journal may have rows that were deleted
        self._holds_deleted = False
        self._fault: HistoryError | None = None
        with self._file.reading() as database:
            (self._number,) = database.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence").fetchone()
            self._age, self._age_of = _age_at(database, now(), now_ns()), self._file.openings

    @property
    def problem(self) -> str | None:
        """What was lost, in words: the history was damaged or removed. None: nothing was."""
        return self._file.problem

    def usage(self) -> Usage:
        """Return how much there is, as of the last `commit`."""
        with self._file.reading() as database:
            return usage_of(database)

    def check_room(self) -> None:
        """Check that an event may be kept: the last `commit` was successful, and disk and quota have room."""
        if self._fault is not None:
            raise HistoryError(self._fault.kind, str(self._fault))
        usage = self.usage()
        check_room(self._clips)
        if self._quota is not None:
            check_limit(usage, self._quota)

    def begin(self, event: KeptEvent) -> Paths:
        """Keep an event that has begun; return where its clip and its snapshot are written."""
        columns(event)
        self.check_room()
        if event.id in self._open or self._number_of(event.id) is not None:
            raise HistoryError("unknown", f"event {event.id} is in the history already")
        self._number += 1
        self._open[event.id] = self._number
        self._begun.append(replace(event, number=self._number))
        return paths_of(self._clips, self._number)

    def finish(self, event: KeptEvent, *, clip_follows: bool = False) -> None:
        """End an event. Its clip and its snapshot are complete, and closed, where `event` has them.

        With `clip_follows` its clip goes on, and another call has it.
        Raises HistoryError of kind `unknown` where somebody has deleted the event meanwhile. Its files go then.
        """
        columns(event)
        number = self._open.get(event.id)
        if number is None:
            raise HistoryError("unknown", f"event {event.id} is not open")
        if not self._is_begun(number) and self._number_of(event.id) is None:
            del self._open[event.id]
            self._to_remove.append(number)
            raise HistoryError("unknown", f"event {event.id} was deleted")
        self._finished[event.id] = replace(event, number=number)
        if clip_follows:
            self._with_open_clip.add(number)
        else:
            self._with_open_clip.discard(number)

    def keep(self, id: str, on: bool) -> None:  # noqa: A002
        """Keep an event whatever the quota, or let it go when its time has come."""
        self._change("UPDATE events SET kept = ? WHERE id = ?", id, on)

    def judge(self, id: str, verdict: Verdict | None, was: str | None = None) -> None:  # noqa: A002
        """Note what a person has said of an event. `was` is the label that the person has named."""
        self._change("UPDATE events SET verdict = ?, was = ? WHERE id = ?", id, verdict, was)

    def delete(self, id: str) -> None:  # noqa: A002
        """Delete an event with its files, also one that is open."""
        number = self._known(id)
        self._open.pop(id, None)
        self._finished.pop(id, None)
        self._begun = [event for event in self._begun if event.number != number]
        self._removed.append(number)

    def tidy(self) -> int:
        """Delete the oldest events, where there are too many bytes or they are too old; return how many.

        Events that are open stay, and those that somebody keeps. Call it before each `commit`.
        """
        if self._quota is None or self._removed:
            return 0
        with self._file.reading() as database:
            usage = usage_of(database)
            candidates = database.execute(_CANDIDATES, (MAX_TO_GO,)).fetchall()
            before_s = self._at_s(database) - self._quota.age_s
        numbers = to_go(candidates, excess_bytes=usage.size_bytes - self._quota.size_bytes, before_s=before_s)
        if before_s > 0:  # the history has begun anew, longer ago than events stay
            self._remove_aside()
        self._removed += numbers
        return len(numbers)

    def commit(self) -> None:
        """Write all changes. Call it once a round."""
        if self._fault is None and not self._has_work():
            return
        try:
            self._write()
            self._settle_files()
        except HistoryError as error:
            self._fault = error
            raise
        self._fault = None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _remove_aside(self) -> None:
        try:
            remove_aside(self._clips.parent)
        except OSError as error:
            raise disk_error(self._clips.parent, error) from error

    def _has_work(self) -> bool:
        return bool(self._begun or self._finished or self._changes or self._removed or self._unnamed or self._to_remove)

    def _write(self) -> None:
        """Write all changes in one transaction, once the files that it names are on disk."""
        removed, changes, self._removed, self._changes = self._removed, self._changes, [], []
        finished = self._completed()
        with self._file.changing() as database:
            at_s = self._at_s(database)
            for event in self._begun:
                row = (event.number, day_of(event.started_s), at_s, bytes_of(event), *columns(event))
                database.execute(_INSERT, row)
            for event in finished:
                if not database.execute(_FINISH, _end_of(event)).rowcount:  # somebody has deleted it just now
                    removed.append(event.number)
            for text, parameters in changes:
                database.execute(text, parameters)
            database.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in removed])
            database.execute("DELETE FROM age")
            database.execute("INSERT INTO age VALUES (?, ?)", (at_s, self._age.wall_s))
        for event in finished:
            if event.number not in self._with_open_clip or event.number in removed:
                self._open.pop(event.id, None)
        self._begun, self._finished = [], {}
        self._unnamed += [event for event in finished if event.number not in removed]
        self._to_remove += removed
        self._holds_deleted |= bool(removed)

    def _completed(self) -> list[KeptEvent]:
        try:
            return complete(self._clips, list(self._finished.values()))
        except OSError as error:
            raise disk_error(self._clips, error) from error

    def _settle_files(self) -> None:
        """Give files their names, and remove those of deleted events."""
        try:
            name_files(self._clips, self._unnamed, self._with_open_clip)
            remove_all(self._clips, self._to_remove)
        except OSError as error:
            raise disk_error(self._clips, error) from error
        self._unnamed, self._to_remove = [], []
        if self._holds_deleted:
            self._holds_deleted = not self._file.empty_journal()

    def _change(self, text: str, id_: str, *values: object) -> None:
        self._known(id_)
        self._changes.append((text, (*values, id_)))

    def _known(self, id_: str) -> int:
        """Return the number of an event. Raises HistoryError where there is none."""
        number = self._open.get(id_) or self._number_of(id_)
        if number is None or number in self._removed:
            raise HistoryError("unknown", f"there is no event {id_} in the history")
        return number

    def _number_of(self, id_: str) -> int | None:
        with self._file.reading() as database:
            row = database.execute("SELECT number FROM events WHERE id = ?", (id_,)).fetchone()
        return None if row is None else int(row[0])

    def _is_begun(self, number: int) -> bool:
        return any(event.number == number for event in self._begun)

    def _at_s(self, database: sqlite3.Connection) -> float:
        """Return the age of the history, as the open file has it. Raises sqlite3.Error."""
        if self._age_of != self._file.openings:
            self._age, self._age_of = _age_at(database, self._now(), self._now_ns()), self._file.openings
        return self._age.at(self._now(), self._now_ns())


def _age_at(database: sqlite3.Connection, now_s: float, now_ns: int) -> Age:
    stored = database.execute("SELECT at_s, wall_s FROM age WHERE typeof(at_s) = 'real' AND typeof(wall_s) = 'real'")
    return Age.of_start(stored.fetchone(), now_s, now_ns)


def _end_of(event: KeptEvent) -> tuple[object, ...]:
    values = dict(zip(COLUMNS, columns(event), strict=True))
    return (bytes_of(event), *(values[name] for name in _ENDS), event.number)
