"""Findings of the installed bundles."""

from pathlib import Path

import pytest

from daemon.doctor.updates import assess_store
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart, StoredBundle
from daemon.updates.state import BundleMetrics, Probation, Refusal, Slot, UpdateState
from daemon.updates.taught_state import TaughtSlot, TaughtState, TaughtVersion, WaitingBase

BUILT_IN = BuiltInBundle("digits@0.4.0", Path("/own"))
BEFORE = BundleMetrics(moments=500, errors=0, p99_ms=None, mean_top_score=None)


def slot(version: str) -> Slot:
    return Slot(name="digits", version=version, content="0" * 64, memory_mb=1)


def state(**changes: object) -> UpdateState:
    installed = {"base": BUILT_IN.id, "active": slot("0.6.0"), "previous": slot("0.5.0")}
    return UpdateState(**{**installed, **changes})


def dry_start_of(found: UpdateState, *damage: str | None) -> DryStart:
    slots = [one for one in (found.active, found.previous) if one is not None]
    damages = damage or (None,) * len(slots)
    return DryStart(found, tuple(StoredBundle(one, Path("/s"), why) for one, why in zip(slots, damages, strict=True)))


def refusal(bundle: str) -> Refusal:
    return Refusal(id=bundle, content=None, stage="selftest", reason="did not finish within 120 s", time=1.0)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (UpdateState(), "none installed: digits@0.4.0 of config.yaml is active"),
        (state(), "digits@0.6.0 is active, digits@0.5.0 was active before, both are intact"),
        (state(previous=None), "digits@0.6.0 is active, digits@0.4.0 was active before, both are intact"),
        (
            state(probation=Probation(since=1.0, starts=1, before=BEFORE)),
            "digits@0.6.0 is active on probation (starts so far: 1), digits@0.5.0 was active before, both are intact",
        ),
        (
            state(refused=(refusal("digits@0.5.9"), refusal("faces@9.0.0"))),
            "digits@0.6.0 is active, digits@0.5.0 was active before, both are intact",
        ),
    ],
)
def test_good_states(found: UpdateState, text: str) -> None:
    finding = assess_store(dry_start_of(found), BUILT_IN)
    assert (finding.check, finding.level, finding.found) == ("models on disk", "good", text)


def taught_start(**changes: object) -> DryStart:
    made = TaughtSlot(name="digits", version="0.4.0+taught.2", content="1" * 64, memory_mb=1)
    version = TaughtVersion(base=BUILT_IN.id, slot=made)
    return DryStart(
        UpdateState(),
        (StoredBundle(made, Path("/s"), None),),
        taught=TaughtState(versions=(version,)).model_copy(update=changes),
    )


def test_what_was_taught_is_reported() -> None:
    finding = assess_store(taught_start(), BUILT_IN)
    assert (finding.level, finding.found) == (
        "good",
        "digits@0.4.0+taught.2, which was taught here, is active; without it digits@0.4.0 runs; both are intact",
    )


def test_a_base_that_waits_for_what_was_taught_is_reported() -> None:
    waiting = WaitingBase(id="digits@0.5.0", reason="an example of kettle has no picture", since=1.0)
    finding = assess_store(taught_start(waiting=waiting), BUILT_IN)
    assert finding.level == "warning"
    assert finding.found.endswith("both are intact; digits@0.5.0 waits: an example of kettle has no picture")


def test_a_refused_newer_version_is_reported() -> None:
    refused = (refusal("digits@0.9.0"), refusal("digits@0.10.0"), refusal("digits@0.7.0"))
    finding = assess_store(dry_start_of(state(refused=refused)), BUILT_IN)
    assert finding.level == "warning"
    assert finding.found.endswith(
        "both are intact; has given up digits@0.10.0 in selftest: did not finish within 120 s"
    )
    assert finding.remedy is not None and finding.remedy.endswith("perceptd models install digits 0.10.0")


@pytest.mark.parametrize(
    ("damage", "found", "remedy"),
    [
        (("x is damaged", None), "digits@0.6.0: x is damaged", "restart perceptd, which then runs digits@0.5.0"),
        (("x is damaged", "y is damaged"), "digits@0.6.0: x", "restart perceptd, which then runs digits@0.4.0"),
        ((None, "y is damaged"), "digits@0.5.0: y is damaged", "no rollback to it is possible"),
    ],
)
def test_damaged_bundles_are_reported(damage: tuple[str | None, ...], found: str, remedy: str) -> None:
    finding = assess_store(dry_start_of(state(), *damage), BUILT_IN)
    assert finding.level == "warning"
    assert finding.found.startswith(found)
    assert (finding.remedy or "").startswith(remedy)


def test_an_unreadable_state_is_reported() -> None:
    finding = assess_store(DryStart(UpdateState(), problem="/s/state.json cannot be read"), BUILT_IN)
    assert finding.level == "warning"
    assert finding.found == "/s/state.json cannot be read; digits@0.4.0 of config.yaml is checked instead"
    assert finding.remedy is not None and "as the user of the service" in finding.remedy
