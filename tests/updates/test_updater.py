import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config.updates import ModelsConfig
from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout, Refused
from daemon.updates.policy import ProbationPolicy
from daemon.updates.state import BundleMetrics
from tests.updates.device import OWN, PATIENCE_S, Device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = Device(tmp_path)
    for version in ("0.5.0", "0.6.0"):
        made.publish(version)
    return made


def test_a_version_somebody_asks_for_is_installed_and_confirmed(device: Device) -> None:
    with device:
        state = device.install("0.5.0").state
        assert device.host.history == [OWN, "digits@0.5.0"]
        assert state.active is not None and state.active.id == "digits@0.5.0"
        assert state.previous is None and state.base == OWN
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


def test_a_look_finds_what_is_newer_and_installs_it_by_itself(tmp_path: Path) -> None:
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


def test_without_automatic_a_look_only_says_what_there_is(device: Device) -> None:
    with device:
        assert device.updater.check() is None
        status = device.until(lambda status: status.state.last_check)
        assert (status.latest, device.host.runs) == ("0.6.0", OWN)
        assert device.updater.install() is None
        device.until(lambda status: status.state.last_result)
        assert device.host.runs == "digits@0.6.0"


@pytest.mark.parametrize("step", ["resolve", "download", "verify", "check", "selftest"])
@pytest.mark.parametrize("kind", ["source", "trust", "disk", "memory", "clock"])
def test_trouble_that_may_pass_changes_nothing_and_refuses_nothing(device: Device, step: str, kind: str) -> None:
    device.runner.faults[step] = [{"ok": False, "kind": kind, "reason": "it is\nso"}]
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None
        assert (state.last_result.stage, state.last_result.reason, state.last_result.ok) == (step, "it is so", False)
        assert (state.active, state.refused, device.host.history) == (None, (), [OWN])
        assert device.install("0.5.0").state.active is not None


@pytest.mark.parametrize("step", ["resolve", "check", "selftest"])
def test_a_bundle_that_is_no_good_is_not_tried_again_by_itself(tmp_path: Path, step: str) -> None:
    device = Device(tmp_path, automatic=True)
    device.publish("0.5.0")
    device.runner.faults[step] = [{"ok": False, "kind": "bundle", "reason": "its labels are wrong"}]
    with device:
        device.updater.check()
        state = device.until(lambda status: status.state.refused).state
        assert [(entry.id, entry.stage, entry.reason) for entry in state.refused] == [
            ("digits@0.5.0", step, "its labels are wrong")
        ]
        told = state.last_check
        device.now_s += 1
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check != told)
        assert device.status().state.candidate is None and device.host.history == [OWN]
        state = device.install("0.5.0").state  # somebody insists
        assert state.active is not None and state.refused == ()


@pytest.mark.parametrize(
    ("step", "error", "reason", "refused"),
    [
        ("resolve", ChildTimeout(300.0), "not done within 300 s", False),
        ("download", ChildCrashed("SIGSEGV"), "its process was ended by SIGSEGV", False),
        ("check", ChildCrashed("SIGSEGV"), "its models crash the runtime: its process was ended by SIGSEGV", True),
        ("selftest", ChildTimeout(120.0), "is not done within 120 s", True),
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
    assert device.host.history == [OWN]


def test_a_slot_that_was_damaged_is_not_switched_to(device: Device) -> None:
    def damage(step: str, beat: object) -> None:
        if step == "selftest":
            path = next(device.directory.glob("slots/*/head.tflite"))
            path.write_bytes(path.read_bytes()[:-1] + b"!")

    device.runner.before = damage
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None and state.last_result.stage == "switch"
        assert state.last_result.reason is not None and "head.tflite is damaged" in state.last_result.reason
        assert (state.refused, device.host.history) == ((), [OWN])
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
def test_one_that_does_worse_on_probation_makes_way(device: Device, bundle_metrics: BundleMetrics, reason: str) -> None:
    device.rules = ProbationPolicy(longest_s=0.0)
    device.host.does = {"digits@0.6.0": bundle_metrics}
    with device:
        device.install("0.5.0")
        state = device.install("0.6.0").state
    assert device.host.history == [OWN, "digits@0.5.0", "digits@0.6.0", "digits@0.5.0"]
    assert state.active is not None and state.active.id == "digits@0.5.0"
    assert [(entry.id, entry.stage) for entry in state.refused] == [("digits@0.6.0", "probation")]
    assert state.refused[0].reason.startswith(reason)


def test_going_back_needs_no_disk(device: Device) -> None:
    device.rules = ProbationPolicy(longest_s=0.0)
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=1, errors=1, p99_ms=None, mean_top_score=None)}
    blocker = device.directory / "state.new"
    device.host.after_commit = lambda: blocker.mkdir(exist_ok=True)  # from now on nothing can be written there
    with device:
        device.install("0.5.0")
        status = device.until(lambda status: status.trouble is not None)
        assert device.host.history == [OWN, "digits@0.5.0", OWN]
        assert status.trouble is not None and "state.json cannot be written" in status.trouble
        blocker.rmdir()
        device.until(lambda status: status.trouble is None)
    assert '"active":null' in (device.directory / "state.json").read_text()


def test_where_the_switch_cannot_be_written_down_there_is_none(device: Device) -> None:
    blocker = device.directory / "state.new"
    device.runner.before = lambda step, beat: blocker.mkdir() if step == "selftest" else None
    with device:
        status = device.install("0.5.0")
        assert device.host.history == [OWN]
        assert status.state.active is None and status.state.refused == ()
        assert status.state.last_result is not None and "cannot be written" in (status.state.last_result.reason or "")
        blocker.rmdir()


def test_rollback_goes_one_back_and_then_to_the_configs_own(device: Device) -> None:
    with device:
        assert device.updater.rollback() == f"{OWN} is the config's own bundle: there is none before it"
        device.install("0.5.0")
        device.install("0.6.0")
        for expected in ("digits@0.5.0", OWN):
            assert device.updater.rollback() is None
            device.until(lambda status, expected=expected: device.host.runs == expected)
        state = device.until(lambda status: len(status.state.refused) == 2).state
        assert state.active is None and state.base is None
        assert {entry.reason for entry in state.refused} == {"somebody asked for the one before it"}


def test_a_rollback_to_what_is_damaged_goes_on_to_the_configs_own(device: Device) -> None:
    with device:
        slot = device.install("0.5.0").state.active
        device.install("0.6.0")
        assert slot is not None
        (device.directory / "slots" / slot.content / "audio.tflite").unlink()
        assert device.updater.rollback() is None
        device.until(lambda status: status.state.active is None)
        assert device.host.runs == OWN


def test_where_there_is_nothing_to_go_back_to_the_bundle_stays(device: Device) -> None:
    with device:
        device.install("0.5.0")
        device.host.refuses = {OWN: Refused("gone")}
        assert device.updater.rollback() is None
        state = device.until(lambda status: status.state.last_result and not status.state.last_result.ok).state
        assert state.active is not None and device.host.runs == "digits@0.5.0"
        assert state.last_result is not None and "no other to go back to: gone" in (state.last_result.reason or "")


def test_an_order_that_cannot_be_taken_is_answered_with_the_reason(device: Device) -> None:
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
            "no version of digits is known that is newer than digits@0.5.0 and can be run"
        )


def test_on_probation_it_can_only_be_rolled_back(device: Device) -> None:
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        device.until(lambda status: status.state.probation)
        reason = "digits@0.5.0 is on probation: it can be rolled back, or replaced when that is over"
        assert [device.updater.check(), device.updater.install("digits", "0.6.0")] == [reason] * 2
        assert device.updater.rollback() is None
        device.until(lambda status: status.state.active is None)
        assert device.host.runs == OWN


def test_pinned_nothing_comes_by_itself_but_what_is_asked_for(tmp_path: Path) -> None:
    device = Device(tmp_path, automatic=True)
    device.publish("0.5.0")
    with device:
        assert device.updater.pin(True) is None
        device.until(lambda status: status.state.pinned)
        device.updater.check()
        device.until(lambda status: status.state.last_check)
        assert device.status().state.candidate is None
        assert device.install("0.5.0").state.active is not None


def test_a_pin_ends_an_install_that_nobody_asked_for(tmp_path: Path) -> None:
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
        assert (device.host.history, state.refused) == ([OWN], ())


def test_what_the_end_of_the_daemon_cut_off_goes_on_at_the_next_start(device: Device) -> None:
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
        assert device.host.history == [OWN, "digits@0.5.0"]
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
        assert (device.runner.ran, device.status().state.refused) == (["look"], ())
        device.now_s = set_s + 1
        device.until(lambda status: status.state.last_result)
        assert device.host.runs == "digits@0.5.0"


def test_what_finds_no_room_is_not_fetched(tmp_path: Path) -> None:
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


def test_what_needs_more_memory_than_there_is_is_not_fetched(device: Device) -> None:
    device.runner.memory_mb = 1_000_000
    with device:
        state = device.install("0.5.0").state
    assert state.last_result is not None and (state.last_result.reason or "").startswith("needs 1000000 MB of memory")
    assert (state.refused, device.runner.ran) == ((), ["resolve"])


def test_only_what_is_active_and_before_it_stays_in_the_store(device: Device) -> None:
    device.publish("0.7.0")
    with device:
        for version in ("0.5.0", "0.6.0", "0.7.0"):
            state = device.install(version).state
    with device:
        device.until(lambda status: len(list((device.directory / "slots").iterdir())) == 2)
        assert {path.name for path in (device.directory / "slots").iterdir()} == state.kept


def test_what_is_whole_in_the_store_is_not_fetched_again(device: Device) -> None:
    with device:
        device.install("0.5.0")
        device.install("0.6.0")
        device.runner.ran.clear()
        device.install("0.5.0")
        assert device.runner.ran == ["resolve", "check", "selftest"]
        assert device.host.runs == "digits@0.5.0"


def test_what_nobody_foresaw_ends_the_try_and_not_the_thread(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    device.runner.faults["resolve"] = [ZeroDivisionError("division by zero")]
    with device, caplog.at_level(logging.ERROR):
        state = device.install("0.5.0").state
        assert state.last_result is not None
        assert state.last_result.reason == "unforeseen: ZeroDivisionError: division by zero"
        assert "the updater failed, and goes on" in caplog.text
        assert device.install("0.5.0").state.active is not None


def test_it_marks_its_rounds_and_tells_of_changes(device: Device) -> None:
    with device:
        device.install("0.5.0")
        assert device.changes > 7
        assert device.updater.progress.snapshot().alive


def test_without_a_source_there_is_no_updater(device: Device) -> None:
    device.config = ModelsConfig()
    with pytest.raises(ValueError, match=r"models\.source is not set"), device:
        pass


def test_asking_to_go_back_gives_up_what_is_being_installed(device: Device) -> None:
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
        assert state.last_result is not None and state.last_result.reason == "somebody asked to go back"
        assert (state.refused, device.host.history) == ((), [OWN])


def test_a_bundle_that_is_loaded_when_the_daemon_stops_does_not_take_over_any_more(device: Device) -> None:
    loading, go_on = threading.Event(), threading.Event()
    prepare = device.host.prepare

    def slowly(directory: Path, bundle: str) -> Callable[[], None]:
        loading.set()
        assert go_on.wait(PATIENCE_S)
        return prepare(directory, bundle)

    device.host.prepare = slowly  # type: ignore[method-assign]
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        assert loading.wait(PATIENCE_S)
        assert not device.updater.close(0.05)
        go_on.set()
    assert device.host.history == [OWN]
    device.host.prepare = prepare  # type: ignore[method-assign]
    with device:
        device.until(lambda status: status.state.last_result and status.state.last_result.ok)


def test_of_silence_nothing_is_said(device: Device) -> None:
    device.rules = ProbationPolicy(longest_s=0.0)
    device.host.does = {"digits@0.5.0": BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        device.until(lambda status: status.state.probation)
        rounds = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > rounds + 2 * 10**9)
        assert device.status().state.probation is not None
        device.host.does = {}
        device.until(lambda status: status.state.last_result and status.state.last_result.ok)


def test_what_nobody_foresaw_on_probation_goes_back(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    def bundle_metrics() -> BundleMetrics:
        if device.host.runs != OWN:
            raise ZeroDivisionError("division by zero")
        return BundleMetrics(moments=500, errors=0, p99_ms=1.0, mean_top_score=0.9)

    device.host.bundle_metrics = bundle_metrics  # type: ignore[method-assign]
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        state = device.until(lambda status: status.state.refused).state
        assert (state.refused[0].stage, state.active) == ("probation", None)
        assert device.host.runs == OWN


def test_while_it_is_unknown_what_was_active_nothing_is_removed(device: Device) -> None:
    with device:
        device.install("0.5.0")
    slots = list((device.directory / "slots").iterdir())
    (device.directory / "state.json").write_bytes(b"?")
    with device:
        assert device.host.runs == OWN
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns)
        assert list((device.directory / "slots").iterdir()) == slots


def test_a_wrong_clock_is_not_remembered(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.publish("0.5.0")
    with device:
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check and status.state.last_check.ok)
        set_s, device.now_s = device.now_s, 4e9  # the year 2096; a look at signed metadata finds it expired
        device.runner.faults["look"] = [{"ok": False, "kind": "trust", "reason": "expired"}]
        assert device.updater.check() is None
        device.until(lambda status: status.state.last_check and not status.state.last_check.ok)
        device.now_s = set_s
        device.install("0.5.0")
        assert device.host.runs == "digits@0.5.0"


def test_what_somebody_asks_for_in_vain_is_not_tried_again_in_secret(device: Device) -> None:
    device.runner.faults["resolve"] = [{"ok": False, "kind": "source", "reason": "the source has no digits@0.5.0"}]
    with device:
        state = device.install("0.5.0").state
        assert state.last_result is not None and not state.last_result.ok
        ran = len(device.runner.ran)
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns + 2 * 10**9)
        assert len(device.runner.ran) == ran
