"""A new base while labels are taught: they are fitted onto it before the switch, or it waits, or goes without them."""

import threading
import time
from pathlib import Path

import pytest

from daemon.core.errors import UpdateError
from daemon.node.bundle_updates import outcome_of
from daemon.node.fit_ports import Outcome
from daemon.node.models_payload import models_payload
from daemon.updates.policy import BuiltInBundle
from daemon.updates.probation import ProbationPolicy
from daemon.updates.state import BundleMetrics
from daemon.updates.steps import Derived
from tests.helpers.plain_bundles import write_bundle
from tests.updates.device import BUILT_IN, NOW_S, PATIENCE_S, Device

ONE, NEW, ON_NEW = "digits@0.4.0+taught.1", "digits@0.5.0", "digits@0.5.0+taught.2"
WAITS = UpdateError("waits", "an example of kettle has no picture")
NOT_YET = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)
FAILS = BundleMetrics(moments=3, errors=1, p99_ms=10.0, mean_top_score=0.9)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """One version is taught on the built-in bundle 0.4.0; the source has 0.5.0."""
    made = Device(tmp_path, automatic=True)
    made.publish("0.5.0")
    with made:
        made.teach("1")
        made.until_runs(ONE)
    return made


def derivable(device: Device) -> None:
    device.host.derives[NEW] = Derived(device.write_taught("2", "0.5.0"), ON_NEW)


def upgraded(device: Device) -> None:
    """The bundle of config.yaml is a newer one now."""
    device.built_in = BuiltInBundle(NEW, write_bundle(device.directory.parent / "own", "0.5.0"))


def waits(device: Device) -> str | None:
    payload = models_payload("n", "s", device.built_in, device.status(), NOW_S)
    return None if payload.candidate is None else payload.candidate.waits


def test_the_base_of_the_same_version_is_not_newer(device: Device) -> None:
    device.publish("0.4.0")
    for path in (device.runner.source / "digits/0.5.0").rglob("*"):
        path.unlink() if path.is_file() else None
    (device.runner.source / "digits/0.5.0/selftest").rmdir()
    (device.runner.source / "digits/0.5.0").rmdir()
    with device:
        assert device.updater.check() is None
        status = device.until(lambda status: status.state.last_check)
        assert (status.latest, status.state.candidate) == ("0.4.0+taught.1", None)
        assert device.updater.install("digits", "0.4.0") == (
            f"{BUILT_IN} is active, with the labels that were taught: {ONE}"
        )
        assert "no version of digits newer than digits@0.4.0" in (device.updater.install() or "")


def test_the_labels_are_fitted_onto_a_new_base_before_the_switch(device: Device) -> None:
    derivable(device)
    with device:
        assert device.updater.check() is None
        status = device.until_runs(ON_NEW)
        assert device.host.history == [ONE, ON_NEW], "the base never ran without them"
        assert status.state.active is not None and status.state.active.id == NEW
        assert status.latest == "0.5.0+taught.2"
        assert device.updater.rollback() is None
        status = device.until_runs(ONE)
        assert status.state.active is None and [each.id for each in status.state.refused] == [NEW]
    with device:
        assert device.host.runs == ONE


def test_a_new_base_that_works_worse_with_the_labels_is_rolled_back_and_refused(device: Device) -> None:
    derivable(device)
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {ON_NEW: FAILS}
    with device:
        device.updater.check()
        status = device.until(lambda status: status.state.refused)
        assert device.host.history == [ONE, ON_NEW, ONE]
        assert status.state.refused[0].id == NEW
        before = status.state.last_check
        device.now_s += 1
        device.updater.check()
        device.until(lambda status: status.state.last_check != before)
        assert device.status().state.candidate is None


def test_a_base_without_the_labels_goes_as_it_is_and_a_rollback_brings_them_back(device: Device) -> None:
    with device:
        device.updater.check()
        status = device.until_runs(NEW)
        assert device.host.derived == [NEW] and status.latest == "0.5.0"
    with device:
        assert device.host.runs == NEW
        assert device.updater.rollback() is None
        device.until_runs(ONE)


def test_a_base_that_waits_is_shown_and_tried_again_when_something_is_taught(device: Device) -> None:
    device.host.derives[NEW] = WAITS
    with device:
        device.updater.check()
        status = device.until(lambda status: status.taught.waiting)
        assert (device.host.runs, status.state.refused) == (ONE, ())
        assert waits(device) == "an example of kettle has no picture"
        rounds = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > rounds + 2 * 10**9)
        assert device.host.derived == [NEW], "it is not tried in every round"
        derivable(device)
        device.updater.derive_again()
        device.until_runs(ON_NEW)
        assert device.status().taught.waiting is None and waits(device) is None


def test_a_base_goes_on_when_all_is_forgotten(device: Device) -> None:
    device.host.derives[NEW] = WAITS
    with device:
        device.updater.check()
        device.until(lambda status: status.taught.waiting)
        del device.host.derives[NEW]
        device.updater.install_base()
        device.until_runs(NEW)


def test_labels_that_cannot_be_installed_on_a_new_built_in_bundle_are_not_fitted_in_every_round(device: Device) -> None:
    upgraded(device)
    derivable(device)
    device.runner.faults["selftest"] = [{"ok": False, "kind": "memory", "reason": "too little"}]
    with device:
        device.until(lambda status: status.taught.candidate and status.taught.candidate.closed)
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns + 2 * 10**9)
        assert device.host.derived == [NEW] and device.host.runs == ONE
    with device:
        device.until_runs(ON_NEW)


def test_a_base_that_waits_blocks_no_other_request(device: Device) -> None:
    device.host.derives[NEW] = WAITS
    with device:
        device.updater.check()
        device.until(lambda status: status.taught.waiting)
        device.publish("0.6.0")
        device.host.derives["digits@0.6.0"] = Derived(device.write_taught("2", "0.6.0"), "digits@0.6.0+taught.2")
        assert device.updater.check() is None
        device.until_runs("digits@0.6.0+taught.2")


def test_no_number_of_power_cuts_refuses_a_base_that_waits(device: Device) -> None:
    device.host.derives[NEW] = WAITS
    path = device.directory / "state.json"
    with device:
        device.updater.check()
        device.until(lambda status: status.taught.waiting)
        cut = path.read_bytes()
    for _ in range(5):
        path.write_bytes(cut)
        with device:
            assert device.status().state.candidate is not None


def test_a_base_waits_while_the_labels_on_it_do_not_pass_their_self_test(device: Device) -> None:
    derivable(device)
    device.runner.faults["selftest"] = [
        {"ok": True, "result": {"seconds": 0.0}},
        {"ok": False, "kind": "bundle", "reason": "it scores 0.1"},
    ]
    with device:
        device.updater.check()
        status = device.until(lambda status: status.taught.waiting)
        assert (status.state.refused, device.host.runs) == ((), ONE)
        assert waits(device) == f"{ON_NEW}: it scores 0.1"


def test_a_new_built_in_bundle_runs_once_the_labels_are_fitted_onto_it(device: Device) -> None:
    upgraded(device)
    device.host.derives[NEW] = WAITS
    with device:
        assert device.host.runs == ONE, "what was taught keeps running"
        device.until(lambda status: status.taught.waiting)
        assert waits(device) == "an example of kettle has no picture"
        derivable(device)  # it is tried once the next version runs
        device.teach("3")
        device.until_runs(ON_NEW)
        assert device.host.history[-2:] == ["digits@0.4.0+taught.3", ON_NEW]
    with device:
        assert device.host.history == [ON_NEW]
        assert device.updater.rollback() is None
        device.until_runs("digits@0.4.0+taught.3")
    with device:
        assert device.host.runs == "digits@0.4.0+taught.3"
        assert device.host.derived == [NEW] * len(device.host.derived)


def test_a_new_built_in_bundle_goes_as_it_is_where_nothing_is_to_be_kept(device: Device) -> None:
    upgraded(device)
    with device:
        device.until_runs(NEW)
    with device:
        assert device.host.history == [NEW]
        assert device.updater.rollback() is not None


def test_labels_that_fail_on_a_new_built_in_bundle_stay_on_the_old_one(device: Device) -> None:
    upgraded(device)
    derivable(device)
    device.policy = ProbationPolicy(max_duration_s=0.0)
    device.host.does = {ON_NEW: FAILS}
    with device:
        device.until(lambda status: status.taught.refused)
        rounds = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > rounds)
        assert device.host.history == [ONE, ON_NEW, ONE] and device.host.derived == [NEW]


def test_another_or_an_older_bundle_in_the_config_takes_over(device: Device) -> None:
    device.built_in = BuiltInBundle("digits@0.3.0", write_bundle(device.directory.parent / "own", "0.3.0"))
    with device:
        assert device.host.runs == "digits@0.3.0"
    words = write_bundle(device.directory.parent / "own", "0.1.0", name="words")
    device.built_in = BuiltInBundle("words@0.1.0", words)
    with device:
        assert device.host.runs == "words@0.1.0"


def test_a_refused_taught_version_does_not_block_a_new_base(device: Device) -> None:
    device.runner.faults["check"] = [{"ok": False, "kind": "bundle", "reason": "no"}]
    derivable(device)
    with device:
        device.teach("9")
        device.until(lambda status: status.taught.refused)
        device.updater.check()
        device.until_runs(ON_NEW)


def test_a_version_for_a_base_that_is_gone_is_left_and_told(device: Device) -> None:
    reached, go_on, two = threading.Event(), threading.Event(), "digits@0.4.0+taught.2"

    def hold(step: str, beat: object) -> None:
        if step == "check" and not reached.is_set():
            reached.set()
            assert go_on.wait(PATIENCE_S)

    device.runner.before = hold
    with device:
        device.updater.check()
        assert reached.wait(PATIENCE_S)
        directory = device.write_taught("2")
        assert device.updater.install_local(directory, two) is None
        assert outcome_of(device.status().taught, two, device.status().requested) == Outcome("pending")
        go_on.set()
        status = device.until(lambda status: status.taught.last_result and status.taught.last_result.id == two)
        device.until(lambda status: status.requested is None)
        reason = f"{NEW} is active now, and it was fitted onto another bundle"
        assert outcome_of(status.taught, two) == Outcome("void", reason)
        assert (directory.exists(), status.taught.refused) == (False, None)


def test_a_pin_keeps_the_base_and_not_what_is_taught(device: Device) -> None:
    with device:
        assert device.updater.pin(True) is None
        device.until(lambda status: status.state.pinned)
        device.updater.check()
        device.until(lambda status: status.state.last_check)
        device.teach("2")
        device.until_runs("digits@0.4.0+taught.2")


def test_a_download_makes_way_for_what_is_taught_and_goes_on(device: Device) -> None:
    reached = threading.Event()
    derivable(device)

    def slowly(step: str, beat: object) -> None:
        if step == "download" and device.host.runs == ONE:
            reached.set()
            while True:  # as a slow source would
                beat()  # type: ignore[operator]
                time.sleep(0.01)

    device.runner.before = slowly
    with device:
        assert device.updater.install("digits", "0.5.0") is None
        assert reached.wait(PATIENCE_S)
        device.teach("3")
        device.until(lambda _: device.host.runs == "digits@0.4.0+taught.3")
        device.until_runs(ON_NEW)
        assert device.status().state.refused == ()


def test_a_requested_bundle_does_not_wait_for_the_probation_of_what_was_taught(device: Device) -> None:
    derivable(device)
    three = "digits@0.4.0+taught.3"
    with device:
        device.host.does = {three: NOT_YET}
        device.teach("3")
        device.until(lambda _: device.host.runs == three)
        assert device.updater.install("digits", "0.5.0") is None
        device.until_runs(ON_NEW)


def test_an_automatic_update_waits_for_the_probation_of_what_was_taught(device: Device) -> None:
    derivable(device)
    three = "digits@0.4.0+taught.3"
    with device:
        device.host.does = {three: NOT_YET}
        device.teach("3")
        device.until(lambda _: device.host.runs == three)
        assert device.updater.check() is None
        device.until(lambda status: status.state.candidate)
        began_ns = device.updater.progress.snapshot().began_ns
        device.until(lambda _: device.updater.progress.snapshot().began_ns > began_ns)
        assert device.host.runs == three
        device.host.does = {}
        device.until_runs(ON_NEW)


def test_without_a_source_what_came_from_it_stays_on_disk_and_does_not_run(device: Device) -> None:
    derivable(device)
    with device:
        device.updater.check()
        device.until_runs(ON_NEW)
    source, device.config = device.config, device.config.model_copy(update={"source": None})
    with device:
        assert device.host.runs == ONE
    device.config = source
    derivable(device)
    with device:
        assert device.status().state.active is not None and device.host.runs == ONE
        device.until_runs(ON_NEW)


def test_where_nothing_may_be_taught_the_base_runs_and_nothing_is_removed(device: Device) -> None:
    device.teaches = False
    with device:
        assert device.host.runs == BUILT_IN
        device.until(lambda _: device.updater.progress.snapshot().began_ns)
    device.teaches = True
    with device:
        assert device.host.runs == ONE


def test_on_probation_of_a_base_something_can_be_taught(device: Device) -> None:
    derivable(device)
    with device:
        device.host.does = {ON_NEW: BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)}
        device.updater.check()
        device.until(lambda _: device.host.runs == ON_NEW)
        device.teach("3", "0.5.0")
        status = device.until_runs("digits@0.5.0+taught.3")
        (version,) = [each for each in status.taught.versions if each.base == NEW]
        assert version.previous is not None and version.previous.id == ON_NEW
        for expected in (ON_NEW, ONE):
            assert device.updater.rollback() is None
            device.until_runs(expected)
