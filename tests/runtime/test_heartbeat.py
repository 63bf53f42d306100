"""A loop that hangs is told from one that waits for a processor."""

import pytest

from daemon.core.timing import NS_PER_S
from daemon.runtime.heartbeat import Certainty
from daemon.runtime.processor import ProcessorShare

LOOK_S = 0.25


def certain_after_s(runnable: int, cores: float, at_most_s: float = 1000.0) -> float | None:
    """Return how long an overdue loop is looked at until it hangs for certain, or None.

    Meanwhile the daemon uses `cores` processors, and so many other threads of it run or want to.
    """
    now_s = 0.0

    def wall_ns() -> int:
        return round(now_s * NS_PER_S)

    def cpu_ns() -> int:
        return round(now_s * cores * NS_PER_S)

    processor, certainty = ProcessorShare(lambda: runnable, wall_ns, cpu_ns), Certainty()
    while now_s < at_most_s:
        processor.look()
        if certainty.look(True, processor):
            return now_s
        now_s += LOOK_S
    return None


@pytest.mark.parametrize(
    ("runnable", "cores", "expected_s"),
    [
        (0, 0.0, 1.0),  # blocked, and nothing else to do
        (0, 0.5, 1.0),  # blocked, while other threads work now and then
        (1, 1.0, 1.0),  # it spins
        (2, 1.9, 1.0),
        (1, 0.3, 13.5),  # 30 % of a core: after four seconds of processor time
        (3, 0.05, 80.0),  # 5 % of a core
    ],
)
def test_a_hang_is_certain_after_a_second_or_after_four_of_processor_time(
    runnable: int, cores: float, expected_s: float
) -> None:
    assert certain_after_s(runnable, cores) == pytest.approx(expected_s, abs=LOOK_S)


def test_a_loop_that_was_overdue_when_the_program_was_suspended_gets_its_time() -> None:
    times = iter([0, NS_PER_S // 4, 31 * NS_PER_S])
    processor, certainty = ProcessorShare(lambda: 0, times.__next__, lambda: 0), Certainty()
    for _ in range(2):
        processor.look()
        assert not certainty.look(True, processor)


def test_a_loop_that_goes_on_was_starved() -> None:
    processor, certainty = ProcessorShare(lambda: 2, iter(range(0, 10**12, NS_PER_S)).__next__, lambda: 0), Certainty()
    for is_overdue in [True] * 50 + [False] + [True] * 50:
        processor.look()
        assert not certainty.look(is_overdue, processor)
