"""What was taught, on disk: examples, background, corrections, and the peaks of events. See docs/teaching.md."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.core.errors import TeachingError
from daemon.core.timing import clock_text
from daemon.teaching import examples, forgotten, gathered, journal, training
from daemon.teaching.database import TeachingDatabase
from daemon.teaching.records import (
    BackgroundMoment,
    Example,
    ExampleInfo,
    Peak,
    Question,
    StoredMoment,
    TrainingData,
    WrongMoment,
)
from daemon.teaching.review import Review
from daemon.teaching.stored import check_example, check_label

MAX_EVERYWHERE = 200


class TeachingStore:
    """The file of what was taught. What a method has changed is on disk when it returns.

    All methods raise TeachingError, and then nothing has changed. Several processes may have the file open.
    Used by one thread at a time. `now` gives the wall time in seconds.
    """

    def __init__(self, path: Path, *, read_only: bool = False, now: Callable[[], float] = time.time) -> None:
        self._file, self._now = TeachingDatabase(path, read_only=read_only), now
        self._step: int | None = None
        if not read_only:
            self.tidy()

    @property
    def problem(self) -> str | None:
        """What was lost, in words: the file was damaged or removed. None: nothing was."""
        return self._file.problem

    def forget_problem(self) -> None:
        """Tell no longer what was lost, because something is taught again. The log still has it."""
        self._file.problem = None

    @property
    def openings(self) -> int:
        """How often the file was opened. Another number than before: it is another file."""
        return self._file.openings

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tidy(self) -> None:
        """Erase what is too old: removed examples, and peaks. Call it once an hour."""
        with self._file.changing() as database:
            journal.drop_steps(database, self._now())
            gathered.drop_peaks(database, self._now())
        self._erase_removed()

    def _erase_removed(self) -> None:
        is_left = True
        while is_left:
            with self._file.changing() as database:
                is_left = journal.erase_some(database)

    @contextmanager
    def step(self, text: str) -> Iterator[int]:
        """Make all changes of the block one step, which is on disk completely or not at all. `undo` takes it back.

        `text` says what the step is. A step within a step is a part of it. Yields the number of the step.
        """
        if self._step is not None:
            yield self._step
            return
        with self._file.changing() as database:
            self._step = journal.begin_step(database, text, self._now())
            try:
                yield self._step
                _count_change(database)
            finally:
                self._step = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes of the block one commit, without making them a step."""
        with self._file.changing():
            yield

    def undo(self) -> str | None:
        """Undo the latest teach, wrong, missed, answer, import or remove; return what it was. None: there is none."""
        with self._file.changing() as database:
            journal.drop_steps(database, self._now())
            with forgotten.following(database):
                text = journal.undo_step(database)
            if text is not None:
                _count_change(database)
            return text

    def changes(self) -> int:
        """Return a number that grows with each change that a fit depends on, but for background.

        It is another one in another store. Background changes all the time: see `background_counts`.
        """
        with self._file.reading() as database:
            (number,) = database.execute("SELECT changes FROM node").fetchone()
            return int(number)

    def add_example(self, example: Example, *, everywhere: bool = False) -> None:
        """Add an example. `everywhere`: its label belongs to all streams."""
        check_example(example)
        self._file.check_room()
        with (
            self.step(journal.added_text(example)) as step,
            self._file.changing() as database,
            forgotten.following(database),
        ):
            examples.add_example(database, example, step)
            if everywhere:
                self.set_everywhere(example.label)

    def examples(self) -> list[ExampleInfo]:
        """Return all examples without their content, oldest first."""
        with self._file.reading() as database:
            return examples.infos(database)

    def example(self, id: str) -> Example:  # noqa: A002
        """Return an example with the embeddings of its press."""
        with self._file.reading() as database:
            return examples.example(database, id)

    def moments_of_label(self, label: str) -> list[list[StoredMoment]]:
        """Return the embeddings of each press of a label, without pictures and sound."""
        with self._file.reading() as database:
            return examples.moments_of_label(database, label)

    def remove_example(self, id: str) -> None:  # noqa: A002
        """Remove an example. `undo` can bring it back for an hour; `tidy` then erases its bytes."""
        with self._file.changing() as database:
            info = examples.info(database, id)
            with self.step(journal.removed_text(info)) as step, forgotten.following(database):
                examples.remove_example(database, id, step)

    def add_embedding(self, id: str, encoders: Mapping[str, str], moments: Sequence[StoredMoment]) -> None:  # noqa: A002
        """Add what other encoders have made of the picture and sound of an example. Its own embeddings stay."""
        self._file.check_room()
        with self._file.changing() as database:
            examples.add_embedding(database, id, encoders, moments)
            _count_change(database)

    def forget_label(self, label: str, *, is_lost: bool = False) -> None:
        """Erase all that is known of a label. Neither this nor an earlier step can be undone after that.

        A label that is lost, so that nothing is known of it, counts as removed from then on.
        """
        with self._file.changing() as database:
            with forgotten.following(database):
                examples.forget_label(database, label, is_lost=is_lost)
            forgotten.forget(database, [label])
            _count_change(database)
        self._erase_removed()

    def forgotten(self, labels: Collection[str]) -> frozenset[str]:
        """Return those of these labels of which somebody has removed all examples."""
        with self._file.reading() as database:
            return forgotten.forgotten_of(database, labels)

    def was_taught(self) -> bool:
        """Return whether there is an example, or was one."""
        with self._file.reading() as database:
            return forgotten.was_taught(database)

    def add_wrong(self, moment: WrongMoment, event: str | None) -> None:
        """Add a moment that was called wrong, of an event if there was one."""
        self._file.check_room()
        text = f"{moment.label} in {moment.stream} at {clock_text(moment.taken_s)} was wrong"
        with self.step(text) as step, self._file.changing() as database:
            examples.add_wrong(database, moment, event, step)

    def is_wrong(self, moment: WrongMoment, event: str) -> bool:
        """Return whether this moment of an event was called wrong already."""
        with self._file.reading() as database:
            return examples.is_wrong(database, moment, event)

    def wrong_counts(self) -> dict[str, int]:
        """Return how many moments of each label were called wrong."""
        with self._file.reading() as database:
            return dict(database.execute("SELECT label, COUNT(*) FROM wrong GROUP BY label").fetchall())

    def add_background(self, moment: BackgroundMoment) -> None:
        """Add a moment to the background of its stream, of which there are at most 2,000."""
        self._file.check_room()
        with self._file.changing() as database:
            gathered.add_background(database, moment)

    def background_counts(self, encoders: Mapping[str, str]) -> dict[str, int]:
        """Return how many moments of each stream these encoders (fingerprints by name) have made."""
        with self._file.reading() as database:
            return gathered.background_counts(database, encoders)

    def background_by_hour(self, stream: str, encoders: Mapping[str, str]) -> tuple[int, ...]:
        """Return how many moments of a stream these encoders have made, by hour of the day."""
        with self._file.reading() as database:
            return gathered.background_by_hour(database, stream, encoders)

    def add_peak(self, peak: Peak) -> None:
        """Keep the moment of an event that has ended, for 7 days at most."""
        self._file.check_room()
        with self._file.changing() as database:
            gathered.add_peak(database, peak, self._now())

    def peak(self, event: str) -> Peak | None:
        """Return the peak of an event; None where it is not there any more."""
        with self._file.reading() as database:
            return gathered.peak_of(database, event)

    def latest_peak(self, labels: Collection[str], stream: str | None = None) -> Peak | None:
        """Return the peak of the latest event of these labels, of one stream or of all."""
        with self._file.reading() as database:
            return gathered.latest_peak(database, labels, stream)

    def ask(self, question: Question) -> None:
        """Keep a question until it is answered; at most ten are kept, the latest ones."""
        self._file.check_room()
        with self._file.changing() as database:
            gathered.add_question(database, question)

    def review(self) -> Review:
        """Return when the device has asked last, also in an earlier run: the state with which `consider` begins."""
        with self._file.reading() as database:
            return gathered.review(database)

    def questions(self) -> list[Question]:
        """Return the open questions, oldest first."""
        with self._file.reading() as database:
            return gathered.questions(database)

    def remove_question(self, id: str) -> None:  # noqa: A002
        """Remove a question, because it was answered or is too old."""
        with self._file.changing() as database:
            gathered.remove_question(database, id)

    def set_everywhere(self, label: str) -> None:
        """Note that a label belongs to all streams."""
        check_label(label)
        with self._file.changing() as database:
            (count,) = database.execute("SELECT COUNT(*) FROM everywhere").fetchone()
            if count >= MAX_EVERYWHERE:
                raise TeachingError("limit", f"{count} labels belong to all streams, which is the most")
            if database.execute("INSERT OR IGNORE INTO everywhere VALUES (?)", (label,)).rowcount:
                _count_change(database)

    def everywhere(self) -> frozenset[str]:
        """Return the labels that belong to all streams."""
        with self._file.reading() as database:
            return frozenset(label for (label,) in database.execute("SELECT label FROM everywhere"))

    def next_label(self) -> str | None:
        """Return the label of the next press that names none."""
        with self._file.reading() as database:
            (label,) = database.execute("SELECT next_label FROM node").fetchone()
            return label if isinstance(label, str) else None

    def set_next_label(self, label: str) -> None:
        """Set the label of the next press that names none."""
        check_label(label)
        with self._file.changing() as database:
            database.execute("UPDATE node SET next_label = ?", (label,))

    def others(self, encoders: Mapping[str, str]) -> list[str]:
        """Return the ids of the examples of which these encoders (fingerprints by name) have made nothing."""
        with self._file.reading() as database:
            return training.others(database, encoders)

    def encoders_of(self, id: str) -> frozenset[str]:  # noqa: A002
        """Return the names of the encoders that have made embeddings of an example."""
        with self._file.reading() as database:
            return training.encoders_of(database, id)

    def training_data(self, encoders: Mapping[str, str]) -> TrainingData:
        """Return what a fit with these encoders (fingerprints by name) can use, without pictures and sound."""
        with self._file.reading() as database:
            return training.training_data(database, encoders)


def _count_change(database: sqlite3.Connection) -> None:
    database.execute("UPDATE node SET changes = changes + 1")
