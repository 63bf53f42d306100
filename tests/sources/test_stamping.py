from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import ArrivalClock

PTS_0_NS = 5000 * NS_PER_S
BASE_NS = 10**15
LEAST_DELAY_NS = 80 * NS_PER_MS

times = st.integers(-(2**60), 2**60)


def stamps_s(seen: Iterable[tuple[float, float]], clock: ArrivalClock | None = None) -> list[float]:
    """The stamps of pictures with these presentation and arrival times, in seconds."""
    clock = clock or ArrivalClock()
    pairs = [(round(pts * NS_PER_S), round(arrived * NS_PER_S)) for pts, arrived in seen]
    return [(pts + clock.observe("image", pts, arrived)) / NS_PER_S for pts, arrived in pairs]


def steady(start: float, end: float, behind: float = 0.0) -> list[tuple[float, float]]:
    """Ten pictures a second that arrive `behind` later than their own time."""
    return [(step / 10, step / 10 + behind) for step in range(round(start * 10), round(end * 10))]


@given(st.lists(st.tuples(st.sampled_from(["image", "audio"]), times, st.integers(0, 2**50)), min_size=1))
def test_no_stamp_lies_after_its_arrival(seen: list[tuple[str, int, int]]) -> None:
    clock, now_ns = ArrivalClock(), 0
    for modality, pts_ns, later_ns in seen:
        now_ns += later_ns
        assert pts_ns + clock.observe(modality, pts_ns, now_ns) <= now_ns


def stall(at: float, until: float) -> list[tuple[float, float]]:
    """What was captured between arrives at once at the end."""
    return [(pts, max(arrived, until)) for pts, arrived in steady(at, until)]


@pytest.mark.parametrize("until", [10.3, 11, 14, 60])
def test_what_a_stall_held_up_keeps_its_time(until: float) -> None:
    seen = steady(0, 10) + stall(10, until) + steady(until, until + 10)
    assert stamps_s(seen) == pytest.approx([pts for pts, _ in seen])


@pytest.mark.parametrize("moved_s", [-500, -3, -1.5, 1.5, 3, 500])
def test_a_camera_that_begins_its_time_anew_is_followed_at_once(moved_s: float) -> None:
    before = steady(1000, 1010)
    after = [(pts + moved_s, arrived) for pts, arrived in steady(1010, 1020)]
    assert stamps_s(before + after) == pytest.approx([arrived for _, arrived in before + after])


def test_one_time_that_is_wrong_does_no_lasting_harm() -> None:
    seen = [*steady(0, 10), (10 + 3600, 10.0), *steady(10.1, 20)]
    assert stamps_s(seen)[101:] == pytest.approx([pts for pts, _ in seen[101:]])


def test_a_stream_that_stays_late_is_believed_after_five_seconds() -> None:
    stamps = stamps_s(steady(0, 10) + steady(10, 20, behind=2))
    ages = np.array([arrived for _, arrived in steady(10, 20, behind=2)]) - stamps[100:]
    assert ages[:50] == pytest.approx(2)
    assert ages[55:] == pytest.approx(0, abs=1e-6)


def test_a_stream_that_comes_somewhat_later_is_followed_without_a_step() -> None:
    seen = steady(0, 10) + steady(10, 400, behind=0.3)
    stamps = stamps_s(seen)
    assert np.diff(stamps).max() < 0.1002
    assert stamps[-1] == pytest.approx(seen[-1][1])


def test_sound_that_is_sent_seconds_after_the_picture_keeps_its_time() -> None:
    clock = ArrivalClock()
    for step in range(400):
        pts_ns = step * NS_PER_S // 10
        now_ns = BASE_NS + pts_ns
        assert pts_ns + clock.observe("image", pts_ns, now_ns) == now_ns
        assert pts_ns + clock.observe("audio", pts_ns, now_ns + 3 * NS_PER_S) == now_ns


def arrivals(
    seconds: int, ppm: float, random: np.random.Generator, jitter_ms: float, bursts_s: list[tuple[float, float]]
) -> list[tuple[str, int, int, int]]:
    """Pictures (25 a second) and sound (20): modality, true time, presentation time, arrival, by arrival.

    Sound and picture wait for each other, as they do in one connection.
    """
    at_s = np.sort(np.concatenate([np.arange(0, seconds, 1 / 25), np.arange(0, seconds, 1 / 20) + 0.003]))
    arrived_s = at_s + random.exponential(jitter_ms / 1000, len(at_s))
    for begin, length in bursts_s:
        arrived_s = np.where((arrived_s > begin) & (arrived_s < begin + length), begin + length, arrived_s)
    arrived_s = np.maximum.accumulate(arrived_s)
    modalities = np.where(np.round(at_s * 1000) % 50 == 3, "audio", "image").tolist()
    true = (BASE_NS + at_s * 1e9).astype(np.int64).tolist()
    pts = (PTS_0_NS + at_s * 1e9 * (1 + ppm * 1e-6)).astype(np.int64).tolist()
    arrived = (BASE_NS + LEAST_DELAY_NS + arrived_s * 1e9).astype(np.int64).tolist()
    return list(zip(modalities, true, pts, arrived, strict=True))


def astray_ns(clock: ArrivalClock, seen: list[tuple[str, int, int, int]]) -> list[int]:
    """By how much each stamp lies after the truth, but for the delay that everything has."""
    return [pts + clock.observe(kind, pts, came) - LEAST_DELAY_NS - true for kind, true, pts, came in seen]


@pytest.mark.parametrize("ppm", [-200, 200])
def test_an_hour_of_a_wrong_clock_stays_within_40_ms(ppm: int) -> None:
    random = np.random.default_rng(7)
    bursts = [(float(at), float(random.uniform(0.5, 4))) for at in random.uniform(60, 3600, 40)]
    clock = ArrivalClock()
    errors = np.array(astray_ns(clock, arrivals(3600, ppm, random, 30, bursts))) / NS_PER_MS
    # a second to see the first packet that was not held up
    assert np.abs(errors[50:]).max() < 40
    assert clock.drift_ppm == pytest.approx(ppm, abs=10)


@given(
    st.floats(-300, 300),
    st.floats(0, 60),
    st.lists(st.tuples(st.floats(5, 110), st.floats(0.1, 4)), max_size=5),
    st.integers(0, 2**32),
)
def test_whatever_the_drift_and_the_jitter_stamps_stay_within_40_ms(
    ppm: float, jitter_ms: float, bursts_s: list[tuple[float, float]], seed: int
) -> None:
    seen = arrivals(120, ppm, np.random.default_rng(seed), jitter_ms, bursts_s)
    errors = np.array(astray_ns(ArrivalClock(), seen)) / NS_PER_MS
    assert np.abs(errors[150:]).max() < 40
