"""What doctor finds of the bundles that are kept on disk."""

from pathlib import Path

import pytest

from daemon.doctor.updates import assess_store
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart, StoredBundle
from daemon.updates.state import BundleMetrics, Probation, Refusal, Slot, UpdateState

OWN = BuiltInBundle("digits@0.4.0", Path("/own"))
BEFORE = BundleMetrics(moments=500, errors=0, p99_ms=None, mean_top_score=None)


def slot(version: str) -> Slot:
    return Slot(name="digits", version=version, content="0" * 64, memory_mb=1)


def state(**changes: object) -> UpdateState:
    installed = {"base": OWN.id, "active": slot("0.6.0"), "previous": slot("0.5.0")}
    return UpdateState(**{**installed, **changes})


def kept(found: UpdateState, *damage: str | None) -> DryStart:
    slots = [one for one in (found.active, found.previous) if one is not None]
    damages = damage or (None,) * len(slots)
    return DryStart(found, tuple(StoredBundle(one, Path("/s"), why) for one, why in zip(slots, damages, strict=True)))


def refusal(bundle: str) -> Refusal:
    return Refusal(id=bundle, content=None, stage="selftest", reason="did not finish within 120 s", time=1.0)


@pytest.mark.parametrize(
    ("found", "words"),
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
def test_what_is_good(found: UpdateState, words: str) -> None:
    finding = assess_store(kept(found), OWN)
    assert (finding.check, finding.level, finding.found) == ("models on disk", "good", words)


def test_a_newer_version_that_was_refused_is_told() -> None:
    refused = (refusal("digits@0.9.0"), refusal("digits@0.10.0"), refusal("digits@0.7.0"))
    finding = assess_store(kept(state(refused=refused)), OWN)
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
def test_what_is_not_whole_is_told(damage: tuple[str | None, ...], found: str, remedy: str) -> None:
    finding = assess_store(kept(state(), *damage), OWN)
    assert finding.level == "warning"
    assert finding.found.startswith(found)
    assert (finding.remedy or "").startswith(remedy)


def test_a_state_that_cannot_be_read_is_told() -> None:
    finding = assess_store(DryStart(UpdateState(), problem="/s/state.json cannot be read"), OWN)
    assert finding.level == "warning"
    assert finding.found == "/s/state.json cannot be read; digits@0.4.0 of config.yaml is checked instead"
    assert finding.remedy is not None and "as the user of the service" in finding.remedy
