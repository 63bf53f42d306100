"""What is captured goes on with its corrected time, and is remembered until its device is closed."""

from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Line, Modality, modality_of
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.node.intake import Intake
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.gates import NO_GATES
from daemon.pipeline.recent import RecentInput
from tests.helpers.format2_bundle import RATE_HZ, write_bundle

CONFIG = StreamConfig(
    camera=CameraConfig(device=0, offset_ms=-100), microphone=MicrophoneConfig(device="default", offset_ms=-200)
)


class Publisher:
    """Stands for the publisher of the stream: only its delay is set here."""

    delay_ns = 0


class Rig:
    """An intake with a ring. `passed` has what went on to the pipeline."""

    def __init__(self, recent: RecentInput | None) -> None:
        self.publisher, self.recent = Publisher(), recent
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        watching = Watching("s", NO_GATES)
        self.intake = Intake(CONFIG, self.counters, self.publisher, recent, watching)  # type: ignore[arg-type]
        self.passed: list[Captured] = []
        self.deliver = self.intake.into(self.passed.append)

    def capture(self, at_s: float, delay_ns: int = 0) -> None:
        at_ns = round(at_s * NS_PER_S)
        self.deliver(Frame((np.zeros((8, 8, 3), np.uint8),), at_ns, delay_ns=delay_ns))
        self.deliver(Block(np.zeros(160, np.float32), RATE_HZ, at_ns, delay_ns=delay_ns))
        self.deliver(Line("hello", at_ns))

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
