"""Versions that were taught on the device go through the steps of an update, without a source too."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.updates.probation import ProbationPolicy
from daemon.updates.state import BundleMetrics
from tests.fakes.bundle_host import GOOD_METRICS
from tests.updates.device import BUILT_IN, PATIENCE_S, Device

# of state.json in perceptd 0.5, which refuses any other
KEYS_OF_0_5 = {"format", "base", "active", "previous", "pinned", "candidate", "probation", "refused", "last_check"}
KEYS_OF_0_5 |= {"last_result", "available", "seen_time"}

NOT_YET = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)
FAILS = BundleMetrics(moments=3, errors=1, p99_ms=10.0, mean_top_score=0.9)
ONE, TWO, THREE = (f"digits@0.4.0+taught.{number}" for number in (1, 2, 3))


@pytest.fixture(params=["source", None], ids=["with a source", "without a source"])
def device(tmp_path: Path, request: pytest.FixtureRequest) -> Device:
    return Device(tmp_path, source=request.param)


def slots(device: Device) -> set[str]:
    """The bundles in the slots of what was taught."""
    found = set()
    for path in device.directory.glob("taught/slots/*/bundle.yaml"):
        with suppress(FileNotFoundError):  # it is being removed
            found.add(path.read_text().strip())
    return found


def test_a_taught_version_is_installed_and_confirmed(device: Device) -> None:
    with device:
        assert device.teach("1") == ONE
        status = device.until_runs(ONE)
        assert device.runner.ran == ["check", "selftest"]
        assert (device.host.history, status.state.active, status.latest) == ([BUILT_IN, ONE], None, "0.4.0+taught.1")
        result = status.taught.last_result
        assert result is not None and (result.id, result.ok, result.stage) == (ONE, True, "probation")
    with device:
        assert device.host.history == [ONE]
    assert not list((device.directory.parent / "drafts/digits").iterdir()), "the directory has moved"


def test_each_stage_is_on_disk_before_it_begins(device: Device) -> None:
    seen = []
    path = device.directory / "taught/state.json"
    device.runner.before = lambda step, beat: seen.append((step, f'"stage":"{step}"' in path.read_text()))
    device.host.before_commit = lambda: seen.append(("switch", '"slot":{"name":"digits"' in path.read_text()))
    with device:
        device.teach("1")
        device.until_runs(ONE)
    assert seen == [(step, True) for step in ("check", "selftest", "switch")]


def test_a_version_on_probation_is_replaced_without_becoming_the_previous_one(device: Device) -> None:
    with device:
        device.teach("1")
        device.until_runs(ONE)
        device.host.does = {TWO: NOT_YET, THREE: NOT_YET}
        device.teach("2")
        device.until(lambda _: device.host.runs == TWO)
        device.teach("3")
        status = device.until(lambda _: device.host.runs == THREE)
        (version,) = status.taught.versions
        assert version.previous is not None and version.previous.id == ONE
        assert version.probation is not None and version.probation.before == GOOD_METRICS
        device.host.does = {THREE: FAILS}
        device.until_runs(ONE)
        device.until(lambda _: slots(device) == {ONE})


def test_the_newest_request_counts(device: Device) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(step: str, beat: object) -> None:
        if step == "check" and not reached.is_set():
            reached.set()
            assert go_on.wait(PATIENCE_S)

    device.runner.before = hold
    with device:
        device.teach("1")
        assert reached.wait(PATIENCE_S)
        device.teach("2")
        device.teach("3")
        go_on.set()
        device.until_runs(THREE)
        assert device.host.history == [BUILT_IN, ONE, THREE]
    assert not list((device.directory.parent / "drafts/digits").iterdir())


@pytest.mark.parametrize("step", ["check", "selftest"])
def test_a_refused_version_does_not_block_the_next_one(device: Device, step: str) -> None:
    device.runner.faults[step] = [{"ok": False, "kind": "bundle", "reason": "it scores 0.1"}]
    with device:
        device.teach("1")
        status = device.until(lambda status: status.taught.refused)
        assert status.taught.refused is not None and status.taught.refused.reason == "it scores 0.1"
        assert (status.state.refused, device.host.history) == ((), [BUILT_IN])
        device.teach("2")
        device.until_runs(TWO)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (FAILS, "1 error in 3 moments"),
        (BundleMetrics(moments=500, errors=0, p99_ms=151.0, mean_top_score=0.9), "p99 latency is 151 ms"),
        (BundleMetrics(moments=500, errors=0, p99_ms=90.0, mean_top_score=0.44), "the mean top score is 0.44"),
    ],
)
def test_a_version_that_works_worse_is_rolled_back(device: Device, metrics: BundleMetrics, reason: str) -> None:
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {TWO: metrics}
    with device:
        device.teach("1")
        device.until_runs(ONE)
        device.teach("2")
        status = device.until(lambda status: status.taught.refused)
        assert device.host.history == [BUILT_IN, ONE, TWO, ONE]
        assert status.taught.refused is not None and status.taught.refused.reason.startswith(reason)
        device.teach("3")
        device.until_runs(THREE)


def test_added_labels_may_take_a_part_of_the_top_score(device: Device) -> None:
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {ONE: BundleMetrics(moments=500, errors=0, p99_ms=90.0, mean_top_score=0.46)}
    with device:
        device.teach("1")
        device.until_runs(ONE)


def test_a_rollback_goes_to_the_version_before_and_then_to_the_base(device: Device) -> None:
    with device:
        for version, bundle in (("1", ONE), ("2", TWO)):
            device.teach(version)
            device.until_runs(bundle)
        for bundle in (ONE, BUILT_IN):
            assert device.updater.rollback() is None
            device.until_runs(bundle)
        assert device.updater.rollback() is not None
        device.teach("3")
        device.until_runs(THREE)


def test_a_rollback_to_a_damaged_version_goes_to_the_base(device: Device) -> None:
    with device:
        for version, bundle in (("1", ONE), ("2", TWO)):
            device.teach(version)
            device.until_runs(bundle)
        for path in device.directory.glob("taught/slots/*/head.tflite"):
            path.write_bytes(b"")
        assert device.updater.rollback() is None
        device.until_runs(BUILT_IN)
    with device:
        assert device.host.runs == BUILT_IN


def test_if_nothing_else_loads_the_version_stays(device: Device) -> None:
    with device:
        device.teach("1")
        device.until_runs(ONE)
        device.host.refuses = {BUILT_IN: Refused("gone")}
        assert device.updater.rollback() is None
        status = device.until(lambda status: status.taught.last_result and not status.taught.last_result.ok)
        assert device.host.runs == ONE
        assert "no other bundle can run: gone" in (status.taught.last_result.reason or "")


def test_when_all_is_forgotten_the_base_runs_and_nothing_stays_on_disk(device: Device) -> None:
    with device:
        for version, bundle in (("1", ONE), ("2", TWO)):
            device.teach(version)
            device.until_runs(bundle)
        device.updater.install_base()
        device.until(lambda status: device.host.runs == BUILT_IN and not slots(device))
        assert not device.status().taught.versions
    with device:
        assert device.host.history == [BUILT_IN]


def test_old_versions_are_removed(device: Device) -> None:
    with device:
        for version in ("1", "2", "3"):
            device.teach(version)
            device.until_runs(f"digits@0.4.0+taught.{version}")
        device.until(lambda _: slots(device) == {TWO, THREE})


@pytest.mark.parametrize("name", ["taught", "taught/slots", "taught/partial", "taught/trash", "taught/state.json"])
def test_nothing_is_written_through_a_link(device: Device, tmp_path: Path, name: str) -> None:
    foreign, path = tmp_path / "foreign", device.directory / name
    foreign.mkdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(foreign)
    with device:
        device.teach("1")
        device.until_runs(ONE)
        device.teach("2")
        device.until_runs(TWO)
    assert not list(foreign.iterdir())


def test_an_older_perceptd_reads_the_state_and_runs_the_base(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.publish("0.5.0")
    with device:
        device.install("0.5.0")
        device.teach("1", "0.5.0")
        device.until_runs("digits@0.5.0+taught.1")
    stored = json.loads((device.directory / "state.json").read_bytes())
    assert stored.keys() == KEYS_OF_0_5
    assert stored["active"].keys() == {"name", "version", "content", "memory_mb"}
    assert stored["active"]["version"] == "0.5.0" and "taught" not in json.dumps(stored)


def test_what_was_taught_on_another_bundle_is_not_accepted(device: Device) -> None:
    with device:
        refusal = device.updater.install_local(device.write_taught("1", "0.3.0"), "digits@0.3.0+taught.1")
        assert refusal == f"digits@0.3.0+taught.1 was taught on another bundle: {BUILT_IN} is active now"


def spoil_with_link(directory: Path) -> None:
    (directory / "head.tflite").unlink()
    (directory / "head.tflite").symlink_to("/etc/passwd")


def spoil_with_directory(directory: Path) -> None:
    (directory / "more").mkdir()


def spoil_with_name(directory: Path) -> None:
    (directory / "a b").write_bytes(b"")


def spoil_manifest(directory: Path) -> None:
    (directory / "bundle.yaml").unlink()


@pytest.mark.parametrize("spoil", [spoil_with_link, spoil_with_directory, spoil_with_name, spoil_manifest])
def test_a_directory_that_is_no_bundle_is_refused(device: Device, spoil: object) -> None:
    directory = device.write_taught("1")
    spoil(directory)  # type: ignore[operator]
    with device:
        assert device.updater.install_local(directory, ONE) is None
        status = device.until(lambda status: status.taught.last_result)
        assert status.taught.last_result is not None and status.taught.last_result.stage == "verify"
        assert device.host.history == [BUILT_IN] and not directory.exists()
        device.teach("2")
        device.until_runs(TWO)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another disk, where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield Path(directory)


def test_a_directory_on_another_disk_is_copied(device: Device, elsewhere: Path) -> None:
    moved = Path(shutil.move(str(device.write_taught("1")), str(elsewhere / "draft")))
    with device:
        assert device.updater.install_local(moved, ONE) is None
        device.until_runs(ONE)
        assert not moved.exists()


def test_without_room_the_version_waits_until_there_is_some(tmp_path: Path) -> None:
    device = Device(tmp_path, quota_mb=1.0)
    directory = device.write_taught("1")
    (directory / "image.tflite").write_bytes(bytes(2 * 1024 * 1024))
    with device:
        assert device.updater.install_local(directory, ONE) is None
        status = device.until(lambda status: status.taught.last_result)
        assert status.taught.last_result is not None
        assert status.taught.last_result.reason == "bundles would take 2 MB, models.quota_mb is 1"
        device.teach("2")
        device.until_runs(TWO)
        assert device.host.history == [BUILT_IN, TWO] and not directory.exists()


def test_a_lack_of_memory_puts_the_version_off_and_the_next_one_replaces_it(device: Device) -> None:
    device.runner.faults["selftest"] = [{"ok": False, "kind": "memory", "reason": "too little"}]
    with device:
        device.teach("1")
        status = device.until(lambda status: status.taught.last_result)
        assert status.taught.candidate is not None and status.taught.candidate.closed
        device.teach("2")
        device.until_runs(TWO)
        assert device.host.history == [BUILT_IN, TWO]


def test_what_was_put_off_is_tried_again_at_the_next_start(device: Device) -> None:
    for _ in range(5):  # a start is no sign against it
        # before the start, which tries again at once
        device.runner.faults["selftest"] = [{"ok": False, "kind": "memory", "reason": "too little"}]
        with device:
            if device.status().taught.candidate is None:
                device.teach("1")
            device.until(lambda _: not device.runner.faults["selftest"])
            device.until(lambda status: status.taught.candidate and status.taught.candidate.closed)
    with device:
        device.until_runs(ONE)


def test_the_third_start_within_probation_rolls_back(device: Device) -> None:
    device.host.does = {ONE: NOT_YET}
    with device:
        device.teach("1")
        device.until(lambda _: device.host.runs == ONE)
    for expected in (ONE, ONE, BUILT_IN, BUILT_IN):
        with device:
            assert device.host.runs == expected
    refused = device.status().taught.refused
    assert refused is not None and refused.reason == "the daemon was started 3 times during probation"


def test_a_damaged_version_is_replaced_by_the_one_before_and_then_the_base(device: Device) -> None:
    with device:
        for version, bundle in (("1", ONE), ("2", TWO)):
            device.teach(version)
            device.until_runs(bundle)
    for damaged, expected in ((TWO, ONE), (ONE, BUILT_IN)):
        for path in device.directory.glob("taught/slots/*/head.tflite"):
            if (path.parent / "bundle.yaml").read_text().strip() == damaged:
                path.write_bytes(b"")
        with device:
            assert device.host.runs == expected
            assert device.status().taught.refused is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"format":2}', b'{"versions":[{"base":"x"}]}'])
def test_with_a_damaged_state_the_base_runs(device: Device, content: bytes) -> None:
    with device:
        device.teach("1")
        device.until_runs(ONE)
    (device.directory / "taught/state.json").write_bytes(content)
    with device:
        assert device.host.runs == BUILT_IN
        device.teach("2")
        device.until_runs(TWO)
    with device:
        assert device.host.runs == TWO
        device.until(lambda _: slots(device) == {TWO}, "the lost version is removed")
