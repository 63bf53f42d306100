"""The states of a group: votes, how long they must agree, and what ends a state."""

from collections.abc import Sequence

import numpy as np
import pytest

from daemon.core.timing import NS_PER_S
from daemon.fusion.states import HOLD_NS, StateChange, StateGroup, StatesState, add_scores, end_all

# labels 0 and 1 belong to something else
GARAGE = StateGroup("garage", ["open", "half", "closed"], [2, 3, 4], [0.6, 0.6, 0.6], [0.4, 0.4, 0.4])
STEP_NS = NS_PER_S // 2

OPEN, HALF, CLOSED, UNSURE = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.3, 0.3, 0.3)


def play(moments: Sequence[tuple[float, float, float] | None], step_ns: int = STEP_NS) -> list[tuple[int, str | None]]:
    """Return after which moments the state changes, and to what."""
    state, found = StatesState(), []
    for index, scores in enumerate(moments):
        row = None if scores is None else np.array([0.99, 0.99, *scores], np.float32)
        state, changes = add_scores(state, row, index * step_ns, [GARAGE])
        found += [(index, change.state) for change in changes]
    return found


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([], []),
        ([OPEN, OPEN], []),
        ([OPEN, OPEN, OPEN], [(2, "open")]),
        ([UNSURE, UNSURE, UNSURE], [(2, None)]),
        ([OPEN] * 5 + [CLOSED] * 3, [(2, "open"), (7, "closed")]),
        # somebody passes: fewer moments than needed change nothing
        ([OPEN] * 5 + [CLOSED] * 2 + [OPEN] * 5, [(2, "open")]),
        ([OPEN, CLOSED] * 10, []),
        # the camera is covered, or gives nothing any more
        ([OPEN] * 5 + [UNSURE] * 3, [(2, "open"), (7, None)]),
        ([OPEN] * 5 + [None] * 3, [(2, "open"), (7, None)]),
        # a state holds down to the lower threshold
        ([OPEN] * 3 + [(0.5, 0.1, 0.1)] * 6, [(2, "open")]),
        ([(0.5, 0.1, 0.1)] * 6, [(2, None)]),
        ([OPEN] * 3 + [(0.5, 0.55, 0.1)] * 6, [(2, "open"), (5, None)]),
        ([OPEN] * 3 + [(0.7, 0.8, 0.1)] * 6, [(2, "open"), (5, "half")]),
    ],
)
def test_a_state_follows_the_votes(moments: Sequence[tuple[float, float, float]], expected: object) -> None:
    assert play(moments) == expected


def test_many_moments_within_a_second_are_not_enough() -> None:
    step_ns = HOLD_NS // 10
    assert play([OPEN] * 10, step_ns) == []
    assert play([OPEN] * 11, step_ns) == [(10, "open")]


def test_a_change_tells_its_score_and_since_when() -> None:
    state = StatesState()
    for index in range(8):
        row = np.array([0, 0, *(CLOSED if index < 4 else HALF)], np.float32)
        state, changes = add_scores(state, row, index * STEP_NS, [GARAGE])
    assert changes == []
    assert state.decided["garage"] == StateChange("garage", "half", pytest.approx(0.9), 4 * STEP_NS)


def test_groups_do_not_disturb_each_other() -> None:
    lamp = StateGroup("lamp", ["on", "off"], [0, 1], [0.5, 0.5], [0.4, 0.4])
    state, found = StatesState(), []
    for index in range(6):
        row = np.array([0.9, 0.1, *(OPEN if index % 2 else CLOSED)], np.float32)
        state, changes = add_scores(state, row, index * STEP_NS, [GARAGE, lamp])
        found += changes
    assert [(change.group, change.state) for change in found] == [("lamp", "on")]


def test_the_end_makes_known_states_unknown() -> None:
    state = StatesState()
    for index in range(3):
        state, _ = add_scores(state, np.array([0, 0, *OPEN], np.float32), index * STEP_NS, [GARAGE])
    state, changes = end_all(state, 9 * STEP_NS)
    assert changes == [StateChange("garage", None, None, 9 * STEP_NS)]
    assert end_all(state, 10 * STEP_NS) == (StatesState(), [])
