"""The state machine of both gates."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.pipeline.gates import Hysteresis


def test_it_opens_at_one_measure_and_closes_at_another_after_a_while() -> None:
    gate = Hysteresis(open_at=9.0, close_at=6.0, hold_ns=30)
    measures = [
        (0, 8.9, False),
        (10, 9.0, True),
        (20, 6.0, True),
        (30, 5.9, True),
        (49, 0.0, True),
        (50, 0.0, False),
        (60, 8.9, False),
    ]
    assert [gate.update(measure, at_ns) for at_ns, measure, _ in measures] == [is_open for _, _, is_open in measures]


def test_it_is_closed_after_a_long_time_without_a_measure() -> None:
    gate = Hysteresis(1.0, 1.0, 30)
    assert gate.update(1.0, 0)
    assert not gate.update(0.5, 10_000)


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 12)), max_size=60))
def test_it_is_open_exactly_while_something_was_active_within_the_hold(steps: list[tuple[int, float]]) -> None:
    gate, at_ns, active_ns, was_open = Hysteresis(9.0, 6.0, 100), 0, -1000, False
    for step_ns, measure in steps:
        at_ns += step_ns
        if measure >= (6.0 if was_open else 9.0):
            active_ns = at_ns
        was_open = gate.update(measure, at_ns)
        assert was_open == (at_ns - active_ns < 100)
