"""Which streams keep their latest seconds for the history, and of what: packets, or pictures of their own."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config.history import HistoryConfig
from daemon.config.streams import StreamConfig
from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.history.ring import LATE_NS, Mark, Taken
from daemon.node.stream import NO_VIEWS
from daemon.node.switches import Switch
from daemon.sources.view import Views
from tests.helpers.clips import write_clip
from tests.helpers.format2_bundle import picture, write_bundle
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.mosquitto import wait_until
from tests.node.test_recent_input import Node

HISTORY = HistoryConfig(before_s=2.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rings")
    write_bundle(directory / "corner")
    write_clip(directory / "clip.mp4", seconds=1.0)
    return directory


@contextmanager
def node(
    directory: Path,
    keys: Mapping[str, object],
    views: Mapping[str, Views] = NO_VIEWS,
    history: HistoryConfig | None = HISTORY,
) -> Iterator[Node]:
    """Run a node with one stream that has these keys of config.yaml."""
    running = Node(directory, StreamConfig.model_validate(keys), None, views, history)
    running.active.start()
    try:
        yield running
    finally:
        running.close()


def kept(running: Node) -> Taken:
    """Return what the stream keeps now."""
    assert running.stream.ring is not None
    running.stream.ring.encode_pictures()
    return running.stream.ring.take(Mark(0, 0))


def pictures(running: Node) -> list[MediaPacket]:
    return [packet for packet in kept(running).packets if packet.format.kind == "video"]


def test_a_network_camera_keeps_its_packets_until_it_is_closed(directory: Path) -> None:
    with MjpegCamera().serving() as camera:
        url = f"http://127.0.0.1:{camera.port}/"
        with node(directory, {"camera": url}) as running:
            wait_until(lambda: len(pictures(running)) > 10, "its packets are kept")
            assert not any(packet.format.is_own_picture for packet in pictures(running))
            running.stream.turn(Switch(paused=True))
            assert pictures(running) == []
            running.stream.turn(Switch())
            wait_until(lambda: len(pictures(running)) > 2, "and again")
            assert not any(packet.format.is_own_picture for packet in pictures(running))


def test_a_network_camera_with_a_mask_keeps_pictures_of_its_own(directory: Path) -> None:
    mask = [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]
    with MjpegCamera().serving() as camera:
        url = f"http://127.0.0.1:{camera.port}/"
        with node(directory, {"camera": {"device": url, "masks": [mask]}}) as running:
            wait_until(lambda: len(pictures(running)) > 2, "its pictures are kept")
            assert all(packet.format.is_own_picture for packet in pictures(running))
            running.stream.turn(Switch(blind=True))
            assert pictures(running) == []


def test_a_replay_keeps_pictures_of_its_own_and_its_sound(directory: Path) -> None:
    with node(directory, {"replay": {"file": str(directory / "clip.mp4")}}) as running:
        wait_until(lambda: len(pictures(running)) > 2 and len(kept(running).blocks) > 20, "both are kept")
        assert all(packet.format.is_own_picture for packet in pictures(running))


def test_a_view_keeps_its_part_and_forgets_it_when_its_camera_is_closed(directory: Path) -> None:
    views = {"yard": Views("yard", math.inf, math.inf)}
    part = {"device": "stream:yard", "region": {"bottom": 0.5}}
    with node(directory, {"camera": part}, views) as running:

        def has_picture() -> bool:
            frame = picture(left=10, right=200)
            views["yard"].publish(Frame((frame,), monotonic_ns()))
            return any(2 * packet.format.height == frame.shape[0] for packet in pictures(running))

        wait_until(has_picture, "it keeps its part")
        assert all(packet.format.is_own_picture for packet in pictures(running))
        views["yard"].switch(True)
        assert pictures(running) == []
        views["yard"].switch(False)
        wait_until(has_picture, "it keeps its part again")


@pytest.mark.parametrize(("pace", "history"), [("realtime", None), ("fast", HISTORY)])
def test_without_a_history_or_as_fast_as_possible_nothing_is_kept(
    directory: Path, pace: str, history: HistoryConfig | None
) -> None:
    replay = {"file": str(directory / "clip.mp4"), "loop": False, "pace": pace}
    running = Node(directory, StreamConfig.model_validate({"replay": replay}), None, NO_VIEWS, history)
    assert running.stream.ring is None


def test_what_comes_before_an_event_that_is_known_late_is_kept(directory: Path) -> None:
    keys = {"camera": "http://127.0.0.1:1/", "events": {"min_duration_s": 7.5}}
    ring = Node(directory, StreamConfig.model_validate(keys), None, NO_VIEWS, HISTORY).stream.ring
    assert ring is not None
    jpeg = MediaFormat("video", "mjpeg", width=64, height=48)
    for number in range(40):
        ring.add_packet(MediaPacket(jpeg, b"jpeg", number, number, number * NS_PER_S, is_key=True))
    wanted_ns = 39 * NS_PER_S - round(9.5 * NS_PER_S) - LATE_NS
    assert ring.take(ring.begin(wanted_ns)).packets[0].captured_ns <= wanted_ns
    assert len(ring.take(Mark(0, 0)).packets) < 16
