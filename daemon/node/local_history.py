"""Requests about kept events on the local socket: to see them, to keep and delete them, and to say what they were."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError, LocalError
from daemon.history.event_json import event_json
from daemon.history.records import KeptEvent, Verdict
from daemon.node.local_arguments import EventArguments, FileArguments, JudgeArguments, KeepArguments, ListArguments
from daemon.node.local_commands import LocalCommands
from daemon.runtime.local import Answer

if TYPE_CHECKING:
    from daemon.history.files import Which
    from daemon.history.reader import HistoryReader

MEDIA_TYPES = {"snapshot": "image/jpeg", "clip": "video/mp4"}

NOTED = "it is noted in the history"


class HistoryChanges(Protocol):
    """Changes kept events. Each method returns once the change is on disk. Callable from any thread.

    All raise HistoryError.
    """

    def keep(self, event: str, on: bool) -> None:
        """Keep an event whatever the quota, or no longer."""

    def delete(self, event: str) -> None:
        """Delete an event with its files."""

    def judge(self, event: str, verdict: Verdict | None, was: str | None) -> None:
        """Note what a person says of an event."""


class LocalHistory:
    """Reads with an opening of its own for each request. Callable from any thread; all methods raise LocalError."""

    def __init__(
        self,
        config: HistoryConfig | None,
        directory: Path,
        changes: HistoryChanges,
        commands: LocalCommands,
    ) -> None:
        """`config` is None where no events are kept: those that were kept before can still be seen."""
        self._config, self._directory = config, directory
        self._changes, self._commands = changes, commands

    def days(self, _arguments: object, _stop: threading.Event) -> Answer:
        """Return the days that have events, and how much there is."""
        quota_bytes = None if self._config is None else round(self._config.quota_mb * 1_000_000)
        result: dict[str, Any] = {"days": [], "bytes": 0, "quota_bytes": quota_bytes, "streams": [], "labels": []}
        with _refusing(allows_none=True), _reader(self._directory) as reader:
            result["days"] = [{"day": each.day, "events": each.events, "kept": each.kept} for each in reader.days()]
            result |= {"bytes": reader.usage().size_bytes, "streams": reader.streams(), "labels": reader.labels()}
        return Answer(result)

    def events(self, arguments: ListArguments, _stop: threading.Event) -> Answer:
        """Return the latest events of a day, a stream, a label."""
        limit = arguments.limit
        found: list[KeptEvent] = []
        with _refusing(allows_none=True), _reader(self._directory) as reader:
            found = reader.events(
                day=arguments.day,
                stream=arguments.stream,
                label=arguments.label,
                before=arguments.before,
                limit=limit + 1,
            )
        return Answer({"events": [event_json(each) for each in found[:limit]], "more": len(found) > limit})

    def show(self, arguments: EventArguments, _stop: threading.Event) -> Answer:
        """Return one event."""
        with _refusing(), _reader(self._directory) as reader:
            return Answer({"event": event_json(reader.event(arguments.event))})

    def file(self, arguments: FileArguments, _stop: threading.Event) -> Answer:
        """Return a descriptor of the picture or the clip of an event, for reading alone."""
        which: Which = arguments.file
        with _refusing(), _reader(self._directory) as reader:
            descriptor = reader.open_file(arguments.event, which)
        return Answer({"media_type": MEDIA_TYPES[which], "bytes": os.fstat(descriptor).st_size}, descriptor)

    def keep(self, arguments: KeepArguments, _stop: threading.Event) -> Answer:
        """Keep an event whatever the quota, or no longer."""
        with _refusing():
            self._changes.keep(arguments.event, arguments.on)
        return Answer({})

    def delete(self, arguments: EventArguments, _stop: threading.Event) -> Answer:
        """Delete an event with its files."""
        with _refusing():
            self._changes.delete(arguments.event)
        return Answer({})

    def judge(self, arguments: JudgeArguments, stop: threading.Event) -> Answer:
        """Note in the history what a person says of an event, and teach it where that is possible.

        The text says what was done of both.
        """
        not_noted = self._note(arguments)
        given = {"event": arguments.event, "answer": arguments.answer, "label": arguments.label}
        taught = self._commands.obey("teach_answer", {name: value for name, value in given.items() if value}, stop)
        if taught.ok:
            words = taught.reason or "it is taught"
            return Answer({"text": words if not_noted else f"{words}; {NOTED}"})
        if not_noted is None:
            return Answer({"text": f"{NOTED}. It teaches nothing: {taught.reason}"})
        raise LocalError("refused", taught.reason or not_noted)

    def _note(self, arguments: JudgeArguments) -> str | None:
        """Note the verdict; return why it is not noted, or None."""
        try:
            self._changes.judge(arguments.event, arguments.answer, arguments.label)
        except HistoryError as error:
            return str(error)
        return None


def _reader(directory: Path) -> "HistoryReader":
    """Open the history. A node loads the reader when somebody asks for an event."""
    from daemon.history.reader import HistoryReader

    return HistoryReader(directory)


@contextmanager
def _refusing(*, allows_none: bool = False) -> Iterator[None]:
    """Turn a HistoryError of a block into a refusal. With `allows_none` a history without any event is none."""
    try:
        yield
    except HistoryError as error:
        if not (allows_none and error.kind == "unknown"):
            raise LocalError("refused", str(error)) from error
