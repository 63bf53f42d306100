"""Blocks that are cut from chunks of sound, and their stamps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import BlockCutter

RATE_HZ = 16_000
BLOCK = 320


def ramp(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=30), st.integers(0, 2**50))
def test_without_resampling_no_sample_is_lost_doubled_or_moved(sizes: list[int], start_ns: int) -> None:
    cutter = BlockCutter(RATE_HZ)
    samples = ramp(sum(sizes))
    blocks, taken = [], 0
    for size in sizes:
        at_ns = start_ns + taken * NS_PER_S // RATE_HZ
        blocks += cutter.push(samples[taken : taken + size], RATE_HZ, at_ns)
        taken += size
    blocks += cutter.end_run()
    assert len(blocks) == len(samples) // BLOCK
    for number, block in enumerate(blocks):
        assert np.array_equal(block.samples, samples[number * BLOCK :][:BLOCK])
        assert abs(block.start_ns - (start_ns + number * 20 * NS_PER_MS)) <= 1
        assert block.gap == (number == 0)


@given(
    st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000]), st.lists(st.integers(1, 5000), min_size=5, max_size=40)
)
def test_resampled_sound_keeps_its_length_and_its_time(rate_hz: int, sizes: list[int]) -> None:
    cutter = BlockCutter(RATE_HZ)
    samples = np.zeros(sum(sizes), np.float32)
    click = len(samples) // 2
    samples[click] = 1.0
    blocks, taken = [], 0
    for size in sizes:
        blocks += cutter.push(samples[taken : taken + size], rate_hz, taken * NS_PER_S // rate_hz)
        taken += size
    blocks += cutter.end_run()
    assert abs(len(blocks) * BLOCK - len(samples) * RATE_HZ / rate_hz) <= BLOCK + 1
    if blocks and click / rate_hz < blocks[-1].end_ns / NS_PER_S - 0.001:
        joined = np.concatenate([block.samples for block in blocks])
        assert abs(int(np.abs(joined).argmax()) / RATE_HZ - click / rate_hz) <= 1 / min(rate_hz, RATE_HZ)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_a_jump_begins_a_new_run_with_a_gap(rate_hz: int) -> None:
    cutter = BlockCutter(RATE_HZ)
    second = np.zeros(rate_hz, np.float32)
    blocks = cutter.push(second, rate_hz, 0)
    blocks += cutter.push(second, rate_hz, 3 * NS_PER_S)
    blocks += cutter.end_run()
    assert [block.start_ns for block in blocks if block.gap] == [0, 3 * NS_PER_S]
    assert len(blocks) == 100, "each second gives all of its blocks"


def test_another_rate_begins_a_new_run() -> None:
    cutter = BlockCutter(RATE_HZ)
    blocks = cutter.push(np.zeros(8_000, np.float32), 8_000, 0)
    blocks += cutter.push(np.zeros(RATE_HZ, np.float32), RATE_HZ, NS_PER_S)
    assert [block.start_ns for block in blocks if block.gap] == [0, NS_PER_S]


@given(st.lists(st.integers(0, 9 * NS_PER_MS), min_size=10, max_size=200))
def test_jitter_makes_no_gap_and_no_block_ends_after_its_arrival(delays_ns: list[int]) -> None:
    cutter = BlockCutter(RATE_HZ)
    blocks = []
    for number, delay_ns in enumerate(delays_ns):
        arrived_ns = (number + 1) * 20 * NS_PER_MS + delay_ns
        new = cutter.push(np.zeros(BLOCK, np.float32), RATE_HZ, arrived_ns - 20 * NS_PER_MS)
        assert all(block.end_ns <= arrived_ns for block in new)
        blocks += new
    assert [block.gap for block in blocks] == [True] + [False] * (len(delays_ns) - 1)


@pytest.mark.parametrize("rate_hz", [32_000, 44_100, 48_000])
def test_the_change_of_block_lengths_in_vorbis_is_no_gap(rate_hz: int) -> None:
    # before a loud onset FFmpeg stamps one packet late by (2048 - 256) / 4 samples; the next one is right again
    cutter = BlockCutter(RATE_HZ)
    sizes, late = [1024, 1024, 576, 128, 128, 128, 576, 1024], [0, 0, 0, 448, 0, 0, 0, 0]
    blocks, taken = [], 0
    for size, samples in zip(sizes * 10, late * 10, strict=True):
        blocks += cutter.push(np.zeros(size, np.float32), rate_hz, (taken + samples) * NS_PER_S // rate_hz)
        taken += size
    assert [number for number, block in enumerate(blocks) if block.gap] == [0]
    assert abs(cutter.moved_ns) < NS_PER_MS


@pytest.mark.parametrize("ppm", [-200, 200])
def test_stamps_follow_a_sound_card_for_an_hour_despite_jitter(ppm: int) -> None:
    cutter = BlockCutter(RATE_HZ, tolerance_ns=50 * NS_PER_MS)
    piece = np.zeros(BLOCK, np.float32)
    jitter_ns = np.random.default_rng(1).exponential(15 * NS_PER_MS, 180_000).clip(max=45 * NS_PER_MS).astype(int)
    errors_ns = []
    for number, late_ns in enumerate(jitter_ns.tolist()):
        true_ns = number * (20 * NS_PER_MS - ppm * 20)
        (block,) = cutter.push(piece, RATE_HZ, true_ns + late_ns)
        assert block.gap == (number == 0)
        errors_ns.append(block.start_ns - true_ns)
    assert min(errors_ns) >= 0
    assert max(errors_ns[50:]) < 20 * NS_PER_MS
    assert cutter.moved_ns == pytest.approx(-ppm * 3600 * 1000, abs=45 * NS_PER_MS)
