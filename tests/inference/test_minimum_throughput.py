"""When an accelerator has become slow, and how long it is waited for: a table of durations."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS
from daemon.inference.verification import HISTORY_SIZE, RECENT_SIZE, LatencyStats


def pace_of(*durations_ms: float) -> LatencyStats:
    pace = LatencyStats()
    for duration_ms in durations_ms:
        pace.add(round(duration_ms * NS_PER_MS))
    return pace


def became_slow(pace: LatencyStats, duration_ms: float) -> bool:
    pace.add(round(duration_ms * NS_PER_MS))
    return pace.is_slow


def test_the_deadline_is_five_times_the_p99_and_20_ms_at_least() -> None:
    assert LatencyStats().deadline_ns == 20 * NS_PER_MS
    assert pace_of(*[3] * RECENT_SIZE).deadline_ns == 20 * NS_PER_MS
    assert pace_of(*[7] * RECENT_SIZE).deadline_ns == 35 * NS_PER_MS
    assert pace_of(*[900] * RECENT_SIZE).deadline_ns == 1500 * NS_PER_MS
    assert pace_of(*[2] * 195, *[50] * 5, *[2] * 2 * RECENT_SIZE).deadline_ns == 250 * NS_PER_MS


def test_ten_times_as_long_is_slow_as_soon_as_the_median_says_so() -> None:
    pace = pace_of(*[2] * 100)
    said = [became_slow(pace, 20) for _ in range(RECENT_SIZE)]
    assert said == [False] * (RECENT_SIZE // 2) + [True] * (RECENT_SIZE // 2)


def test_a_machine_that_is_busy_now_and_then_makes_nothing_slow() -> None:
    pace = LatencyStats()
    for number in range(1000):
        assert not became_slow(pace, 60 if number % RECENT_SIZE < RECENT_SIZE // 2 else 2)


def test_another_process_is_measured_against_the_one_before() -> None:
    pace = pace_of(*[2] * 100)
    for _ in range(RECENT_SIZE):
        pace.add(20 * NS_PER_MS)
    pace.begin_process()
    assert not pace.is_slow
    assert [became_slow(pace, 20) for _ in range(RECENT_SIZE)] == [False] * (RECENT_SIZE - 1) + [True]
    pace.begin_process()
    assert not any(became_slow(pace, 2) for _ in range(RECENT_SIZE))


def test_what_lasts_is_slow_no_more() -> None:
    pace = pace_of(*[2] * RECENT_SIZE)
    said = []
    for _ in range(3):
        pace.begin_process()
        said += [became_slow(pace, 20) for _ in range(RECENT_SIZE)][-1:]
    assert said == [True, False, False]


def test_what_takes_a_few_milliseconds_longer_is_not_slow() -> None:
    """So long a process may wait for a busy processor."""
    pace = pace_of(*[0.2] * 100)
    assert not any(became_slow(pace, 5) for _ in range(100))


def test_the_first_process_is_not_slow_whatever_it_takes() -> None:
    pace = LatencyStats()
    assert not any(became_slow(pace, 500) for _ in range(RECENT_SIZE))
    assert pace.p50_ns == 500 * NS_PER_MS


@given(st.lists(st.integers(1, 10**9), min_size=RECENT_SIZE, max_size=2 * HISTORY_SIZE))
def test_what_is_told_lies_among_what_was_measured(durations_ns: list[int]) -> None:
    pace = LatencyStats()
    for duration_ns in durations_ns:
        pace.add(duration_ns)
    assert pace.p50_ns is not None and pace.p99_ns is not None
    assert min(durations_ns) <= pace.p50_ns <= pace.p99_ns <= max(durations_ns)
