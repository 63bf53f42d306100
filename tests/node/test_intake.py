"""What is captured goes on with its corrected time, and is remembered until its device is closed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import (
    MODALITIES,
    Block,
    Captured,
    Counters,
    Deferred,
    Frame,
    Line,
    Modality,
    Plane,
    modality_of,
)
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.history.ring import Mark, MediaRing
from daemon.node.intake import Intake
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.gates import Gates
from daemon.pipeline.recent import RecentInput
from tests.helpers.format2_bundle import RATE_HZ, write_bundle

CONFIG = StreamConfig(
    camera=CameraConfig(device=0, offset_ms=-100), microphone=MicrophoneConfig(device="default", offset_ms=-200)
)

H264 = MediaFormat("video", "h264", b"sets", 640, 480)
AAC = MediaFormat("audio", "aac", b"config", sample_rate_hz=16_000, channels=1)


class Publisher:
    """Stands for the publisher of the stream: only its delay is set here."""

    delay_ns = 0


class Rig:
    """An intake with its rings. `passed` has what went on to the pipeline."""

    def __init__(self, recent: RecentInput | None, ring: MediaRing | None = None) -> None:
        self.publisher, self.recent, self.ring = Publisher(), recent, ring
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        watching = Watching("yard", Gates(CONFIG.gates))
        publisher: Any = self.publisher
        self.intake = Intake(CONFIG, self.counters, publisher, recent, watching, ring=ring)
        self.passed: list[Captured] = []
        self.deliver = self.intake.into(self.passed.append)

    def capture(self, at_s: float, delay_ns: int = 0) -> None:
        at_ns = round(at_s * NS_PER_S)
        self.deliver(Frame((np.zeros((8, 8, 3), np.uint8),), at_ns, delay_ns=delay_ns))
        self.deliver(Block(np.zeros(160, np.float32), RATE_HZ, at_ns, delay_ns=delay_ns))
        self.deliver(Line("hello", at_ns))

    def send(self, at_s: float, delay_ns: int = 0) -> None:
        """Hand on a packet of a picture and one of sound."""
        at_ns = round(at_s * NS_PER_S)
        for of in (H264, AAC):
            self.intake.take_packet(MediaPacket(of, b"coded", 5, 5, at_ns, is_key=True, delay_ns=delay_ns))

    def kept(self) -> list[tuple[str, int]]:
        """Return the codecs and times of what the ring for the history keeps."""
        assert self.ring is not None
        self.ring.encode_pictures()
        taken = self.ring.take(Mark(0, 0))
        blocks = [("block", block.start_ns) for block in taken.blocks]
        return [(packet.format.codec, packet.captured_ns) for packet in taken.packets] + blocks

    def remembered(self) -> list[Modality]:
        assert self.recent is not None
        return [modality for modality in MODALITIES if modality in self.recent.newest_ns()]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(RecentInput(load_bundle(write_bundle(tmp_path / "corner")).manifest))


def test_the_ring_has_the_times_that_the_pipeline_has(rig: Rig) -> None:
    rig.capture(100, delay_ns=NS_PER_S)
    assert rig.recent is not None
    frame, block, line = rig.passed
    assert isinstance(block, Block)
    assert isinstance(frame, Frame)
    assert isinstance(line, Line)
    assert (frame.captured_ns, block.start_ns, line.captured_ns) == (100_900_000_000, 100_800_000_000, 100 * NS_PER_S)
    assert rig.recent.newest_ns() == {
        "image": frame.captured_ns,
        "audio": block.start_ns + 20 * NS_PER_MS,
        "text": line.captured_ns,
    }
    assert rig.publisher.delay_ns == NS_PER_S


@pytest.mark.parametrize(
    ("switch", "left"),
    [
        (Switch(blind=True), ["audio", "text"]),
        (Switch(muted=True), ["image", "text"]),
        (Switch(paused=True), []),
        (Switch(paused=True, muted=True), []),
    ],
)
def test_what_a_closed_device_has_delivered_is_forgotten(rig: Rig, switch: Switch, left: list[Modality]) -> None:
    rig.capture(100)
    assert rig.remembered() == list(MODALITIES)
    rig.intake.turn(switch)
    assert rig.remembered() == left
    rig.capture(101)  # a source takes a moment to close
    assert rig.remembered() == left
    rig.intake.turn(Switch())
    rig.capture(102)
    assert rig.remembered() == list(MODALITIES)


def test_what_comes_of_a_closed_device_is_dropped_and_counted(rig: Rig) -> None:
    rig.intake.turn(Switch(blind=True, muted=True))
    rig.capture(100)
    assert [modality_of(item) for item in rig.passed] == ["text"]
    dropped = {modality: counters.dropped for modality, counters in rig.counters.items()}
    assert dropped == {"image": {"closed": 1}, "audio": {"closed": 1}, "text": {}}


def test_without_teaching_nothing_is_remembered() -> None:
    rig = Rig(None)
    rig.capture(100)
    rig.intake.turn(Switch(paused=True))
    assert len(rig.passed) == 3


def with_ring(*, has_packets: bool) -> Rig:
    return Rig(None, MediaRing(has_packets=has_packets, before_s=5))


def test_the_ring_of_the_history_has_the_same_times() -> None:
    rig = with_ring(has_packets=True)
    rig.send(100, delay_ns=NS_PER_S)
    assert rig.kept() == [("h264", 100_900_000_000), ("aac", 100_800_000_000)]
    rig = with_ring(has_packets=False)
    rig.capture(100, delay_ns=NS_PER_S)
    assert rig.kept() == [("mjpeg", 100_900_000_000), ("block", 100_800_000_000)]


@pytest.mark.parametrize(
    ("switch", "left"),
    [
        (Switch(blind=True), {"audio"}),
        (Switch(muted=True), {"image"}),
        (Switch(paused=True), set()),
        (Switch(blind=True, muted=True), set()),
    ],
)
def test_the_history_forgets_what_a_closed_device_has_delivered(switch: Switch, left: set[str]) -> None:
    modalities = {"h264": "image", "mjpeg": "image", "aac": "audio", "block": "audio"}
    for has_packets in (True, False):
        rig = with_ring(has_packets=has_packets)
        act = rig.send if has_packets else rig.capture
        act(100)
        rig.intake.turn(switch)
        assert {modalities[what] for what, _ in rig.kept()} == left
        act(101)  # a source takes a moment to close, and one with both delivers on
        assert {modalities[what] for what, _ in rig.kept()} == left
        rig.intake.turn(Switch())
        act(102)
        assert {modalities[what] for what, _ in rig.kept()} == {"image", "audio"}


@pytest.mark.parametrize("switch", [Switch(blind=True), Switch(paused=True)])
def test_what_is_being_kept_when_its_device_is_closed_is_forgotten(rig: Rig, switch: Switch) -> None:
    def closing() -> tuple[Plane, ...]:
        rig.intake.turn(switch)
        return (np.zeros((8, 8, 3), np.uint8),)

    rig.deliver(Frame(Deferred(closing), 100 * NS_PER_S))
    assert rig.remembered() == []
