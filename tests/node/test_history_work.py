"""What the thread `history` does in its rounds, with a real store, real rings and real clips."""

import gc
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError
from daemon.core.media import MediaPacket
from daemon.core.records import Block, Counters, EndedBy, Event, EventPhase, Frame, Moment, Recognition
from daemon.core.timing import NS_PER_S, monotonic_ns, wall_seconds
from daemon.fusion.fuse import Fused
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent, Quota
from daemon.history.ring import MediaRing
from daemon.history.store import HistoryStore
from daemon.node.history_disk import HistoryDisk
from daemon.node.history_inbox import Delete, HistoryInbox, HistoryRequest, Judge, Keep
from daemon.node.history_topics import SnapshotTopics
from daemon.node.history_work import MAX_CLIPS, HistoryInput, HistoryWork
from tests.fakes.snapshot_session import FakeSnapshotSession
from tests.node.test_history_following import SETTINGS

RATE = 16_000


class Room:
    """A node with one stream `hall`, whose camera shows one brightness at a time. Times are seconds from the start."""

    def __init__(self, directory: Path, *, has_sound: bool = False, **config: object) -> None:
        self.history = HistoryConfig.model_validate({"before_s": 2, "after_s": 1} | config)
        self.directory = directory / "history"
        self.counters, self.session = Counters(), FakeSnapshotSession()
        self.ring = MediaRing(has_packets=False, before_s=self.history.before_s)
        self.inbox = HistoryInbox(["hall"], self.history, self.counters)
        self.disk = HistoryDisk(self.directory, Quota(100_000_000, 1e9))
        topics = SnapshotTopics(
            "hall",
            ["hall"],
            self.session,
            directory / "snapshots.json",
            self.counters,
            is_on=self.history.publish_snapshots,
        )
        given = HistoryInput(self.inbox, {"hall": self.ring}, {"hall"} if has_sound else set())
        self.news: list[KeptEvent] = []
        self.work = HistoryWork(self.history, given, self.disk, topics, self.counters, self.news.append)
        self.start_ns, self.at_s, self.has_sound = monotonic_ns(), 0.0, has_sound
        self.work.begin()

    def pass_until(self, until_s: float, value: int = 0, *requests: HistoryRequest) -> None:
        """Capture a brightness for a while, with a round every quarter of a second."""
        while self.at_s < until_s:
            for tenth in range(3):
                at_ns = self.ns(self.at_s + tenth / 12)
                self.ring.add(Frame((np.full((48, 64, 3), value, np.uint8),), at_ns))
            if self.has_sound:
                tone = np.sin(np.arange(RATE // 4) / 5).astype(np.float32) / 2
                self.ring.add(Block(tone, RATE, self.ns(self.at_s)))
            self.at_s += 0.25
            self.work.look(requests, self.ns(self.at_s))
            requests = ()

    def see(self, dog: float = 0.0, speech: float = 0.0, at_s: float | None = None) -> None:
        scores = np.array([0, dog, speech], np.float32)
        moment = Moment(self.ns(self.at_s if at_s is None else at_s), {})
        shares = {"image": np.ones(3, np.float32)}
        self.fuse(Fused(recognitions=[Recognition(moment, scores, np.zeros(3, np.float32), shares)]))

    def happen(
        self,
        phase: EventPhase,
        started_s: float,
        *,
        name: str = "e",
        label: str = "dog",
        ended_by: EndedBy | None = None,
    ) -> None:
        event = Event(phase, label, name, self.ns(started_s), self.ns(self.at_s), 0.8, 0.9, ended_by, {"image": 1.0})
        self.fuse(Fused(events=[event]))

    def fuse(self, fused: Fused) -> None:
        self.inbox.observe("hall", "b 1", SETTINGS, fused, 0)

    def ns(self, at_s: float) -> int:
        return self.start_ns + round(at_s * NS_PER_S)

    def close(self) -> None:
        self.work.close((), self.ns(self.at_s))

    def kept(self) -> list[KeptEvent]:
        with HistoryReader(self.directory) as reader:
            return [reader.event(event.id) for event in reversed(list(reader.events()))]

    def brightness(self, event: KeptEvent) -> float:
        return float(cv2.imread(str(self.directory / "clips" / f"{event.number}.jpg")).mean())

    def clip(self, event: KeptEvent) -> tuple[list[float], list[str]]:
        """Return the brightness of each picture of a clip, and the kinds of its tracks."""
        with av.open(str(self.directory / "clips" / f"{event.number}.mp4")) as container:
            kinds = [stream.type for stream in container.streams]
            return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)], kinds


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.close()


def test_an_event_is_kept_with_the_picture_at_its_peak_and_a_clip_from_before_to_after(room: Room) -> None:
    room.pass_until(5, 10)
    room.see(dog=0.7)
    room.happen("start", 4.5)
    room.pass_until(6, 100)
    (begun,) = room.kept()
    assert (begun.ended_s, begun.clip, begun.label) == (None, None, "dog")
    room.pass_until(6.5, 200)
    room.see(dog=0.9)
    room.pass_until(7, 200)
    room.pass_until(8, 50)
    room.happen("end", 4.5, ended_by="absent")
    room.pass_until(10.5, 50)
    (ended,) = room.kept()
    assert (ended.ended_by, ended.snapshot_bytes is not None) == ("absent", True)
    assert ended.clip is None, "the clip goes on for a second, and the node waits for what is under way"
    room.pass_until(11.25, 250)
    (event,) = room.kept()
    assert (event.ended_by, event.peak, event.shares) == ("absent", 0.9, {"image": 1.0, "audio": 0.0})
    assert event.started_s == pytest.approx(wall_seconds(room.ns(4.5)), abs=0.001)
    assert (event.ended_s or 0) - event.started_s == pytest.approx(3.5, abs=0.001)
    assert event.peak_s - event.started_s == pytest.approx(2, abs=0.001)
    assert room.brightness(event) == pytest.approx(200, abs=3)
    assert event.clip is not None
    assert event.started_s - event.clip.begins_s == pytest.approx(2, abs=0.3)
    assert event.clip.duration_s == pytest.approx(6.5, abs=0.5)
    assert (event.clip.video, event.clip.audio, event.clip.is_cut) == ("mjpeg", None, False)
    pictures, kinds = room.clip(event)
    assert kinds == ["video"]
    assert [round(pictures[at] / 50) for at in (0, -1)] == [0, 1]
    assert pytest.approx(max(pictures), abs=3) == 200, "nothing of what came later is in it"
    told = [(each.ended_by, each.snapshot_bytes is not None, each.clip is not None) for each in room.news]
    assert told == [(None, False, False), ("absent", True, False), ("absent", True, True)]
    assert room.counters.dropped == {}


def test_the_snapshot_is_the_picture_nearest_to_the_one_that_was_recognised(room: Room) -> None:
    room.pass_until(2, 0)
    # what is recognised just after 2 s is first in the picture at 2.17 s, which comes later
    room.see(dog=0.9, at_s=2.08)
    room.happen("start", 2)
    room.pass_until(4, 200)
    room.happen("end", 2, ended_by="absent")
    room.pass_until(8, 0)
    (event,) = room.kept()
    assert room.brightness(event) > 150


def test_of_an_event_that_lasts_one_jpeg_is_held_instead_of_a_film(room: Room) -> None:
    room.pass_until(2, 100)
    room.see(dog=0.9)
    room.happen("start", 2)
    room.pass_until(20, 0)
    # the clip has its first picture, from before 1 s
    times = [each.captured_ns for each in gc.get_objects() if isinstance(each, MediaPacket)]
    assert [at_ns for at_ns in times if room.ns(1) < at_ns < room.ns(10)] == []
    room.happen("end", 2, ended_by="absent")
    room.pass_until(25, 0)
    (event,) = room.kept()
    assert event.snapshot_bytes


def test_an_event_shorter_than_a_round_is_kept(room: Room) -> None:
    room.pass_until(3, 90)
    room.see(dog=0.7)
    room.happen("start", 2.9)
    room.happen("end", 2.9, ended_by="absent")
    room.pass_until(6, 90)
    (event,) = room.kept()
    assert event.clip is not None
    assert event.clip.duration_s == pytest.approx(3, abs=0.5)


def test_events_that_overlap_have_each_their_clip(room: Room) -> None:
    room.pass_until(3)
    room.happen("start", 2.5, name="first")
    room.pass_until(4)
    room.happen("start", 3.5, name="second", label="speech")
    room.pass_until(5)
    room.happen("end", 2.5, name="first", ended_by="other")
    room.pass_until(6)
    room.happen("end", 3.5, name="second", label="speech", ended_by="absent")
    room.pass_until(9)
    first, second = room.kept()
    assert (first.id, second.id) == ("first", "second")
    for event, seconds in ((first, 5.5), (second, 5.5)):
        assert event.clip is not None
        assert event.clip.duration_s == pytest.approx(seconds, abs=0.5)


@pytest.mark.parametrize("ended_by", ["paused", "stopped", "reload"])
def test_what_ends_with_the_camera_is_finished_at_once(room: Room, ended_by: EndedBy) -> None:
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(4)
    room.happen("end", 2.5, ended_by=ended_by)
    room.pass_until(4.25)
    (event,) = room.kept()
    assert (event.ended_by, event.clip is not None, event.snapshot_bytes is not None) == (ended_by, True, True)


def test_an_event_that_is_open_when_the_daemon_stops_is_kept_as_far_as_it_has_come(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(4)
    room.close()
    (event,) = room.kept()
    assert event.ended_by == "stopped"
    assert event.clip is not None
    assert event.clip.duration_s == pytest.approx(3.5, abs=0.5)


def test_without_camera_and_microphone_an_event_has_neither_clip_nor_snapshot(room: Room) -> None:
    room.happen("start", 0)
    room.happen("end", 0, ended_by="absent")
    for at_s in (1, 2, 3):
        room.work.look((), room.ns(at_s))
    (event,) = room.kept()
    assert (event.clip, event.snapshot_bytes) == (None, None)
    assert [path.name for path in (room.directory / "clips").iterdir()] == []


def test_so_many_events_at_once_that_some_have_no_clip(room: Room) -> None:
    room.pass_until(1)
    for number in range(MAX_CLIPS + 2):
        room.happen("start", 1, name=str(number))
    room.pass_until(1.5)
    for number in range(MAX_CLIPS + 2):
        room.happen("end", 1, name=str(number), ended_by="stopped")
    room.pass_until(2)
    assert [event.clip is not None for event in room.kept()] == [*[True] * MAX_CLIPS, False, False]
    assert room.counters.dropped == {"clip_busy": 2}


def test_what_the_ring_has_lost_is_said_of_the_clip(room: Room) -> None:
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(4)
    room.ring.forget("image")
    room.pass_until(5)
    room.happen("end", 2.5, ended_by="absent")
    room.pass_until(8)
    (event,) = room.kept()
    assert event.clip is not None
    assert event.clip.is_cut
    assert room.counters.dropped == {"clip_cut": 1}


@pytest.mark.parametrize(
    ("setting", "score", "audio"), [("drop", 0.9, None), ("drop", 0.1, "opus"), ("keep", 0.9, "opus")]
)
def test_a_clip_in_which_speech_was_recognised_has_no_sound_if_the_config_says_so(
    tmp_path: Path, setting: str, score: float, audio: str | None
) -> None:
    room = Room(tmp_path, has_sound=True, speech=setting)
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(4)
    room.see(speech=score)
    room.pass_until(5)
    room.happen("end", 2.5, ended_by="absent")
    room.pass_until(8)
    (event,) = room.kept()
    assert event.clip is not None
    assert event.clip.audio == audio
    assert room.clip(event)[1] == ["video", *(["audio"] if audio else [])]
    assert sorted(path.suffix for path in (room.directory / "clips").iterdir()) == [".jpg", ".mp4"]
    room.close()


def test_an_event_that_lasts_has_a_clip_of_its_beginning_also_when_speech_was_heard_long_ago(tmp_path: Path) -> None:
    room = Room(tmp_path, has_sound=True, speech="drop")
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(20)
    room.see(speech=0.9)
    room.pass_until(370)
    room.happen("end", 2.5, ended_by="timeout")
    room.pass_until(370.25)
    (event,) = room.kept()
    assert event.clip is not None
    assert event.clip.duration_s == pytest.approx(120, abs=0.5)
    assert (event.clip.audio, event.clip.is_cut, event.ended_by) == (None, True, "timeout")
    room.close()


def test_while_the_disk_takes_nothing_no_event_is_lost_that_had_begun(room: Room) -> None:
    room.pass_until(3)
    room.happen("start", 2.5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
    try:
        room.pass_until(6)
        room.happen("end", 2.5, ended_by="absent")
        request = asked(room, Keep("e", on=True))
        room.pass_until(9, 0, request)
        assert room.disk.problem is not None
        room.happen("start", 8.5, name="missed")
        room.pass_until(9.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert request.error is not None
    assert room.counters.dropped == {"clip_disk": 1, "event_disk": 1}
    room.pass_until(13)
    assert room.disk.problem is None
    room.happen("start", 12.5, name="later")
    room.happen("end", 2.5, name="missed", ended_by="absent")
    room.pass_until(14)
    assert [(event.id, event.ended_by, event.clip) for event in room.kept()] == [
        ("e", "absent", None),
        ("later", None, None),
    ]


def asked(room: Room, change: Keep | Judge | Delete) -> HistoryRequest:
    room.inbox.ask(change)
    (request,) = room.inbox.wait(0)
    return request


def test_what_a_person_says_of_an_event_stays_when_it_ends(room: Room) -> None:
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(3.5)
    requests = [asked(room, Keep("e", on=True)), asked(room, Judge("e", "was", "cat")), asked(room, Keep("x", on=True))]
    room.pass_until(4, 0, *requests)
    assert all(request.done.is_set() for request in requests)
    assert [request.error and request.error.kind for request in requests] == [None, None, "unknown"]
    room.happen("end", 2.5, ended_by="paused")
    room.pass_until(4.5)
    (event,) = room.kept()
    assert (event.kept, event.verdict, event.was, event.ended_by) == (True, "was", "cat", "paused")
    assert [each.was for each in room.news] == [None, "cat", "cat"]


def test_an_event_that_is_deleted_while_it_is_open_leaves_nothing(room: Room) -> None:
    room.pass_until(3)
    room.happen("start", 2.5)
    room.pass_until(4)
    request = asked(room, Delete("e"))
    room.pass_until(4.25, 0, request)
    assert request.error is None
    room.pass_until(5)
    room.happen("end", 2.5, ended_by="absent")
    room.pass_until(8)
    assert room.kept() == []
    assert [path.name for path in (room.directory / "clips").iterdir()] == []
    assert room.counters.dropped == {}


def test_while_the_store_cannot_be_opened_events_are_counted_and_requests_are_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    room = Room(tmp_path / "state")
    room.happen("start", 0)
    request = asked(room, Keep("e", on=True))
    room.pass_until(1, 0, request)
    room.happen("end", 0, ended_by="absent")
    room.pass_until(1.5)
    assert room.counters.dropped == {"event_disk": 1}
    assert request.error is not None
    assert request.error.kind == "disk"
    assert str(request.error) == room.disk.problem
    (tmp_path / "state").unlink()
    room.pass_until(4)
    assert room.disk.problem is None
    room.happen("start", 3.9, name="later")
    room.pass_until(4.5)
    assert [event.id for event in room.kept()] == ["later"]
    room.close()


def test_snapshots_are_published_soon_after_the_start_and_at_a_later_peak(tmp_path: Path) -> None:
    room = Room(tmp_path, publish_snapshots=True)
    topic = "perceptd/hall/hall/snapshot"
    room.pass_until(3, 60)
    room.see(dog=0.7)
    room.happen("start", 2.9)
    room.pass_until(3.5, 120)
    first = room.session.retained[topic]
    room.see(dog=0.9)
    room.pass_until(4, 240)
    assert room.session.retained[topic] == first, "not at each peak"
    room.happen("end", 2.9, ended_by="paused")
    room.pass_until(4.25, 0)
    (event,) = room.kept()
    assert room.session.retained[topic] == (room.directory / "clips" / f"{event.number}.jpg").read_bytes() != first
    request = asked(room, Delete("e"))
    room.pass_until(4.5, 0, request)
    assert room.session.retained == {}, "the picture of a deleted event goes from the broker too"
    room.close()


class BusyStore:
    """The store of a disk that cannot be read for a while: it refuses the end of events."""

    def __init__(self, store: HistoryStore, refusals: int) -> None:
        self.store, self.refusals = store, refusals

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def finish(self, event: KeptEvent, *, clip_follows: bool = False) -> None:
        if self.refusals:
            self.refusals -= 1
            raise HistoryError("disk", "the index cannot be read")
        self.store.finish(event, clip_follows=clip_follows)


def test_an_end_that_the_disk_has_refused_is_kept_once_it_works_again(room: Room) -> None:
    room.pass_until(3, 10)
    room.see(dog=0.9)
    room.happen("start", 2.5)
    room.pass_until(4, 10)
    assert room.disk.store is not None
    busy: Any = BusyStore(room.disk.store, refusals=5)
    room.disk.store = busy
    room.happen("end", 2.5, ended_by="absent")
    room.pass_until(9, 10)
    (event,) = room.kept()
    assert (busy.refusals, event.ended_by) == (0, "absent")
    assert event.clip is not None
    assert event.snapshot_bytes is not None
