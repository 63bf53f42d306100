"""The wall time of an instant is always the same text, until the wall clock is stepped."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_S, STEP_NS, WallClock, monotonic_ns, wall_time

DELAYS_NS = st.lists(st.sampled_from((0, 100, 2_000_000, 50_000_000)), max_size=250)


class Machine:
    """Two clocks, each of whose readings takes the next of some delays."""

    def __init__(self, delays_ns: list[int]) -> None:
        self.now_ns, self.offset_ns = 0, 1_800_000_000 * NS_PER_S
        self._delays_ns = iter(delays_ns)

    def monotonic_ns(self) -> int:
        self.now_ns += next(self._delays_ns, 100)
        return self.now_ns

    def wall_ns(self) -> int:
        return self.monotonic_ns() + self.offset_ns


@given(DELAYS_NS, st.integers(-NS_PER_S, NS_PER_S))
def test_an_instant_has_one_wall_time_however_slowly_the_clocks_are_read(delays_ns: list[int], at_ns: int) -> None:
    machine = Machine(delays_ns)
    clock = WallClock(machine.monotonic_ns, machine.wall_ns)
    found = {clock.at(at_ns) for _ in range(50)}
    assert len(found) == 1
    assert abs(found.pop() - (at_ns + machine.offset_ns)) <= 2 * max(delays_ns, default=0) + 200


def test_after_a_step_of_the_clock_all_instants_have_the_time_by_its_new_setting() -> None:
    machine = Machine([])
    clock = WallClock(machine.monotonic_ns, machine.wall_ns)
    before = clock.at(5)
    for step_ns in (3600 * NS_PER_S, -2 * STEP_NS):
        machine.offset_ns += step_ns
        assert clock.at(5) - before == step_ns
        before = clock.at(5)
    machine.offset_ns += STEP_NS // 2
    assert clock.at(5) == before


def test_the_text_of_an_instant_is_the_same_each_time() -> None:
    now_ns = monotonic_ns()
    assert len({wall_time(now_ns) for _ in range(5000)}) == 1


def test_after_years_of_uptime_an_instant_has_its_microsecond() -> None:
    """The clock was set from 1970 soon after the start; 4000 days in nanoseconds are no exact float."""
    machine = Machine([])
    machine.offset_ns = 0
    clock = WallClock(machine.monotonic_ns, machine.wall_ns)
    assert clock.at(0) == 0
    machine.now_ns, machine.offset_ns = 4000 * 86_400 * NS_PER_S, 1_800_000_000 * NS_PER_S
    at_ns = machine.now_ns + 1000
    assert clock.at(at_ns) - clock.at(at_ns - 1000) == 1000
    assert clock.at(at_ns) == at_ns + machine.offset_ns
