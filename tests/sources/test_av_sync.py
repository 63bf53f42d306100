"""The offset of sound against picture, from flashes and beeps."""

from itertools import accumulate, cycle, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Block, Frame
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.av_sync import INTERVALS_S, brightness, find_beeps, find_flashes, pair

RATE_HZ = 16_000
BEGINS_S = list(accumulate(islice(cycle(INTERVALS_S), 12)))


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def pictures(fps: float, low: float, high: float, noise: float, seed: int = 1) -> list[tuple[int, float]]:
    """Return the times and brightnesses of pictures of the 150 ms flashes."""
    random = np.random.default_rng(seed)
    at_s = np.arange(0, BEGINS_S[-1] + 1, 1 / fps)
    lit = [any(begin <= at + 1e-9 < begin + 0.15 for begin in BEGINS_S) for at in at_s]
    return [(ns(at), (high if on else low) + random.normal(0, noise)) for at, on in zip(at_s, lit, strict=True)]


def blocks(late_s: float, loud: float, noise: float, begins_s: list[float] = BEGINS_S) -> list[Block]:
    """Return sound with beeps of 150 ms, `late_s` after the flashes."""
    at_s = np.arange(round((BEGINS_S[-1] + 3) * RATE_HZ)) / RATE_HZ
    on = np.any([(at_s >= begin + late_s) & (at_s < begin + late_s + 0.15) for begin in begins_s], axis=0)
    samples = on * loud * np.sin(2 * np.pi * 1000 * at_s)
    samples = (samples + np.random.default_rng(2).normal(0, noise, len(at_s))).astype(np.float32)
    return [Block(samples[start : start + 320], RATE_HZ, ns(start / RATE_HZ)) for start in range(0, len(samples), 320)]


@pytest.mark.parametrize(
    ("fps", "low", "high", "noise"), [(25, 60, 250, 0), (30, 40, 52, 1), (15, 100, 120, 2), (10, 0, 255, 0)]
)
def test_flashes_are_found_within_a_frame(fps: float, low: float, high: float, noise: float) -> None:
    found = find_flashes(pictures(fps, low, high, noise))
    assert len(found) == len(BEGINS_S)
    late_s = np.array(found) / NS_PER_S - BEGINS_S
    assert late_s.min() >= -1e-6
    assert late_s.max() < 1 / fps + 1e-6


@pytest.mark.parametrize(("loud", "noise"), [(0.5, 0), (0.02, 0.003), (0.3, 0.05)])
def test_beeps_are_found_within_a_segment(loud: float, noise: float) -> None:
    found = find_beeps(blocks(0.0, loud, noise))
    assert len(found) == len(BEGINS_S)
    assert np.array(found) / NS_PER_S == pytest.approx(BEGINS_S, abs=0.0051)


@pytest.mark.parametrize("noise", [0, 1, 20])
def test_without_flashes_and_beeps_at_most_one_is_found(noise: float) -> None:
    assert len(find_flashes(pictures(25, 100, 100, noise))) <= 1
    assert len(find_beeps(blocks(0, 0, noise / 1000))) <= 1
    assert find_flashes([]) == find_beeps([]) == []


def test_brightness_of_luma_and_of_bgr() -> None:
    white = np.full((48, 64, 3), 250, np.uint8)
    assert brightness(Frame((white,), 0)) == 250
    assert brightness(Frame((white[..., 0], white[::2, ::2, 0] // 2, white[::2, ::2, 0] // 2), 0)) == 250


@given(
    st.floats(-1.9, 1.9),
    st.sets(st.integers(0, 11), max_size=3),
    st.sets(st.integers(0, 11), max_size=3),
    st.lists(st.integers(-20 * NS_PER_MS, 20 * NS_PER_MS), min_size=12, max_size=12),
)
def test_the_offset_is_found_despite_missed_flashes_and_beeps(
    late_s: float, unseen: set[int], unheard: set[int], jitter_ns: list[int]
) -> None:
    flashes = [ns(begin) for number, begin in enumerate(BEGINS_S) if number not in unseen]
    beeps = [ns(begin + late_s) + jitter_ns[n] for n, begin in enumerate(BEGINS_S) if n not in unheard]
    pairing = pair(flashes, beeps)
    assert pairing is not None
    assert pairing.is_clear
    assert pairing.pairs == 12 - len(unseen | unheard)
    assert abs(pairing.offset_ns - late_s * NS_PER_S) <= 20 * NS_PER_MS
    assert pairing.spread_ns <= 40 * NS_PER_MS


def test_an_ambiguous_pairing_is_not_clear() -> None:
    even = [ns(second) for second in range(10)]
    shifted = [at + ns(0.3) for at in even]
    two = pair(even[:2], [even[0], even[1] + ns(0.02)])
    assert pair([], shifted) is None
    assert pair(even[:1], [ns(5)]) is None
    for pairing in (pair(even, shifted), two):
        assert pairing is not None
        assert not pairing.is_clear
