"""Events kept by a real daemon: with a picture, a clip, and an index that agrees with the files."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import cv2
import pytest

from daemon.core.errors import HistoryError
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent
from daemon.history.store import HistoryStore
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.campaign import IS_CAMPAIGN, chance
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.rtsp_mounts import RtspServer, picture, rtsp_servers, sound
from tests.node.test_daemon import write_clip

KILLS = 50

# short clips, so that the tests are short
SHORT = {"before_s": 0.5, "after_s": 0.5}

SMALL_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("material")
    write_bundle(directory / "bundle")
    write_clip(directory / "clip.mp4", 30)
    return directory


@pytest.fixture
def config(material: Path, broker: Mosquitto) -> Callable[..., dict]:
    def make(node: str, history: dict | None, *, loop: bool = True) -> dict:
        return {
            "node": node,
            "bundle": str(material / "bundle"),
            "mqtt": {"port": broker.port, "home_assistant": {"devices": "node"}},
            "health": {"every_s": 1},
            "history": history,
            "streams": {"s": {"replay": {"file": str(material / "clip.mp4"), "loop": loop, "pace": "realtime"}}},
        }

    return make


def history_of(directory: Path) -> Path:
    return directory / "state" / "history"


def kept(history: Path, limit: int = 100) -> list[KeptEvent]:
    """Return the events that are kept, oldest first."""
    with HistoryReader(history) as reader:
        return list(reversed(reader.events(limit=limit)))


def agree(history: Path, events: list[KeptEvent]) -> bool:
    """Return whether the files are those of the events, with the sizes that the index says."""
    expected = {f"{event.number}.jpg": event.snapshot_bytes for event in events if event.snapshot_bytes}
    expected |= {f"{event.number}.mp4": event.clip.size_bytes for event in events if event.clip}
    return expected == {path.name: path.stat().st_size for path in (history / "clips").iterdir()}


def pictures(path: Path) -> list[float]:
    """Return the brightness of each picture of a clip."""
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


def threads(daemon: DaemonProcess) -> set[str]:
    return {path.read_text().strip() for path in Path(f"/proc/{daemon.process.pid}/task").glob("*/comm")}


def latest(subscriber: Subscriber, topic: str) -> dict:
    return json.loads(subscriber.wait_for(topic)[-1])


def test_events_of_a_replay_are_kept_and_their_snapshots_are_published_until_that_is_turned_off(
    tmp_path: Path, config: Callable[..., dict], broker: Mosquitto
) -> None:
    topic, health = "perceptd/kept/s/snapshot", "perceptd/kept/health"
    with Subscriber(broker, "#") as subscriber:
        settings = config("kept", SHORT | {"publish_snapshots": True}, loop=False)
        with DaemonProcess(settings, tmp_path) as daemon:
            wait_until(lambda: "history" in threads(daemon), "the thread runs")
            assert daemon.wait(60) == 0
        subscriber.wait_offline("kept")
        events = kept(history_of(tmp_path))
        assert [(event.label, event.ended_by) for event in events] == [
            *[("dark", "other"), ("bright", "other"), ("dark", "other"), ("bright", "stopped")]
        ]
        assert agree(history_of(tmp_path), events)
        for event in events:
            files = history_of(tmp_path) / "clips"
            assert event.shares == {"image": 1.0}
            shown = float(cv2.imread(str(files / f"{event.number}.jpg")).mean())
            assert (shown > 128) is (event.label == "bright")
            assert event.clip is not None
            assert (event.clip.video, event.clip.audio, event.clip.is_cut) == ("mjpeg", None, False)
            found = pictures(files / f"{event.number}.mp4")
            # a recording begins with the daemon, and the last event ends with it
            has = {value > 128 for value in found}
            assert has == ({True, False} if event.number != 1 else {False, True})
            assert event.clip.begins_s <= event.started_s
        published = subscriber.payloads(topic)
        assert len(published) >= len(events)
        assert published[-1] == (history_of(tmp_path) / "clips" / f"{events[-1].number}.jpg").read_bytes()
        told = json.loads(subscriber.payloads(health)[-1])["history"]
        assert (told["enabled"], told["events"], told["dropped"], told["problem"]) == (True, 4, {}, None)
        assert told["ring_bytes"] > 0
        files_bytes = sum((event.snapshot_bytes or 0) + event.clip.size_bytes for event in events if event.clip)
        assert told["bytes"] > files_bytes > 0

        def announced() -> bool:
            found = subscriber.payloads("homeassistant/device/perceptd_kept/config")
            return bool(found) and "s_snapshot" in json.loads(found[-1])["components"]

        wait_until(announced, "Home Assistant knows the picture")
        with DaemonProcess(config("kept", None, loop=True), tmp_path) as daemon:
            wait_until(lambda: subscriber.payloads(topic)[-1] == b"", "the picture is gone from the broker")
            assert "history" not in threads(daemon)
            assert daemon.stop() == 0
        subscriber.wait_offline("kept")
        assert json.loads(subscriber.payloads(health)[-1])["history"]["enabled"] is False
        assert json.loads((tmp_path / "state" / "snapshots.json").read_text())["streams"] == []
        assert kept(history_of(tmp_path)) == events


def has_open_clip(history: Path) -> bool:
    """Return whether a clip is being written for an event whose row is stored."""
    return any(history.glob("clips/*.part")) and any(event.ended_s is None for event in kept(history))


def test_after_a_kill_in_the_middle_of_an_event_index_and_files_agree(
    tmp_path: Path, config: Callable[..., dict]
) -> None:
    history = history_of(tmp_path)
    with DaemonProcess(config("killed", SHORT), tmp_path) as daemon:
        wait_until(partial(has_open_clip, history), "an event is open")
        daemon.process.kill()
        daemon.process.wait()
    (before,) = [event for event in kept(history) if event.ended_s is None][-1:]
    with DaemonProcess(config("killed", SHORT), tmp_path) as daemon:
        wait_until(lambda: any(event.number > before.number for event in kept(history)), "the next event is kept")
        assert daemon.stop() == 0
    events = kept(history)
    assert agree(history, events)
    (ended,) = [event for event in events if event.id == before.id]
    assert (ended.ended_by, ended.clip, ended.snapshot_bytes) == ("restart", None, None)
    assert all(event.ended_by is not None for event in events)


@pytest.mark.campaign("history-live")
@pytest.mark.skipif(not IS_CAMPAIGN, reason="takes ten seconds: scripts/test-campaigns history-live")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_stops_the_keeping_but_not_the_recognising(
    tmp_path: Path, config: Callable[..., dict], broker: Mosquitto
) -> None:
    (tmp_path / "state").mkdir()
    small = ("unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", "48m", str(tmp_path / "state"))
    with (
        Subscriber(broker, "perceptd/full/#") as subscriber,
        DaemonProcess(config("full", SHORT), tmp_path, prefix=small) as daemon,
    ):
        inside = Path(f"/proc/{daemon.process.pid}/root{tmp_path}/state")
        history = inside / "history"

        def told() -> dict:
            return latest(subscriber, "perceptd/full/health")["history"]

        wait_until(lambda: told()["events"] > 1 and list(history.glob("clips/*.part")), "events are kept")
        fill(inside / "filler")
        wait_until(lambda: told()["problem"] is not None, "the disk is full")
        wait_until(lambda: told()["dropped"].get("event_disk", 0) > 1, "events are not kept")
        events = len(subscriber.payloads("perceptd/full/s/event"))
        wait_until(lambda: len(subscriber.payloads("perceptd/full/s/event")) > events + 3, "it goes on to recognise")
        (inside / "filler").unlink()
        wait_until(lambda: told()["problem"] is None, "the disk has room")
        begun = told()["events"]
        wait_until(lambda: told()["events"] > begun, "events are kept again")
        wait_until(lambda: latest(subscriber, "perceptd/full/health")["status"] == "ok", "all is well")
        # those of before may have been lost with the disk
        complete = set(history.glob("clips/*.mp4"))
        wait_until(lambda: set(history.glob("clips/*.mp4")) - complete, "a clip is complete")
        (clip, *_) = set(history.glob("clips/*.mp4")) - complete
        assert pictures(clip)
        # the disk goes with the daemon, but for who has it open
        place = os.open(inside, os.O_DIRECTORY)
        assert daemon.stop() == 0
        left = shutil.copytree(f"/proc/self/fd/{place}/history", tmp_path / "left")
        os.close(place)
        assert agree(left, kept(left))


@pytest.mark.campaign("history-kills")
@pytest.mark.skipif(not IS_CAMPAIGN, reason="takes some minutes: scripts/test-campaigns history-kills")
def test_killed_again_and_again_the_history_stays_whole(tmp_path: Path, material: Path, broker: Mosquitto) -> None:
    write_clip(tmp_path / "clip.mp4", 10, passages=[("bright", 10), ("dark", 10)] * 10)
    history, whole = history_of(tmp_path), set[str]()
    replay = {"file": str(tmp_path / "clip.mp4"), "loop": True, "pace": "realtime"}
    settings = {
        "node": "hard",
        "bundle": str(material / "bundle"),
        "mqtt": {"port": broker.port},
        "history": {"before_s": 0.2, "after_s": 0.2},
        "streams": {name: {"replay": dict(replay), "events": {"min_duration_s": 0.05}} for name in ("one", "two")},
    }
    moments = chance("history kills")
    for _ in range(KILLS):
        with DaemonProcess(settings, tmp_path) as daemon:
            before = count(history)
            wait_until(lambda before=before: count(history) > before, "the daemon keeps events")
            time.sleep(moments.uniform(0, 6))  # a clip is whole three seconds after its event began
            daemon.process.kill()
            daemon.process.wait()
        finished = {event.id: event for event in kept(history, 1000) if event.clip is not None}
        HistoryStore(history).close()  # what each start does first
        events = {event.id: event for event in kept(history, 1000)}
        assert agree(history, list(events.values()))
        assert all(event.ended_by is not None for event in events.values())
        # what was told as whole stays whole
        assert {id_: events.get(id_) for id_ in finished} == finished
        assert whole <= events.keys()
        whole |= finished.keys()
    assert len(whole) > KILLS // 2
    for event in events.values():
        if event.clip is not None:
            assert pictures(history / "clips" / f"{event.number}.mp4")


def count(history: Path) -> int:
    """Return how many events are kept, or were being kept when the daemon was killed."""
    try:
        return len(kept(history, 1000))
    except HistoryError:
        return 0


def fill(path: Path) -> None:
    """Write a file that leaves nothing of the disk."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
        except OSError:
            return


@pytest.mark.campaign("history-live")
@pytest.mark.skipif(not IS_CAMPAIGN, reason="takes half a minute: scripts/test-campaigns history-live")
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_the_clip_of_a_network_camera_is_what_it_sent_with_its_sound(
    tmp_path: Path, broker: Mosquitto, codec: str
) -> None:
    # a picture that never changes is looked at again from time to time
    mount = f"{picture(codec).replace('smpte75', 'ball')} {sound('aac')}"
    with rtsp_servers(RtspServer({"/hall": mount})) as (port,), Subscriber(broker, "perceptd/real/#") as subscriber:
        events = {"max_duration_s": 2, "thresholds": {"3": {"start": 0.0001, "end": 0.00005}}}
        stream = {"camera": f"rtsp://127.0.0.1:{port}/hall", "microphone": "camera", "events": events}
        settings = {
            "node": "real",
            "bundle": str(ROOT / "models" / "digits"),
            "mqtt": {"port": broker.port},
            "history": {"before_s": 1, "after_s": 1},
            "streams": {"hall": stream},
        }
        with DaemonProcess(settings, tmp_path) as daemon:
            history = history_of(tmp_path)

            def whole() -> bool:
                # before the first event there may be no index
                return any(history.glob("clips/*.mp4")) and any(event.clip for event in kept(history)[1:])

            wait_until(whole, "an event of the camera is kept")
            assert daemon.stop() == 0
        found = kept(history)
        assert agree(history, found)
        event = next(event for event in found[1:] if event.clip)
        assert event.clip is not None
        assert (event.clip.video, event.clip.audio) == ("hevc" if codec == "h265" else "h264", "aac")
        # a key picture comes every half second
        assert 1 <= event.started_s - event.clip.begins_s <= 1.7
        assert event.clip.duration_s == pytest.approx(4, abs=1)
        assert len(pictures(history / "clips" / f"{event.number}.mp4")) == pytest.approx(
            20 * event.clip.duration_s, abs=5
        )
        assert event.snapshot_bytes
        subscriber.wait_for("perceptd/real/hall/event")
