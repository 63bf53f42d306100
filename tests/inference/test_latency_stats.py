"""When an accelerator counts as slow, and the deadline of its next invoke: tables of durations."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS
from daemon.inference.latency_stats import HISTORY_SIZE, RECENT_SIZE, LatencyStats


def stats_of(*durations_ms: float) -> LatencyStats:
    stats = LatencyStats()
    for duration_ms in durations_ms:
        stats.add(round(duration_ms * NS_PER_MS))
    return stats


def became_slow(stats: LatencyStats, duration_ms: float) -> bool:
    stats.add(round(duration_ms * NS_PER_MS))
    return stats.is_slow


def test_the_deadline_is_five_times_the_p99_and_20_ms_at_least() -> None:
    assert LatencyStats().deadline_ns == 20 * NS_PER_MS
    assert stats_of(*[3] * RECENT_SIZE).deadline_ns == 20 * NS_PER_MS
    assert stats_of(*[7] * RECENT_SIZE).deadline_ns == 35 * NS_PER_MS
    assert stats_of(*[900] * RECENT_SIZE).deadline_ns == 1500 * NS_PER_MS
    assert stats_of(*[2] * 195, *[50] * 5, *[2] * 2 * RECENT_SIZE).deadline_ns == 250 * NS_PER_MS


def test_ten_times_as_long_is_slow_as_soon_as_the_median_says_so() -> None:
    stats = stats_of(*[2] * 100)
    is_slow = [became_slow(stats, 20) for _ in range(RECENT_SIZE)]
    assert is_slow == [False] * (RECENT_SIZE // 2) + [True] * (RECENT_SIZE // 2)


def test_a_machine_that_is_busy_now_and_then_makes_nothing_slow() -> None:
    stats = LatencyStats()
    for number in range(1000):
        assert not became_slow(stats, 60 if number % RECENT_SIZE < RECENT_SIZE // 2 else 2)


def test_a_process_is_compared_with_the_previous_one() -> None:
    stats = stats_of(*[2] * 100)
    for _ in range(RECENT_SIZE):
        stats.add(20 * NS_PER_MS)
    stats.begin_process()
    assert not stats.is_slow
    assert [became_slow(stats, 20) for _ in range(RECENT_SIZE)] == [False] * (RECENT_SIZE - 1) + [True]
    stats.begin_process()
    assert not any(became_slow(stats, 2) for _ in range(RECENT_SIZE))


def test_a_lasting_slowness_becomes_normal() -> None:
    stats = stats_of(*[2] * RECENT_SIZE)
    is_slow = []
    for _ in range(3):
        stats.begin_process()
        is_slow += [became_slow(stats, 20) for _ in range(RECENT_SIZE)][-1:]
    assert is_slow == [True, False, False]


def test_a_few_milliseconds_more_are_not_slow() -> None:
    """A process may wait for a busy processor for 5 ms."""
    stats = stats_of(*[0.2] * 100)
    assert not any(became_slow(stats, 5) for _ in range(100))


def test_the_first_process_is_not_slow_whatever_it_takes() -> None:
    stats = LatencyStats()
    assert not any(became_slow(stats, 500) for _ in range(RECENT_SIZE))
    assert stats.p50_ns == 500 * NS_PER_MS


@given(st.lists(st.integers(1, 10**9), min_size=RECENT_SIZE, max_size=2 * HISTORY_SIZE))
def test_percentiles_lie_among_the_measured_durations(durations_ns: list[int]) -> None:
    stats = LatencyStats()
    for duration_ns in durations_ns:
        stats.add(duration_ns)
    assert stats.p50_ns is not None and stats.p99_ns is not None
    assert min(durations_ns) <= stats.p50_ns <= stats.p99_ns <= max(durations_ns)
