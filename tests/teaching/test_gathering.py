"""When background is taken: quickly at first, then spread over the day, and never near what somebody shows."""

import itertools

import pytest

from daemon.core.timing import NS_PER_S
from daemon.teaching.gathering import (
    HOURS,
    OF_HOUR,
    Gathering,
    follow_events,
    initial,
    is_due,
    settle,
    show,
    take,
)

START_NS = 5000 * NS_PER_S


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def run(state: Gathering, from_s: int, until_s: int, hour: int | None = None) -> tuple[Gathering, list[int]]:
    """Offer a moment in each second; return the state, and the seconds of what has settled."""
    settled: list[int] = []
    for second in range(from_s, until_s):
        of_day = (second // 3600) % HOURS if hour is None else hour
        if is_due(state, at(second), of_day):
            state = take(state, at(second), of_day)
        state, found = settle(state, at(second))
        settled += [(each - START_NS) // NS_PER_S for each in found]
    return state, settled


def test_the_first_thirty_come_every_ten_seconds_within_five_minutes() -> None:
    state, settled = run(initial(), 0, 330, hour=9)
    assert settled == list(range(0, 300, 10))
    assert state.by_hour[9] == 30


def test_then_one_a_minute_fills_the_hour_and_one_in_fifteen_minutes_renews_it() -> None:
    _state, settled = run(initial(), 0, 2 * 3600, hour=9)
    gaps = [after - before for before, after in itertools.pairwise(settled)]
    assert gaps == sorted(gaps)
    assert {gap: gaps.count(gap) for gap in (10, 60)} == {10: 29, 60: OF_HOUR - 30}
    assert set(gaps) == {10, 60, 900}


def test_two_days_fill_every_hour_and_a_place_that_is_known_goes_on_from_there() -> None:
    state, _ = run(initial(), 0, 2 * 24 * 3600)
    assert min(state.by_hour) >= OF_HOUR
    again = initial(state.by_hour)
    _, settled = run(again, 0, 3600)
    assert len(settled) == 4, "one in fifteen minutes"
    # an hour that is not known yet fills as quickly as before
    _, settled = run(initial((500,) + (0,) * 23), 0, 3600, hour=3)
    assert len(settled) == 60


@pytest.mark.parametrize("press_s", [100, 105, 109])
def test_nothing_within_thirty_seconds_of_a_press_becomes_background(press_s: int) -> None:
    state, before = run(initial(), 0, press_s, hour=9)
    # a press shows the four seconds before it and one after it
    state = show(state, at(press_s - 4), at(press_s + 1))
    _, after = run(state, press_s, 400, hour=9)
    settled = before + after
    assert not [second for second in settled if press_s - 34 <= second <= press_s + 30]
    assert set(range(0, press_s - 34, 10)) <= set(settled)
    assert press_s + 31 in settled


def test_a_press_long_ago_takes_out_what_was_taken_then() -> None:
    state, _ = run(initial(), 0, 25, hour=9)
    state = show(state, at(2), at(7))
    assert state.waiting == ()
    assert not is_due(state, at(36), 9)
    assert is_due(state, at(37), 9)


def test_an_earlier_press_does_not_end_the_quiet_of_a_later_one() -> None:
    state = show(show(initial(), at(50), at(55)), at(2), at(7))
    assert not is_due(state, at(84), 9)
    assert is_due(state, at(85), 9)


def test_nothing_while_an_event_is_open_or_just_around_it() -> None:
    state, before = run(initial(), 0, 33, hour=9)
    state = follow_events(state, True, at(33))
    state, during = run(state, 33, 90, hour=9)
    state = follow_events(follow_events(state, True, at(90)), False, at(90))
    _, after = run(state, 90, 140, hour=9)
    assert before + during + after == [0, 10, 20, 95, 105], "that of 30 s may have its beginning"


def test_of_lines_each_of_the_first_counts() -> None:
    state = initial(of_lines=True)
    for index in range(30):
        assert is_due(state, at(index / 100), 9)
        state = take(state, at(index / 100), 9)
    assert not is_due(state, at(0.4), 9)
    state, settled = settle(state, at(30.1))
    assert len(settled) == 11
    assert is_due(state, at(61), 9)


def test_what_settles_is_told_once() -> None:
    state = take(initial(), at(0), 23)
    state, settled = settle(state, at(30))
    assert settled == [at(0)]
    assert settle(state, at(31)) == (state, [])
    assert (state.by_hour[23], sum(state.by_hour)) == (1, 1)


def test_a_day_in_which_an_hour_comes_twice_or_never_is_gathered_as_others() -> None:
    """Of the hour that comes twice no more is taken than of any other, once it is full."""
    hours = [*range(24), 0, 1, 2, 2, *range(3, 24), 0, 1, *range(3, 24)]
    state, now_ns, taken = initial([OF_HOUR] * 24), 0, []
    for hour in hours:
        count = 0
        for _ in range(60):
            now_ns += 60 * NS_PER_S
            if is_due(state, now_ns, hour):
                state, count = take(state, now_ns, hour), count + 1
            state, _settled = settle(state, now_ns)
        taken.append(count)
    assert set(taken) == {4}
