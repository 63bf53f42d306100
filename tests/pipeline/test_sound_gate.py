"""The gate of sound opens for what is louder than the place and for a sound that ends, with what came before."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.streams import SoundConfig
from daemon.core.records import Block
from daemon.pipeline.gates import QUIETEST_DB, SoundGate, followed, level

MS = 1_000_000
RATE_HZ = 8000


def blocks(levels_db: list[float], seed: int = 0) -> list[Block]:
    """A block of noise of each level, 20 ms each."""
    generator = np.random.default_rng(seed)
    made = [generator.normal(0, 10 ** (db / 20), 160).astype(np.float32) for db in levels_db]
    return [Block(samples, RATE_HZ, index * 20 * MS) for index, samples in enumerate(made)]


def wanted(gate: SoundGate, sound: list[Block]) -> list[int]:
    """Which blocks the encoder should have, by their place."""
    gone = [item for block in sound for item in gate.passes(block)] + gate.finish()
    assert [block.start_ns for block, _ in gone] == [block.start_ns for block in sound], "all go on, in order, once"
    return [index for index, (_, is_wanted) in enumerate(gone) if is_wanted]


def test_a_sound_comes_with_what_was_just_before_it_and_a_while_after() -> None:
    gate = SoundGate(SoundConfig(hold_s=0.5, pre_roll_s=0.3))
    found = wanted(gate, blocks([-60] * 200 + [-40] * 10 + [-60] * 100))
    # the beginning opens it; then 15 blocks of pre-roll, the one that opens among them, and 25 of hold
    assert [index for index in found if index >= 100] == list(range(185, 234))


@pytest.mark.parametrize("db", [-80.0, -50.0, -20.0])
def test_the_noise_of_a_place_does_not_keep_it_open(db: float) -> None:
    found = wanted(SoundGate(SoundConfig(hold_s=0.2)), blocks([db] * 1000))
    assert max(found) < 50


def test_silence_never_opens_it() -> None:
    silent = [Block(np.zeros(160, np.float32), RATE_HZ, index * 20 * MS) for index in range(100)]
    assert wanted(SoundGate(SoundConfig()), silent) == []


def test_a_sound_that_lasts_becomes_the_floor_and_is_heard_to_end() -> None:
    gate = SoundGate(SoundConfig(hold_s=0.5))
    found = wanted(gate, blocks([-60] * 100 + [-35] * 2500 + [-60] * 200))
    closed = set(range(100, 2800)) - set(found)
    assert closed & set(range(1500, 2550)), "it closes while the sound lasts"
    assert set(range(2600, 2620)) <= set(found), "what follows it goes through"
    assert 2799 in closed


def test_a_slow_fade_is_noticed() -> None:
    gate = SoundGate(SoundConfig(hold_s=0.1))
    found = wanted(gate, blocks([-30 - index * 0.01 for index in range(3000)]))
    late = [index for index in found if index >= 500]
    assert 20 < len(late) < 600


def test_it_stays_open_at_least_as_long_as_it_is_told_to() -> None:
    gate = SoundGate(SoundConfig(hold_s=0.1, pre_roll_s=0.0))
    gate.hold_at_least(1000 * MS)
    found = wanted(gate, blocks([-60] * 200 + [-40] + [-60] * 100))
    assert [index for index in found if index >= 100] == list(range(200, 250))
    gate.hold_at_least(0)
    found = wanted(gate, blocks([-60] * 200 + [-40] + [-60] * 100))
    assert [index for index in found if index >= 100] == list(range(200, 205))


@given(
    st.lists(st.tuples(st.sampled_from([-70.0, -50.0, -20.0]), st.integers(1, 40)), max_size=8),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_whatever_comes_every_block_goes_on_once_in_order_and_none_is_held_longer(
    parts: list[tuple[float, int]], pre_roll_s: float
) -> None:
    gate = SoundGate(SoundConfig(hold_s=0.1, pre_roll_s=pre_roll_s))
    sound, gone = blocks([db for db, count in parts for _ in range(count)]), 0
    for index, block in enumerate(sound):
        gone += len(gate.passes(block))
        assert index + 1 - gone <= math.ceil(pre_roll_s * 50)
    assert gone + len(gate.finish()) == len(sound)


def test_levels() -> None:
    sine = np.sin(2 * np.pi * 100 * np.arange(800) / 8000).astype(np.float32)
    assert level(sine) == pytest.approx(-3.01, abs=0.01)
    assert level(sine / 10) == pytest.approx(-23.01, abs=0.01)
    assert level(np.zeros(160, np.float32)) == level(np.zeros(0, np.float32)) == QUIETEST_DB
    assert level(np.full(160, np.nan, np.float32)) == QUIETEST_DB
    assert level(np.full(160, 7.0, np.float32)) == 0.0


def test_the_floor_falls_fast_rises_slowly_and_never_passes_the_level() -> None:
    assert followed(-40.0, -60.0, 0.2) == pytest.approx(-60 + 20 / math.e)
    assert followed(-60.0, -40.0, 2.0) == -58.0
    assert followed(-60.0, -59.9, 2.0) == -59.9
