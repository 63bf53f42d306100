"""Capture times of segments, and the pace at which they are played."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.hls.timing import WRAP_NS, Pace, SegmentClock

S = NS_PER_S
MARGIN_NS = NS_PER_S // 5


def begin(clock: SegmentClock, start_ns: int, arrived_ns: int | None, now_ns: int = 0) -> bool:
    """Begin a segment. Return whether it continues the one before."""
    span_ns = (start_ns, start_ns + 2 * S)
    continues = clock.continues(span_ns, 0)
    clock.begin(span_ns, arrived_ns, now_ns, continues=continues)
    return continues


def test_the_end_of_a_segment_is_captured_when_it_arrives() -> None:
    clock = SegmentClock()
    assert not begin(clock, 10 * S, 100 * S)
    assert clock.start_ns == 98 * S
    assert 12 * S + clock.offset_ns(12 * S) == 100 * S


def test_a_late_segment_keeps_its_time() -> None:
    clock = SegmentClock()
    begin(clock, 0, 100 * S)
    assert begin(clock, 2 * S, 109 * S)
    assert clock.start_ns == 100 * S
    assert 4 * S + clock.offset_ns(4 * S) == 102 * S


def test_an_earlier_arrival_corrects_the_times_little_by_little() -> None:
    clock = SegmentClock()
    begin(clock, 0, 100 * S)
    begin(clock, 2 * S, 101 * S)
    times_ns = []
    for at_ns in range(2 * S, 4 * S, S // 25):
        times_ns.append(at_ns + clock.offset_ns(at_ns))
    steps_ns = [after - before for before, after in pairwise(times_ns)]
    assert min(steps_ns) == pytest.approx(0.98 * S / 25, abs=10)
    for number in range(2, 40):
        begin(clock, 2 * number * S, (99 + 2 * number) * S)
        clock.offset_ns(2 * (number + 1) * S)
    assert clock.offset_ns(80 * S) == 97 * S


def test_times_of_another_stream_follow_those_before() -> None:
    clock = SegmentClock()
    begin(clock, 10 * S, 100 * S)
    clock.offset_ns(12 * S)
    assert not begin(clock, 1000 * S, 101 * S), "more than a second away"
    assert clock.start_ns == 100 * S, "no time before what was played already"
    clock.offset_ns(1002 * S)
    assert not begin(clock, 0, 110 * S)
    assert clock.start_ns == 108 * S


def test_lost_segments_are_no_other_stream() -> None:
    clock = SegmentClock()
    begin(clock, 0, 100 * S)
    assert not clock.continues((6 * S, 8 * S), 0)
    assert clock.continues((6 * S, 8 * S), 4 * S)
    assert not clock.continues((9 * S, 11 * S), 4 * S)


def test_times_that_wrap_go_on() -> None:
    clock = SegmentClock()
    begin(clock, WRAP_NS - 2 * S, 100 * S)
    assert begin(clock, 0, 102 * S)
    assert clock.turns == 1
    assert clock.start_ns == pytest.approx(100 * S, abs=2)
    assert begin(clock, 2 * S, 104 * S)
    assert clock.turns == 1


def test_a_recording_begins_when_it_is_played() -> None:
    clock = SegmentClock()
    begin(clock, 10 * S, None, now_ns=500 * S)
    assert clock.start_ns == 500 * S
    clock.offset_ns(12 * S)
    begin(clock, 12 * S, None, now_ns=503 * S)
    assert clock.start_ns == 502 * S
    assert not begin(clock, 0, None, now_ns=503 * S), "a discontinuity"
    assert clock.start_ns == 503 * S


def play(pace: Pace, start_ns: int, ready_ns: int, *, length_ns: int = 2 * S) -> list[int]:
    """Return when the pictures of a segment are delivered: after they are due, and not before they are there."""
    pace.begin(start_ns, ready_ns, MARGIN_NS)
    return [max(ready_ns, pace.due_ns(start_ns + at_ns)) for at_ns in range(0, length_ns, S // 10)]


def test_segments_are_played_without_pause_though_they_come_unevenly() -> None:
    pace, jitter = Pace(), random.Random(1)
    delivered_ns: list[int] = []
    for number in range(20):
        arrived_ns = 2 * S + jitter.randrange(0, 150 * NS_PER_MS)
        delivered_ns += play(pace, 2 * number * S, 2 * number * S + arrived_ns)
    distances_ns = [after - before for before, after in pairwise(delivered_ns)]
    assert max(distances_ns) < 260 * NS_PER_MS, "it waits once for the latest"
    assert sorted(distances_ns)[len(distances_ns) // 2] == S // 10
    lag_ns = delivered_ns[-1] - (40 * S - S // 10)
    assert 2 * S < lag_ns < 2 * S + 360 * NS_PER_MS


def test_after_a_break_it_catches_up_by_a_quarter() -> None:
    pace = Pace()
    play(pace, 0, 2 * S)
    delivered_ns = play(pace, 2 * S, 14 * S)
    assert delivered_ns[0] == 14 * S + MARGIN_NS
    for number in range(2, 6):
        delivered_ns = play(pace, 2 * number * S, max(14, 2 * number + 2) * S)
    delivered_ns = play(pace, 12 * S, 14 * S)
    assert delivered_ns[1] - delivered_ns[0] == pytest.approx(0.075 * S)
    for number in range(7, 40):
        delivered_ns = play(pace, 2 * number * S, 2 * (number + 1) * S)
    assert delivered_ns[0] == 80 * S + MARGIN_NS, "a segment and the margin"


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(-5000, 60_000)), min_size=1, max_size=30))
def test_deliveries_never_go_back_and_never_come_before_the_capture(segments: list[tuple[int, int]]) -> None:
    pace, start_ns, last_ns = Pace(), 0, 0
    for length_ms, late_ms in segments:
        length_ns = length_ms * NS_PER_MS
        pace.begin(start_ns, start_ns + length_ns + late_ms * NS_PER_MS, MARGIN_NS)
        for part in range(4):
            due_ns = pace.due_ns(start_ns + length_ns * part // 4)
            assert due_ns >= start_ns + length_ns * part // 4 + MARGIN_NS
            assert due_ns >= last_ns
            last_ns = due_ns
        start_ns += length_ns
