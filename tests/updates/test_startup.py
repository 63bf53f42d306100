import logging
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.core.errors import DamagedBundle, Refused
from daemon.updates.startup import Startup
from daemon.updates.state import BundleMetrics
from tests.helpers.shortages import few_descriptors
from tests.updates.device import BUILT_IN, NOW_S, Device

NOT_YET = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)
OLD, NEW = "digits@0.5.0", "digits@0.6.0"


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """0.5.0 is confirmed, 0.6.0 on probation."""
    made = Device(tmp_path)
    for version in ("0.5.0", "0.6.0"):
        made.publish(version)
    with made:
        made.install("0.5.0")
        made.host.does = {NEW: NOT_YET}
        assert made.updater.install("digits", "0.6.0") is None
        made.until(lambda status: status.state.probation)
    return made


def began(device: Device) -> Startup:
    return Startup(device.directory, device.built_in, lambda: NOW_S)


def runs(start: Startup, *refused: str) -> str:
    def load(directory: Path, bundle: str) -> str:
        if bundle in refused:
            raise Refused(f"{bundle} does not load")
        return (directory / "bundle.yaml").read_text().strip()

    return start.load(load)


def test_the_third_start_within_probation_rolls_back(device: Device) -> None:
    assert [runs(began(device)) for _ in range(4)] == [NEW, NEW, OLD, OLD]
    (refusal,) = began(device).state_file.state.refused
    assert (refusal.id, refusal.stage) == (NEW, "probation")
    assert refusal.reason == "the daemon was started 3 times during probation"


def test_a_running_daemon_that_begins_again_does_not_count_as_a_start(device: Device) -> None:
    again = [Startup(device.directory, device.built_in, lambda: NOW_S, counts=False) for _ in range(5)]
    assert [runs(start) for start in again] == [NEW] * 5
    assert again[-1].state_file.state.probation is not None
    assert [runs(began(device)) for _ in range(2)] == [NEW, NEW]


def test_a_start_that_cannot_be_counted_rolls_back_without_a_refusal(device: Device) -> None:
    (device.directory / "state.new").mkdir()
    start = began(device)
    assert runs(start) == OLD
    assert start.state_file.state.refused == () and start.state_file.trouble is not None
    (device.directory / "state.new").rmdir()
    assert runs(began(device)) == NEW


def test_a_bundle_that_does_not_load_is_replaced_by_the_previous_and_then_the_built_in_one(device: Device) -> None:
    start = began(device)
    assert runs(start, NEW, OLD) == BUILT_IN
    assert [(entry.id, entry.stage, entry.reason) for entry in start.state_file.state.refused] == [
        (NEW, "switch", f"{NEW} does not load"),
        (OLD, "switch", f"{OLD} does not load"),
    ]
    assert runs(began(device)) == BUILT_IN
    with pytest.raises(Refused, match=f"{BUILT_IN} does not load"):
        runs(began(device), BUILT_IN)


def test_a_bundle_that_changes_while_it_is_loaded_is_damaged_and_not_refused(device: Device) -> None:
    def load(directory: Path, bundle: str) -> str:
        if bundle == NEW:
            raise DamagedBundle(f"{directory}/head.tflite is damaged")
        return bundle

    start = began(device)
    assert start.load(load) == OLD
    assert start.state_file.state.refused == ()


def test_a_damaged_bundle_is_replaced_and_not_refused(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    for manifest in device.directory.glob("slots/*/head.tflite"):
        if NEW in (manifest.parent / "bundle.yaml").read_text():
            manifest.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        start = began(device)
        assert runs(start) == OLD
    assert "head.tflite is damaged" in caplog.text
    assert start.state_file.state.refused == ()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}"])
def test_without_a_state_the_built_in_bundle_runs(device: Device, content: bytes) -> None:
    (device.directory / "state.json").write_bytes(content)
    assert runs(began(device)) == BUILT_IN


def test_another_bundle_in_the_config_takes_over(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    (device.built_in.directory / "bundle.yaml").write_text("words@0.1.0\n")
    device.built_in = type(device.built_in)("words@0.1.0", device.built_in.directory)
    with caplog.at_level(logging.WARNING):
        assert runs(began(device)) == "words@0.1.0"
    assert caplog.messages[-1] == f"config.yaml names words@0.1.0 instead of {BUILT_IN}: it replaces {NEW}"
    assert runs(began(device)) == "words@0.1.0"


def test_if_no_bundle_loads_the_state_is_unchanged(device: Device) -> None:
    """The cause may be the config: a name in it that no bundle has."""
    before = began(device).state_file.state
    start = began(device)
    with pytest.raises(Refused, match=f"{BUILT_IN} does not load"):
        runs(start, NEW, OLD, BUILT_IN)
    assert start.state_file.state.active == before.active and start.state_file.state.refused == ()


@pytest.mark.parametrize("more", range(4))
def test_without_descriptors_nothing_is_refused_or_set_aside(device: Device, more: int) -> None:
    before = began(device).state_file.state
    with few_descriptors(os.getpid(), more), pytest.raises(OSError, match="Too many open files"):
        Startup(device.directory, device.built_in, lambda: NOW_S).load(read_two_files)
    assert runs(again := Startup(device.directory, device.built_in, lambda: NOW_S, counts=False)) == NEW
    assert again.state_file.state.refused == before.refused


def read_two_files(directory: Path, _bundle: str) -> str:
    """Load a bundle, with more files open at a time than the start itself."""
    with ExitStack() as files:
        for _ in range(4):
            files.enter_context((directory / "bundle.yaml").open())
    return ""


def test_too_little_memory_refuses_no_bundle(device: Device) -> None:
    def load(directory: Path, bundle: str) -> str:
        if bundle == NEW:
            raise MemoryError
        return bundle

    start = began(device)
    assert start.load(load) == OLD
    assert start.state_file.state.refused == ()
