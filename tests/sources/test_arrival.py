from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import NS_PER_S
from daemon.sources.arrival import ArrivalClock

times = st.integers(-(2**60), 2**60)


@given(st.lists(st.tuples(times, times), min_size=1))
def test_no_stamp_lies_after_its_arrival(seen: list[tuple[int, int]]) -> None:
    clock = ArrivalClock()
    for pts_ns, arrived_ns in seen:
        assert pts_ns + clock.observe(pts_ns, arrived_ns) <= arrived_ns


def test_what_is_held_up_keeps_its_time() -> None:
    clock = ArrivalClock()
    clock.observe(0, 100)
    assert 50 + clock.observe(50, 150 + NS_PER_S // 2) == 150


def test_a_stream_that_began_anew_is_followed() -> None:
    clock = ArrivalClock()
    clock.observe(500 * NS_PER_S, 0)
    assert clock.observe(0, 10) == 10
    assert clock.observe(0, 10 + 2 * NS_PER_S) == 10 + 2 * NS_PER_S
