"""The thread `history`, as other threads use it, and the snapshots that are published."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError
from daemon.core.records import Counters, Event
from daemon.core.timing import monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.history.reader import HistoryReader
from daemon.history.records import Quota
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.node.historian import SLOW_S, WAITS, Historian
from daemon.node.history_disk import HistoryDisk
from daemon.node.history_inbox import BUSY, MAX_REQUESTS, STOPPING, HistoryInbox, Keep
from daemon.node.history_topics import MAX_BYTES, SnapshotTopics
from daemon.node.history_work import HistoryInput, HistoryWork
from daemon.node.no_history import OFF, NoHistorian
from tests.fakes.snapshot_session import FakeSnapshotSession
from tests.helpers.mosquitto import wait_until
from tests.node.test_history_following import SETTINGS

QUOTA = Quota(100_000_000, 1e9)
TOPIC = "perceptd/hall/door/snapshot"


class Parts:
    """A historian with one stream `door` that has neither camera nor microphone."""

    def __init__(self, directory: Path, slow_s: float = SLOW_S) -> None:
        self.directory, config, self.counters = directory / "history", HistoryConfig(), Counters()
        self.inbox = HistoryInbox(["door"], config, self.counters)
        topics = snapshot_topics(directory, FakeSnapshotSession(), is_on=False)
        disk = HistoryDisk(self.directory, QUOTA)
        work = HistoryWork(config, HistoryInput(self.inbox, {}, ()), disk, topics, self.counters)
        self.historian = Historian(work, self.inbox, disk, [], QUOTA, self.counters, slow_s=slow_s)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    assert made.historian.close(10)


def snapshot_topics(
    directory: Path, session: FakeSnapshotSession, *, is_on: bool = True, streams: tuple[str, ...] = ("door",)
) -> SnapshotTopics:
    return SnapshotTopics("hall", streams, session, directory / "snapshots.json", Counters(), is_on=is_on)


def test_a_change_is_on_disk_when_the_call_returns(parts: Parts) -> None:
    parts.historian.start()
    now_ns = monotonic_ns()
    started = Event("start", "dog", "e", now_ns, now_ns, 0.8, 0.9)
    parts.inbox.observe("door", "b 1", SETTINGS, Fused(events=[started]), 0)
    wait_until(lambda: parts.historian.health().events == 1, "the event is kept")
    parts.historian.keep("e", on=True)
    parts.historian.judge("e", "was", "cat")
    with HistoryReader(parts.directory) as reader:
        found = reader.event("e")
        assert (found.kept, found.verdict, found.was) == (True, "was", "cat")
    parts.historian.delete("e")
    with pytest.raises(HistoryError) as refused:
        parts.historian.keep("e", on=False)
    assert refused.value.kind == "unknown"
    told = parts.historian.health()
    assert (told.enabled, told.events, told.quota_bytes, told.dropped, told.problem) == (True, 0, 100_000_000, {}, None)


def test_health_says_that_a_disk_does_not_answer_and_no_longer_when_it_does(tmp_path: Path) -> None:
    parts = Parts(tmp_path, slow_s=2.0)
    parts.historian.start()

    def begin(name: str) -> None:
        now_ns = monotonic_ns()
        started = Event("start", "dog", name, now_ns, now_ns, 0.8, 0.9)
        parts.inbox.observe("door", "b 1", SETTINGS, Fused(events=[started]), 0)

    begin("first")
    wait_until(lambda: parts.historian.health().events == 1, "the history is open")
    with closing(sqlite3.connect(parts.directory / "history.db", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")  # the store waits up to five seconds for this
        begin("second")
        wait_until(lambda: parts.historian.health().problem == WAITS, "it is told")
    wait_until(lambda: parts.historian.health().events == 2, "the event is kept")
    wait_until(lambda: parts.historian.health().problem is None, "all is well")
    assert parts.historian.close(10)


def test_requests_wait_within_bounds_and_not_for_a_daemon_that_stops(parts: Parts) -> None:
    for _ in range(MAX_REQUESTS):
        parts.inbox.ask(Keep("e", on=True))
    with pytest.raises(HistoryError, match=BUSY):
        parts.inbox.ask(Keep("e", on=True))
    parts.inbox.close()
    with pytest.raises(HistoryError, match=STOPPING):
        parts.inbox.ask(Keep("e", on=True))
    assert parts.counters.dropped == {"busy": 1, "stopping": 1}


def test_a_node_that_keeps_no_events_refuses_changes_and_has_no_thread(tmp_path: Path) -> None:
    historian = NoHistorian(snapshot_topics(tmp_path, FakeSnapshotSession(), is_on=False))
    historian.start()
    for change in (
        lambda: historian.keep("e", on=True),
        lambda: historian.delete("e"),
        lambda: historian.judge("e", "right"),
    ):
        with pytest.raises(HistoryError, match=OFF):
            change()
    assert not historian.health().enabled
    assert historian.close(0)
    assert list(tmp_path.iterdir()) == []


def noise(width: int, height: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


@pytest.mark.parametrize(("limit", "most"), [(None, MAX_BYTES), (20_000, 19_000)])
def test_a_snapshot_is_made_as_small_as_it_must_be(tmp_path: Path, limit: int | None, most: int) -> None:
    session = FakeSnapshotSession()
    session.limits = BrokerLimits(max_packet_bytes=limit)
    topics, large = snapshot_topics(tmp_path, session), noise(1280, 720)
    topics.publish("door", "e", large)
    assert len(large) > MAX_BYTES >= most >= len(session.retained[TOPIC]) > 0


def test_a_snapshot_is_removed_once_it_is_turned_off_or_its_stream_has_gone(tmp_path: Path) -> None:
    session, file = FakeSnapshotSession(), tmp_path / "snapshots.json"
    topics = snapshot_topics(tmp_path, session, streams=("door", "hall"))
    topics.publish("door", "e", noise(64, 48))
    topics.publish("hall", "f", noise(64, 48))
    topics.close()
    assert json.loads(file.read_text())["streams"] == ["door", "hall"]

    fewer = snapshot_topics(tmp_path, session)
    fewer.begin()
    fewer.close()
    assert list(session.retained) == [TOPIC]
    assert json.loads(file.read_text())["streams"] == ["door"]

    session.is_away = True
    off = snapshot_topics(tmp_path, session, is_on=False)
    off.begin()
    off.close()
    assert json.loads(file.read_text())["streams"] == ["door"], "the broker has not taken it"
    session.is_away, session.announcing = False, frozenset()
    again = snapshot_topics(tmp_path, session, is_on=False)
    again.begin()
    again.close()
    assert session.retained == {}
    assert json.loads(file.read_text())["streams"] == []


@pytest.mark.parametrize("content", [b"{", b'["a/b"]', b'["#"]', b"[1]"])
def test_a_file_of_snapshots_that_is_damaged_removes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "snapshots.json").write_bytes(content)
    session = FakeSnapshotSession()
    session.retained[TOPIC] = b"jpeg"
    topics = snapshot_topics(tmp_path, session, is_on=False)
    topics.begin()
    assert list(session.retained) == [TOPIC]
