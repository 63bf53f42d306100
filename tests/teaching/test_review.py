"""The device asks about moments that would teach it most, and never more often than once in five minutes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.teaching.records import Why
from daemon.teaching.review import FLIPS, PAUSE_S, SPOT_CHECK_S, Review, Seen, consider

NOW_S = 1_700_000_000.0
# a spot check was made an hour ago
CHECKED = Review(asked_s=NOW_S - 3600, spot_checked_s=NOW_S - 3600)


def seen(score: float, *, threshold: float = 0.8, recognised: bool | None = None, label: str = "bell") -> Seen:
    return Seen(label, "hall", score, threshold, score >= threshold if recognised is None else recognised)


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        (seen(0.79), "near_threshold"),
        (seen(0.82), "near_threshold"),
        (seen(0.86), "near_threshold"),
        (seen(0.99), None),
        (seen(0.5), None),
        (seen(0.97, threshold=0.98), "near_threshold"),
        (seen(0.9, threshold=0.98), None),
        (seen(0.0), None),
        (seen(1.0), None),
        (seen(1.0, threshold=1.0), "near_threshold"),
    ],
)
def test_moments_near_the_threshold(moment: Seen, why: Why | None) -> None:
    assert consider(CHECKED, moment, NOW_S)[1] == why


def test_one_spot_check_a_day() -> None:
    state, why = consider(Review(), seen(0.99), NOW_S)
    assert why == "spot_check"
    state, why = consider(state, seen(0.99), NOW_S + SPOT_CHECK_S - 1)
    assert why is None
    assert consider(state, seen(0.3), NOW_S + SPOT_CHECK_S)[1] is None, "nothing was recognised"
    assert consider(state, seen(0.99), NOW_S + SPOT_CHECK_S)[1] == "spot_check"


def after(times: list[float], labels: str = "bell") -> Why | None:
    state, why = CHECKED, None
    for time_s in times:
        state, why = consider(state, seen(0.99, label=labels), NOW_S + time_s)
    return why


def test_events_that_come_and_go() -> None:
    assert after([0, 20, 40]) == "flip_flop"
    assert after([0, 20]) is None
    assert after([0, 20, 90]) is None
    assert after([0, 50, 100, 110]) == "flip_flop"


def test_events_of_other_labels_do_not_count() -> None:
    state, _why = consider(CHECKED, seen(0.99, label="kettle"), NOW_S)
    state, _why = consider(state, seen(0.99), NOW_S + 1)
    assert consider(state, seen(0.99), NOW_S + 2)[1] is None


def test_a_clock_that_is_set_back_does_not_silence_the_device() -> None:
    state = Review(asked_s=NOW_S + 1e8, spot_checked_s=NOW_S + 1e8)
    assert consider(state, seen(0.99), NOW_S)[1] == "spot_check"


moments = st.builds(Seen, st.sampled_from("abc"), st.just("hall"), st.floats(0, 1), st.floats(0, 1), st.booleans())


@given(st.lists(st.tuples(moments, st.floats(0, 200)), max_size=60))
def test_whatever_happens_there_is_one_question_in_five_minutes(steps: list[tuple[Seen, float]]) -> None:
    state, now_s = Review(), NOW_S
    asked: list[tuple[float, Why]] = []
    for moment, later_s in steps:
        now_s += later_s
        state, why = consider(state, moment, now_s)
        if why is not None:
            asked.append((now_s, why))
        assert len(state.events) <= 3 and all(len(times) <= FLIPS for times in state.events.values())
    assert all(second[0] - first[0] >= PAUSE_S for first, second in pairwise(asked))
    assert [why for _time_s, why in asked].count("spot_check") <= 1 + (now_s - NOW_S) // SPOT_CHECK_S
