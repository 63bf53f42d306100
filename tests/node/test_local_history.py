"""Requests about kept events on the local socket, on a real history; the commands that teach are a fake."""

import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError, LocalError
from daemon.history.records import KeptEvent, Verdict
from daemon.history.store import HistoryStore
from daemon.mqtt.commands import Request, answer_to
from daemon.node.local_arguments import EventArguments, FileArguments, JudgeArguments, KeepArguments, ListArguments
from daemon.node.local_commands import LocalCommands
from daemon.node.local_history import LocalHistory

STOP = threading.Event()
OFF = "no events are kept: history in config.yaml is null"


@dataclass
class StoreChanges:
    """Implements HistoryChanges on a store of the test."""

    store: HistoryStore

    def keep(self, event: str, on: bool) -> None:
        """Keep an event."""
        self.store.keep(event, on)
        self.store.commit()

    def delete(self, event: str) -> None:
        """Delete an event."""
        self.store.delete(event)
        self.store.commit()

    def judge(self, event: str, verdict: Verdict | None, was: str | None) -> None:
        """Judge an event."""
        self.store.judge(event, verdict, was)
        self.store.commit()


class NoChanges:
    """Implements HistoryChanges of a node that keeps no events."""

    def keep(self, event: str, on: bool) -> None:
        """Refuse."""
        raise HistoryError("off", OFF)

    def delete(self, event: str) -> None:
        """Refuse."""
        raise HistoryError("off", OFF)

    def judge(self, event: str, verdict: Verdict | None, was: str | None) -> None:
        """Refuse."""
        raise HistoryError("off", OFF)


@dataclass
class FakeTeaching:
    """Implements CommandSink: answers each command at once, with `refusal` where there is one."""

    refusal: str | None = None
    taken: list[tuple[str, bytes]] = field(default_factory=list)

    def take(self, request: Request) -> None:
        """Answer a command."""
        self.taken.append((request.name, request.payload))
        assert request.reply is not None
        reason = self.refusal or "bell in hall at 12:00:00 was wrong"
        request.reply.take(answer_to(request.name, ok=self.refusal is None, reason=reason))


@dataclass
class Kept:
    """A history with two events, and what answers requests about it."""

    history: LocalHistory
    teaching: FakeTeaching
    store: HistoryStore


def kept_event(name: str, label: str, at_s: float) -> KeptEvent:
    return KeptEvent(name, "hall", label, "home@1.0.0", at_s, at_s + 1, 0.9, {"audio": 1.0})


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    store, teaching = HistoryStore(tmp_path / "history"), FakeTeaching()
    for name, label, at_s in (("e1", "bell", 1e9), ("e2", "speech", 1e9 + 90_000)):
        event = kept_event(name, label, at_s)
        paths = store.begin(event)
        paths.snapshot.write_bytes(b"\xff\xd8JPEG")
        store.finish(replace(event, ended_s=at_s + 2, ended_by="absent", snapshot_bytes=6))
        store.commit()
    history = LocalHistory(HistoryConfig(), tmp_path / "history", StoreChanges(store), LocalCommands(teaching))
    return Kept(history, teaching, store)


def test_days_and_pages_of_events(kept: Kept) -> None:
    days = kept.history.days(None, STOP).result
    assert (len(days["days"]), days["streams"], days["labels"]) == (2, ["hall"], ["bell", "speech"])
    assert days["bytes"] == kept.store.usage().size_bytes > 12
    assert days["quota_bytes"] == 2_000_000_000
    first = kept.history.events(ListArguments(limit=1), STOP).result
    assert ([each["id"] for each in first["events"]], first["more"]) == (["e2"], True)
    rest = kept.history.events(ListArguments(before=first["events"][0]["number"]), STOP).result
    assert ([each["id"] for each in rest["events"]], rest["more"]) == (["e1"], False)
    assert kept.history.events(ListArguments(label="bell", stream="hall"), STOP).result["events"][0]["id"] == "e1"


def test_a_file_is_passed_for_reading_alone(kept: Kept) -> None:
    answer = kept.history.file(FileArguments(event="e1", file="snapshot"), STOP)
    assert answer.result == {"media_type": "image/jpeg", "bytes": 6}
    assert answer.descriptor is not None
    with os.fdopen(answer.descriptor, "rb") as file:
        assert file.read() == b"\xff\xd8JPEG"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file.fileno(), b"x")
    with pytest.raises(LocalError):
        kept.history.file(FileArguments(event="e1", file="clip"), STOP)


def test_events_are_kept_and_deleted(kept: Kept) -> None:
    kept.history.keep(KeepArguments(event="e1", on=True), STOP)
    assert kept.history.show(EventArguments(event="e1"), STOP).result["event"]["kept"] is True
    kept.history.delete(EventArguments(event="e1"), STOP)
    for request in (kept.history.show, kept.history.delete):
        with pytest.raises(LocalError, match="e1"):
            request(EventArguments(event="e1"), STOP)


@pytest.mark.parametrize(
    ("event", "refusal", "text", "verdict"),
    [
        ("e1", None, "bell in hall at 12:00:00 was wrong; it is noted in the history", "wrong"),
        ("e2", "speech stays", "it is noted in the history. It teaches nothing: speech stays", "wrong"),
        ("e9", None, "bell in hall at 12:00:00 was wrong", None),
    ],
)
def test_a_verdict_is_noted_and_taught_where_it_can_be(
    kept: Kept, event: str, refusal: str | None, text: str, verdict: str | None
) -> None:
    kept.teaching.refusal = refusal
    assert kept.history.judge(JudgeArguments(event=event, answer="wrong"), STOP).result == {"text": text}
    assert kept.teaching.taken == [("teach_answer", f'{{"event": "{event}", "answer": "wrong"}}'.encode())]
    if verdict is not None:
        assert kept.history.show(EventArguments(event=event), STOP).result["event"]["verdict"] == verdict


def test_it_was_another_label(kept: Kept) -> None:
    kept.history.judge(JudgeArguments(event="e1", answer="was", label=" tap  runs "), STOP)
    assert b'"label": "tap runs"' in kept.teaching.taken[0][1]
    assert kept.history.show(EventArguments(event="e1"), STOP).result["event"]["was"] == "tap runs"


def test_a_verdict_that_is_neither_noted_nor_taught_is_refused(kept: Kept) -> None:
    kept.teaching.refusal = "no event 'e9' is known"
    with pytest.raises(LocalError, match="no event 'e9' is known"):
        kept.history.judge(JudgeArguments(event="e9", answer="right"), STOP)


def test_without_a_history_there_are_no_events_and_verdicts_teach(tmp_path: Path) -> None:
    teaching = FakeTeaching()
    history = LocalHistory(None, tmp_path / "history", NoChanges(), LocalCommands(teaching))
    empty = history.days(None, STOP).result
    assert empty == {"days": [], "bytes": 0, "quota_bytes": None, "streams": [], "labels": []}
    assert history.events(ListArguments(), STOP).result == {"events": [], "more": False}
    requests: list[tuple[Any, Any]] = [
        (history.keep, KeepArguments(event="e1", on=True)),
        (history.delete, EventArguments(event="e1")),
    ]
    for request, arguments in requests:
        with pytest.raises(LocalError, match=r"history in config\.yaml is null"):
            request(arguments, STOP)
    assert history.judge(JudgeArguments(event="e1", answer="wrong"), STOP).result["text"].endswith("was wrong")


def test_a_damaged_history_is_told(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir(mode=0o700)
    (tmp_path / "history" / "history.db").write_bytes(b"nonsense" * 1000)
    history = LocalHistory(HistoryConfig(), tmp_path / "history", NoChanges(), LocalCommands(FakeTeaching()))
    for request, arguments in ((history.days, None), (history.events, ListArguments())):
        with pytest.raises(LocalError, match="history"):
            request(arguments, STOP)
