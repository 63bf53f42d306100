from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.updates.policy import (
    CLOCK_SLACK_S,
    FIRST_RETRY_S,
    BuiltInBundle,
    Schedule,
    active_id,
    apply_config,
    automatic_offer,
    clock_problem,
    newer_offer,
    newest_offer,
)
from daemon.updates.state import Offer, Refusal, Slot, UpdateState

BUILT_IN = BuiltInBundle("digits@0.4.0", Path("/x"))
ACTIVE = Slot(name="digits", version="0.5.0", content="0" * 64, memory_mb=1)


def offers(*ids: str, needs: str = "0.1.0") -> tuple[Offer, ...]:
    parts = [bundle.split("@") for bundle in ids]
    return tuple(Offer(name=n, version=v, needs_perceptd=needs, memory_mb=1, size=1) for n, v in parts)


def refusal(bundle: str) -> Refusal:
    return Refusal(id=bundle, content=None, stage="check", reason="", time=0.0)


@pytest.mark.parametrize(
    ("state", "known", "tried"),
    [
        (UpdateState(), None, None),
        (UpdateState(available=offers("digits@0.4.0", "digits@0.3.9", "words@9.0.0")), None, None),
        (UpdateState(available=offers("digits@0.9.0", "digits@0.10.0")), "digits@0.10.0", "digits@0.10.0"),
        (UpdateState(available=offers("digits@0.9.0", needs="0.1.1")), None, None),
        (UpdateState(available=offers("digits@0.5.0"), active=ACTIVE, base=BUILT_IN.id), None, None),
        (UpdateState(available=offers("digits@0.5.0"), pinned=True), "digits@0.5.0", None),
        (
            UpdateState(available=offers("digits@0.5.0", "digits@0.6.0"), refused=(refusal("digits@0.6.0"),)),
            "digits@0.6.0",
            None,
        ),
        (
            UpdateState(available=offers("digits@0.7.0"), refused=(refusal("digits@0.6.0"), refusal("words@9.0.0"))),
            "digits@0.7.0",
            "digits@0.7.0",
        ),
    ],
)
def test_the_newest_release_and_the_one_to_install_automatically(
    state: UpdateState, known: str | None, tried: str | None
) -> None:
    found = [newer_offer(state, BUILT_IN, "0.1.0"), automatic_offer(state, BUILT_IN, "0.1.0")]
    assert [offer and offer.id for offer in found] == [known, tried]


@pytest.mark.parametrize(
    ("built_in", "base", "runs", "remarked"),
    [
        ("digits@0.4.0", "digits@0.4.0", "digits@0.5.0", False),
        ("digits@0.4.1", "digits@0.4.0", "digits@0.5.0", False),  # the program was upgraded: what is newer stays
        ("digits@0.5.0", "digits@0.4.0", "digits@0.5.0", True),
        ("digits@0.6.0", "digits@0.4.0", "digits@0.6.0", True),
        ("words@0.1.0", "digits@0.4.0", "words@0.1.0", True),
    ],
)
def test_another_bundle_in_the_config_takes_over_unless_it_is_older(
    built_in: str, base: str, runs: str, remarked: bool
) -> None:
    mine = BuiltInBundle(built_in, Path("/x"))
    state, remark = apply_config(UpdateState(active=ACTIVE, base=base), mine)
    assert (active_id(state, mine), remark is not None) == (runs, remarked)
    assert apply_config(state, mine) == (state, None)


@pytest.mark.parametrize(
    ("now_s", "seen_s", "behind"),
    [(0.0, 0.0, False), (0.0, CLOCK_SLACK_S, False), (0.0, CLOCK_SLACK_S + 1, True), (9.0, 1.0, False)],
)
def test_the_clock(now_s: float, seen_s: float, behind: bool) -> None:
    assert (clock_problem(now_s, seen_s) is not None) is behind


@given(st.floats(36, 1e7), st.integers(1, 50))
def test_checks_are_at_random_times_within_bounds(period_s: float, failures: int) -> None:
    schedule = Schedule(period_s, 0.0)
    first_s = min(period_s, 3600.0)
    assert schedule.is_due(first_s) and not schedule.is_due(min(FIRST_RETRY_S, first_s) - 0.1)
    for _ in range(failures):
        schedule.fail(0.0)
        assert schedule.is_due(period_s) and not schedule.is_due(min(FIRST_RETRY_S, period_s) / 2 - 0.1)
    schedule.succeed(0.0)
    assert schedule.is_due(1.25 * period_s) and not schedule.is_due(0.74 * period_s)
    schedule.fail(0.0)
    assert schedule.is_due(FIRST_RETRY_S)
    schedule.succeed(0.0)
    schedule.request(1.0)
    assert schedule.is_due(1.0)


@pytest.mark.parametrize(
    ("name", "needs", "found"),
    [
        ("words", "0.1.0", "words@0.2.0"),
        ("words", "0.1.1", None),
        ("digits", "0.1.0", None),
        ("birds", "0.1.0", None),
    ],
)
def test_the_latest_of_another_name_may_have_any_version(name: str, needs: str, found: str | None) -> None:
    state = UpdateState(available=offers("words@0.1.0", "words@0.2.0", "digits@0.3.0", needs=needs))
    offer = newest_offer(state, BUILT_IN, name, "0.1.0")
    assert (offer and offer.id) == found
