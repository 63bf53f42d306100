import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config.updates import ModelsConfig
from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout, Refused
from daemon.updates.probation import ProbationPolicy
from daemon.updates.state import BundleMetrics
from tests.fakes.bundle_host import FakeSwitch
from tests.updates.device import BUILT_IN, PATIENCE_S, Device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = Device(tmp_path)
    for version in ("0.5.0", "0.6.0"):
        made.publish(version)
    return made


def test_a_requested_version_is_installed_and_confirmed(device: Device) -> None:
    with device:
        state = device.install("0.5.0").state
        assert device.host.history == [BUILT_IN, "digits@0.5.0"]
        assert state.active is not None and state.active.id == "digits@0.5.0"
        assert state.previous is None and state.base == BUILT_IN
        assert state.last_result is not None and state.last_result.ok and state.last_result.stage == "probation"
        assert device.runner.ran == ["resolve", "download", "verify", "check", "selftest"]
    with device:
        assert device.host.history == ["digits@0.5.0"]


def test_each_stage_is_on_disk_before_it_begins(device: Device) -> None:
    seen = []
    path = device.directory / "state.json"
    device.runner.before = lambda step, beat: seen.append((step, f'"stage":"{step}"' in path.read_text()))
    device.host.before_commit = lambda: seen.append(("switch", '"active":{"name":"digits"' in path.read_text()))
    with device:
        device.install("0.5.0")
    assert seen == [(step, True) for step in ("resolve", "download", "verify", "check", "selftest", "switch")]


def test_a_check_finds_a_newer_version_and_installs_it_automatically(tmp_path: Path) -> None:
    device = Device(tmp_path, automatic=True)
    for version in ("0.3.0", "0.5.0", "0.10.0", "0.11.0"):
        device.publish(version)
    device.runner.needs = {"0.11.0": "9.0.0"}
    with device:
        assert device.updater.check() is None
        status = device.until(lambda status: status.state.last_result)
        assert device.host.runs == "digits@0.10.0"
        assert status.latest == "0.10.0"
        assert {offer.version for offer in status.state.available} == {"0.3.0", "0.5.0", "0.10.0", "0.11.0"}


def test_without_automatic_a_check_only_lists_releases(device: Device) -> None:
    with device:
        assert device.updater.check() is None
        status = device.until(lambda status: status.state.last_check)
        assert (status.latest, device.host.runs) == ("0.6.0", BUILT_IN)
        assert device.updater.install() is None
        device.until(lambda status: status.state.last_result)
        assert device.host.runs == "digits@0.6.0"


@pytest.mark.parametrize("step", ["resolve", "download", "verify", "check", "selftest"])
@pytest.mark.parametrize("kind", ["source", "trust", "disk", "memory", "clock"])
def test_a_temporary_problem_changes_and_refuses_nothing(device: Device, step: str, kind: str) -> None:
    device.runner.faults[step] = [{"ok": False, "kind": kind, "reason": "it is\nso"}]
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None
        assert (state.last_result.stage, state.last_result.reason, state.last_result.ok) == (step, "it is so", False)
        assert (state.active, state.refused, device.host.history) == (None, (), [BUILT_IN])
        assert device.install("0.5.0").state.active is not None


@pytest.mark.parametrize("step", ["resolve", "check", "selftest"])
def test_a_bad_bundle_is_not_installed_automatically_again(tmp_path: Path, step: str) -> None:
    device = Device(tmp_path, automatic=True)
    device.publish("0.5.0")
    device.runner.faults[step] = [{"ok": False, "kind": "bundle", "reason": "its labels are wrong"}]
    with device:
        device.updater.check()
        state = device.until(lambda status: status.state.refused).state
        assert [(entry.id, entry.stage, entry.reason) for entry in state.refused] == [
            ("digits@0.5.0", step, "its labels are wrong")
        ]
        before = state.last_check
        device.now_s += 1
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check != before)
        assert device.status().state.candidate is None and device.host.history == [BUILT_IN]
        state = device.install("0.5.0").state  # somebody insists
        assert state.active is not None and state.refused == ()


@pytest.mark.parametrize(
    ("step", "error", "reason", "refused"),
    [
        ("resolve", ChildTimeout(300.0), "did not finish within 300 s", False),
        ("download", ChildCrashed("SIGSEGV"), "its process was ended by SIGSEGV", False),
        ("check", ChildCrashed("SIGSEGV"), "its models crash the runtime: its process was ended by SIGSEGV", True),
        ("selftest", ChildTimeout(120.0), "did not finish within 120 s", True),
    ],
)
def test_a_child_that_fails_is_the_bundles_fault_where_it_reads_it(
    device: Device, step: str, error: ChildError, reason: str, refused: bool
) -> None:
    device.runner.faults[step] = [error]
    with device:
        state = device.install("0.5.0").state
    assert state.last_result is not None and state.last_result.reason == reason
    assert bool(state.refused) is refused


def test_a_bundle_that_does_not_load_is_refused_at_the_switch(device: Device) -> None:
    device.host.refuses = {"digits@0.5.0": Refused("its head is for 9 labels"), "digits@0.6.0": RuntimeError("what?")}
    with device:
        device.install("0.5.0")
        state = device.install("0.6.0").state
    assert [(entry.stage, entry.reason) for entry in state.refused] == [
        ("switch", "its head is for 9 labels"),
        ("switch", "cannot be loaded: RuntimeError: what?"),
    ]
    assert device.host.history == [BUILT_IN]


def test_a_damaged_slot_is_not_switched_to(device: Device) -> None:
    def damage(step: str, beat: object) -> None:
        if step == "selftest":
            path = next(device.directory.glob("slots/*/head.tflite"))
            path.write_bytes(path.read_bytes()[:-1] + b"!")

    device.runner.before = damage
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None and state.last_result.stage == "switch"
        assert state.last_result.reason is not None and "head.tflite is damaged" in state.last_result.reason
        assert (state.refused, device.host.history) == ((), [BUILT_IN])
        device.runner.before = lambda step, beat: None
        assert device.install("0.5.0").state.active is not None


@pytest.mark.parametrize(
    ("bundle_metrics", "reason"),
    [
        (BundleMetrics(moments=3, errors=1, p99_ms=10.0, mean_top_score=0.9), "1 error in 3 moments"),
        (BundleMetrics(moments=500, errors=0, p99_ms=151.0, mean_top_score=0.9), "p99 latency is 151 ms"),
        (BundleMetrics(moments=500, errors=0, p99_ms=90.0, mean_top_score=0.71), "the mean top score is 0.71"),
    ],
)
def test_a_bundle_that_works_worse_on_probation_is_rolled_back(
    device: Device, bundle_metrics: BundleMetrics, reason: str
) -> None:
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {"digits@0.6.0": bundle_metrics}
    with device:
        device.install("0.5.0")
        state = device.install("0.6.0").state
    assert device.host.history == [BUILT_IN, "digits@0.5.0", "digits@0.6.0", "digits@0.5.0"]
    assert state.active is not None and state.active.id == "digits@0.5.0"
    assert [(entry.id, entry.stage) for entry in state.refused] == [("digits@0.6.0", "probation")]
    assert state.refused[0].reason.startswith(reason)


def test_a_rollback_needs_no_disk(device: Device) -> None:
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=1, errors=1, p99_ms=None, mean_top_score=None)}
    blocker = device.directory / "state.new"
    device.host.after_commit = lambda: blocker.mkdir(exist_ok=True)  # from now on nothing can be written there
    with device:
        device.install("0.5.0")
        status = device.until(lambda status: status.trouble is not None)
        assert device.host.history == [BUILT_IN, "digits@0.5.0", BUILT_IN]
        assert status.trouble is not None and "state.json cannot be written" in status.trouble
        blocker.rmdir()
        device.until(lambda status: status.trouble is None)
    assert '"active":null' in (device.directory / "state.json").read_text()


def test_if_the_state_cannot_be_written_there_is_no_switch(device: Device) -> None:
    blocker = device.directory / "state.new"
    device.runner.before = lambda step, beat: blocker.mkdir() if step == "selftest" else None
    with device:
        status = device.install("0.5.0")
        assert device.host.history == [BUILT_IN]
        assert status.state.active is None and status.state.refused == ()
        assert status.state.last_result is not None and "cannot be written" in (status.state.last_result.reason or "")
        blocker.rmdir()


def test_rollback_goes_to_the_previous_and_then_to_the_built_in_bundle(device: Device) -> None:
    with device:
        assert device.updater.rollback() == f"{BUILT_IN} is the bundle of config.yaml: there is no bundle before it"
        device.install("0.5.0")
        device.install("0.6.0")
        for expected in ("digits@0.5.0", BUILT_IN):
            assert device.updater.rollback() is None
            device.until(lambda status, expected=expected: device.host.runs == expected)
        state = device.until(lambda status: len(status.state.refused) == 2).state
        assert state.active is None and state.base is None
        assert {entry.reason for entry in state.refused} == {"a rollback was requested"}


def test_a_rollback_to_a_damaged_bundle_goes_to_the_built_in_one(device: Device) -> None:
    with device:
        slot = device.install("0.5.0").state.active
        device.install("0.6.0")
        assert slot is not None
        (device.directory / "slots" / slot.content / "audio.tflite").unlink()
        assert device.updater.rollback() is None
        device.until(lambda status: status.state.active is None)
        assert device.host.runs == BUILT_IN


def test_if_no_other_bundle_loads_the_active_one_stays(device: Device) -> None:
    with device:
        device.install("0.5.0")
        device.host.refuses = {BUILT_IN: Refused("gone")}
        assert device.updater.rollback() is None
        state = device.until(lambda status: status.state.last_result and not status.state.last_result.ok).state
        assert state.active is not None and device.host.runs == "digits@0.5.0"
        assert state.last_result is not None and "no other bundle can run: gone" in (state.last_result.reason or "")


def test_a_request_that_is_not_accepted_gets_the_reason(device: Device) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(step: str, beat: object) -> None:
        if step == "download":
            reached.set()
            assert go_on.wait(PATIENCE_S)

    device.runner.before = hold
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        assert reached.wait(PATIENCE_S)
        reason = "digits@0.5.0 is being installed (download)"
        answers = [
            device.updater.check(),
            device.updater.install("digits", "0.6.0"),
            device.updater.install("x", "1.0.0"),
        ]
        assert answers == [reason] * 3
        assert device.updater.install("digits", "0.5.0") is None, "it is on its way"
        go_on.set()
        device.until(lambda status: status.state.active and not status.state.probation)
        assert device.updater.install("digits", "0.5.0") == "digits@0.5.0 is active"
        assert device.updater.install() == (
            "the latest check found no version of digits newer than digits@0.5.0 that this perceptd can run"
        )


def test_on_probation_it_can_only_be_rolled_back(device: Device) -> None:
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        device.until(lambda status: status.state.probation)
        reason = "digits@0.5.0 is on probation: until it ends, only a rollback is possible"
        assert [device.updater.check(), device.updater.install("digits", "0.6.0")] == [reason] * 2
        assert device.updater.rollback() is None
        device.until(lambda status: status.state.active is None)
        assert device.host.runs == BUILT_IN


def test_while_pinned_only_requested_versions_are_installed(tmp_path: Path) -> None:
    device = Device(tmp_path, automatic=True)
    device.publish("0.5.0")
    with device:
        assert device.updater.pin(True) is None
        device.until(lambda status: status.state.pinned)
        device.updater.check()
        device.until(lambda status: status.state.last_check)
        assert device.status().state.candidate is None
        assert device.install("0.5.0").state.active is not None


def test_a_pin_drops_an_automatic_installation(tmp_path: Path) -> None:
    device = Device(tmp_path, automatic=True)
    device.publish("0.5.0")

    def pin(step: str, beat: object) -> None:
        if step == "verify":
            device.updater.pin(True)

    device.runner.before = pin
    with device:
        device.updater.check()
        state = device.until(lambda status: status.state.last_result).state
        assert state.last_result is not None and state.last_result.reason == "the active bundle was pinned"
        assert (device.host.history, state.refused) == ([BUILT_IN], ())


def test_an_unfinished_installation_continues_at_the_next_start(device: Device) -> None:
    reached = threading.Event()

    def hold(step: str, beat: object) -> None:
        if step == "verify":
            reached.set()
            while True:
                threading.Event().wait(0.01)
                beat()  # type: ignore[operator]

    device.runner.before = hold
    for _ in range(5):  # a daemon that is stopped in order is no sign against the bundle
        with device:
            device.updater.install("digits", "0.5.0")
            assert reached.wait(PATIENCE_S)
            reached.clear()
    device.runner.before = lambda step, beat: None
    with device:
        device.until(lambda status: status.state.last_result)
        assert device.host.history == [BUILT_IN, "digits@0.5.0"]
    assert len(device.runner.copied) == len(set(device.runner.copied))


def test_a_clock_that_is_behind_is_waited_for(tmp_path: Path) -> None:
    device = Device(tmp_path, automatic=True)
    with device:
        assert device.updater.check() is None
        device.until(lambda status: status.state.seen_time)
    device.publish("0.5.0")
    set_s, device.now_s = device.now_s, 0.0
    with device:
        state = device.until(lambda status: status.state.last_check and not status.state.last_check.ok).state
        assert state.last_check is not None
        assert state.last_check.reason is not None
        assert state.last_check.reason.startswith("the clock says 1970-01-01 00:00, before 2026-09-21")
        assert device.updater.install("digits", "0.5.0") is None  # waits as well
        device.until(lambda status: status.state.candidate)
        assert (device.runner.ran, device.status().state.refused) == (["list"], ())
        device.now_s = set_s + 1
        device.until(lambda status: status.state.last_result)
        assert device.host.runs == "digits@0.5.0"


def test_a_bundle_without_room_is_not_fetched(tmp_path: Path) -> None:
    device = Device(tmp_path, quota_mb=1.0)
    device.publish("0.5.0")
    (device.runner.source / "digits/0.5.0/image.tflite").write_bytes(bytes(2 * 1024 * 1024))
    with device:
        state = device.install("0.5.0").state
    assert state.last_result is not None
    assert (state.last_result.stage, state.last_result.reason) == (
        "download",
        "bundles would take 2 MB, models.quota_mb is 1",
    )
    assert "download" not in device.runner.ran


def test_a_bundle_that_needs_more_memory_than_available_is_not_fetched(device: Device) -> None:
    device.runner.memory_mb = 1_000_000
    with device:
        state = device.install("0.5.0").state
    assert state.last_result is not None and (state.last_result.reason or "").startswith("needs 1000000 MB of memory")
    assert (state.refused, device.runner.ran) == ((), ["resolve"])


def test_only_the_active_and_the_previous_bundle_stay_on_disk(device: Device) -> None:
    device.publish("0.7.0")
    with device:
        for version in ("0.5.0", "0.6.0", "0.7.0"):
            state = device.install(version).state
    with device:
        device.until(lambda status: len(list((device.directory / "slots").iterdir())) == 2)
        assert {path.name for path in (device.directory / "slots").iterdir()} == state.required_contents


def test_an_intact_slot_is_not_fetched_again(device: Device) -> None:
    with device:
        device.install("0.5.0")
        device.install("0.6.0")
        device.runner.ran.clear()
        device.install("0.5.0")
        assert device.runner.ran == ["resolve", "check", "selftest"]
        assert device.host.runs == "digits@0.5.0"


def test_an_unexpected_exception_ends_the_installation_but_not_the_thread(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.runner.faults["resolve"] = [ZeroDivisionError("division by zero")]
    with device, caplog.at_level(logging.ERROR):
        state = device.install("0.5.0").state
        assert state.last_result is not None
        assert state.last_result.reason == "unexpected ZeroDivisionError: division by zero"
        assert "the updater has failed, and continues" in caplog.text
        assert device.install("0.5.0").state.active is not None


def test_the_heartbeat_is_marked_and_changes_are_reported(device: Device) -> None:
    with device:
        device.install("0.5.0")
        assert device.changes > 7
        assert device.updater.progress.snapshot().alive


def test_without_a_source_requests_are_refused(device: Device) -> None:
    device.config = ModelsConfig()
    with device:
        updater = device.updater
        answers = {updater.check(), updater.install("digits", "0.5.0"), updater.rollback(), updater.pin(True)}
        assert answers == {"models.source in config.yaml is not set"}


def test_a_rollback_drops_the_candidate(device: Device) -> None:
    reached = threading.Event()

    def hold(step: str, beat: Callable[[], None]) -> None:
        if step == "download":
            reached.set()
            while True:  # as a slow source would
                beat()
                time.sleep(0.01)

    device.runner.before = hold
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        assert reached.wait(PATIENCE_S)
        assert device.updater.rollback() is None
        state = device.until(lambda status: status.state.candidate is None).state
        assert state.last_result is not None and state.last_result.reason == "a rollback was requested"
        assert (state.refused, device.host.history) == ((), [BUILT_IN])


def test_a_bundle_loaded_while_the_daemon_stops_is_not_switched_to(device: Device) -> None:
    loading, go_on = threading.Event(), threading.Event()
    prepare = device.host.prepare

    def slowly(directory: Path, bundle: str) -> FakeSwitch:
        loading.set()
        assert go_on.wait(PATIENCE_S)
        return prepare(directory, bundle)

    device.host.prepare = slowly  # type: ignore[method-assign]
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        assert loading.wait(PATIENCE_S)
        assert not device.updater.close(0.05)
        go_on.set()
    assert device.host.history == [BUILT_IN]
    device.host.prepare = prepare  # type: ignore[method-assign]
    with device:
        device.until(lambda status: status.state.last_result and status.state.last_result.ok)


def test_without_moments_probation_goes_on(device: Device) -> None:
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        device.until(lambda status: status.state.probation)
        rounds = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > rounds + 2 * 10**9)
        assert device.status().state.probation is not None
        device.host.does = {}
        device.until(lambda status: status.state.last_result and status.state.last_result.ok)


def test_an_error_of_the_operating_system_on_probation_does_not_blame_the_bundle(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError(24, "Too many open files"), MemoryError()]

    def bundle_metrics() -> BundleMetrics:
        if device.host.runs != BUILT_IN and errors:
            raise errors.pop()
        return BundleMetrics(moments=500, errors=0, p99_ms=1.0, mean_top_score=0.9)

    device.host.bundle_metrics = bundle_metrics  # type: ignore[method-assign]
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        state = device.until(lambda status: status.state.last_result).state
        assert state.last_result is not None and state.last_result.ok
        assert (errors, state.refused, device.host.runs) == ([], (), "digits@0.5.0")


def test_an_unexpected_exception_on_probation_rolls_back(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    def bundle_metrics() -> BundleMetrics:
        if device.host.runs != BUILT_IN:
            raise ZeroDivisionError("division by zero")
        return BundleMetrics(moments=500, errors=0, p99_ms=1.0, mean_top_score=0.9)

    device.host.bundle_metrics = bundle_metrics  # type: ignore[method-assign]
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        state = device.until(lambda status: status.state.refused).state
        assert (state.refused[0].stage, state.active) == ("probation", None)
        assert device.host.runs == BUILT_IN


def test_while_the_state_is_lost_nothing_is_removed(device: Device) -> None:
    with device:
        device.install("0.5.0")
    slots = list((device.directory / "slots").iterdir())
    (device.directory / "state.json").write_bytes(b"?")
    with device:
        assert device.host.runs == BUILT_IN
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns)
        assert list((device.directory / "slots").iterdir()) == slots


def test_the_time_of_a_wrong_clock_is_not_stored(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.publish("0.5.0")
    with device:
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check and status.state.last_check.ok)
        set_s, device.now_s = device.now_s, 4e9  # the year 2096; a look at signed metadata finds it expired
        device.runner.faults["list"] = [{"ok": False, "kind": "trust", "reason": "expired"}]
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check and not status.state.last_check.ok)
        device.now_s = set_s
        device.install("0.5.0")
        assert device.host.runs == "digits@0.5.0"


def test_a_failed_request_is_not_repeated_automatically(device: Device) -> None:
    device.runner.faults["resolve"] = [{"ok": False, "kind": "source", "reason": "the source has no digits@0.5.0"}]
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None and not state.last_result.ok
        ran = len(device.runner.ran)
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns + 2 * 10**9)
        assert len(device.runner.ran) == ran
