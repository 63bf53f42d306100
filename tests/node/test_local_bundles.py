"""What the updater's state tells of a version that was fitted here, by table."""

import pytest

from daemon.node.bundle_updates import highest_number, outcome_of
from daemon.node.fit_ports import Outcome
from daemon.updates import taught_transitions as to
from daemon.updates.taught_state import NOTHING_TAUGHT, TaughtState
from tests.updates.test_taught_state import BEFORE, FILES

BASE = "digits@0.4.0"
ONE, TWO, THREE = (f"{BASE}+taught.{number}" for number in (1, 2, 3))


def begun(number: int, state: TaughtState = NOTHING_TAUGHT) -> TaughtState:
    return to.begin_install(state, BASE, FILES[number - 1], 0.0)


def active(number: int, state: TaughtState = NOTHING_TAUGHT) -> TaughtState:
    return to.switch(begun(number, state), BASE, BASE, BEFORE, 0.0)


@pytest.mark.parametrize(
    ("state", "expected", "number"),
    [
        (NOTHING_TAUGHT, Outcome("void"), 0),
        (begun(1), Outcome("pending"), 1),
        (to.put_off(begun(1), "too little memory", 0.0), Outcome("pending", "too little memory"), 1),
        (active(1), Outcome("active"), 1),
        (to.confirm(active(1), BASE, 0.0), Outcome("active"), 1),
        (to.confirm(active(2, to.confirm(active(1), BASE, 0.0)), BASE, 0.0), Outcome("void"), 2),
        (to.refuse(begun(1), "its self-test failed", 0.0), Outcome("failed", "its self-test failed"), 1),
        (to.drop(begun(1), "a rollback was requested", 0.0), Outcome("failed", "a rollback was requested"), 1),
        (to.reject(NOTHING_TAUGHT, ONE, "is no bundle", 0.0), Outcome("failed", "is no bundle"), 1),
        (to.revert(active(1), BASE, "probation", "slow", 0.0), Outcome("failed", "slow"), 1),
        (to.leave(begun(1), ONE, "words runs", 0.0), Outcome("void", "words runs"), 1),
        (to.leave(begun(3), ONE, "words runs", 0.0), Outcome("void", "words runs"), 3),
        (to.forget(active(1)), Outcome("void"), 0),
    ],
)
def test_what_has_become_of_a_version_and_the_highest_number(
    state: TaughtState, expected: Outcome, number: int
) -> None:
    assert outcome_of(state, ONE) == expected
    assert highest_number(state) == number


def test_a_version_that_is_requested_waits_and_its_number_is_taken() -> None:
    assert outcome_of(NOTHING_TAUGHT, ONE, ONE) == Outcome("pending")
    assert outcome_of(to.reject(NOTHING_TAUGHT, ONE, "the disk is full", 0.0), ONE, ONE).reason == "the disk is full"
    assert outcome_of(NOTHING_TAUGHT, ONE, TWO) == Outcome("void")
    assert highest_number(active(1), THREE) == 3
