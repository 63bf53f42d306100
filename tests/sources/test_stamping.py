"""The clock of a network stream: capture times from presentation and arrival times."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import ArrivalClock

PTS_0_NS = 5000 * NS_PER_S
BASE_NS = 10**15
MIN_DELAY_NS = 80 * NS_PER_MS

times = st.integers(-(2**60), 2**60)


def stamps_s(arrivals_s: Iterable[tuple[float, float]], clock: ArrivalClock | None = None) -> list[float]:
    """Return the stamps of pictures with these presentation and arrival times, in seconds."""
    clock = clock or ArrivalClock()
    pairs = [(round(pts * NS_PER_S), round(arrived * NS_PER_S)) for pts, arrived in arrivals_s]
    return [(pts + clock.observe("image", pts, arrived)) / NS_PER_S for pts, arrived in pairs]


def steady(start: float, end: float, behind: float = 0.0) -> list[tuple[float, float]]:
    """Return ten pictures a second that arrive `behind` seconds after their presentation time."""
    return [(step / 10, step / 10 + behind) for step in range(round(start * 10), round(end * 10))]


@given(st.lists(st.tuples(st.sampled_from(["image", "audio"]), times, st.integers(0, 2**50)), min_size=1))
def test_no_stamp_lies_after_its_arrival(arrived_data: list[tuple[str, int, int]]) -> None:
    clock, now_ns = ArrivalClock(), 0
    for modality, pts_ns, later_ns in arrived_data:
        now_ns += later_ns
        assert pts_ns + clock.observe(modality, pts_ns, now_ns) <= now_ns


def stall(at: float, until: float) -> list[tuple[float, float]]:
    """Return pictures between `at` and `until` that all arrive at `until`."""
    return [(pts, max(arrived, until)) for pts, arrived in steady(at, until)]


@pytest.mark.parametrize("until", [10.3, 11, 14, 60])
def test_pictures_delayed_by_a_stall_keep_their_times(until: float) -> None:
    arrived_data = steady(0, 10) + stall(10, until) + steady(until, until + 10)
    assert stamps_s(arrived_data) == pytest.approx([pts for pts, _ in arrived_data])


@pytest.mark.parametrize("moved_s", [-500, -3, -1.5, 1.5, 3, 500])
def test_a_restarted_camera_clock_is_followed_at_once(moved_s: float) -> None:
    before = steady(1000, 1010)
    after = [(pts + moved_s, arrived) for pts, arrived in steady(1010, 1020)]
    assert stamps_s(before + after) == pytest.approx([arrived for _, arrived in before + after])


def test_one_wrong_time_does_not_affect_later_stamps() -> None:
    arrived_data = [*steady(0, 10), (10 + 3600, 10.0), *steady(10.1, 20)]
    assert stamps_s(arrived_data)[101:] == pytest.approx([pts for pts, _ in arrived_data[101:]])


def test_the_clock_follows_a_late_stream_after_five_seconds() -> None:
    stamps = stamps_s(steady(0, 10) + steady(10, 20, behind=2))
    ages = np.array([arrived for _, arrived in steady(10, 20, behind=2)]) - stamps[100:]
    assert ages[:50] == pytest.approx(2)
    assert ages[55:] == pytest.approx(0, abs=1e-6)


def test_the_clock_follows_a_small_delay_without_a_step() -> None:
    arrived_data = steady(0, 10) + steady(10, 400, behind=0.3)
    stamps = stamps_s(arrived_data)
    assert np.diff(stamps).max() < 0.1002
    assert stamps[-1] == pytest.approx(arrived_data[-1][1])


def test_sound_that_arrives_seconds_after_the_picture_keeps_its_time() -> None:
    clock = ArrivalClock()
    for step in range(400):
        pts_ns = step * NS_PER_S // 10
        now_ns = BASE_NS + pts_ns
        assert pts_ns + clock.observe("image", pts_ns, now_ns) == now_ns
        assert pts_ns + clock.observe("audio", pts_ns, now_ns + 3 * NS_PER_S) == now_ns


def arrivals(
    seconds: int, ppm: float, random: np.random.Generator, jitter_ms: float, bursts_s: list[tuple[float, float]]
) -> list[tuple[str, int, int, int]]:
    """Return pictures (25 a second) and sound (20) as modality, true time, presentation time, arrival.

    They are ordered by arrival. Sound and picture wait for each other, as they do in one connection.
    """
    at_s = np.sort(np.concatenate([np.arange(0, seconds, 1 / 25), np.arange(0, seconds, 1 / 20) + 0.003]))
    arrived_s = at_s + random.exponential(jitter_ms / 1000, len(at_s))
    for begin, length in bursts_s:
        arrived_s = np.where((arrived_s > begin) & (arrived_s < begin + length), begin + length, arrived_s)
    arrived_s = np.maximum.accumulate(arrived_s)
    modalities = np.where(np.round(at_s * 1000) % 50 == 3, "audio", "image").tolist()
    true = (BASE_NS + at_s * 1e9).astype(np.int64).tolist()
    pts = (PTS_0_NS + at_s * 1e9 * (1 + ppm * 1e-6)).astype(np.int64).tolist()
    arrived = (BASE_NS + MIN_DELAY_NS + arrived_s * 1e9).astype(np.int64).tolist()
    return list(zip(modalities, true, pts, arrived, strict=True))


def errors_ns(clock: ArrivalClock, arrived_data: list[tuple[str, int, int, int]]) -> list[int]:
    """Return by how much each stamp is after the true time, without the delay that all data have."""
    return [pts + clock.observe(kind, pts, came) - MIN_DELAY_NS - true for kind, true, pts, came in arrived_data]


@pytest.mark.parametrize("ppm", [-200, 200])
def test_stamps_follow_a_drifting_clock_for_an_hour_within_40_ms(ppm: int) -> None:
    random = np.random.default_rng(7)
    bursts = [(float(at), float(random.uniform(0.5, 4))) for at in random.uniform(60, 3600, 40)]
    clock = ArrivalClock()
    errors = np.array(errors_ns(clock, arrivals(3600, ppm, random, 30, bursts))) / NS_PER_MS
    # in the first second there may be no packet without delay
    assert np.abs(errors[50:]).max() < 40
    assert clock.drift_ppm == pytest.approx(ppm, abs=10)


@given(
    st.floats(-300, 300),
    st.floats(0, 60),
    st.lists(st.tuples(st.floats(5, 110), st.floats(0.1, 4)), max_size=5),
    st.integers(0, 2**32),
)
def test_stamps_stay_within_40_ms_for_any_drift_and_jitter(
    ppm: float, jitter_ms: float, bursts_s: list[tuple[float, float]], seed: int
) -> None:
    arrived_data = arrivals(120, ppm, np.random.default_rng(seed), jitter_ms, bursts_s)
    errors = np.array(errors_ns(ArrivalClock(), arrived_data)) / NS_PER_MS
    assert np.abs(errors[150:]).max() < 40
