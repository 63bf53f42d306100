"""The motion gate opens for fast and slow changes of the picture, and not for the noise of a sensor."""

import numpy as np
import pytest

from daemon.config.streams import MotionConfig
from daemon.core.records import Frame
from daemon.pipeline.gates import MotionGate, changed_part, small_luma

MS = 1_000_000
HEIGHT, WIDTH = 240, 320


def grey(level: float = 90.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(level, noise, (HEIGHT, WIDTH))
    return np.clip(np.round(drawn), 0, 255).astype(np.uint8)


def with_square(picture: np.ndarray, left: int, level: int = 160, size: int = 40) -> np.ndarray:
    picture = picture.copy()
    picture[100 : 100 + size, left : left + size] = level
    return picture


def yuv(luma: np.ndarray, at_ns: int) -> Frame:
    half = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128, np.uint8)
    return Frame((luma, half, half), at_ns)


def bgr(luma: np.ndarray, at_ns: int) -> Frame:
    return Frame((np.repeat(luma[:, :, np.newaxis], 3, axis=2),), at_ns)


@pytest.mark.parametrize("made", [yuv, bgr])
def test_it_opens_for_motion_and_closes_a_while_after_the_motion(made: object) -> None:
    gate = MotionGate(MotionConfig(hold_s=0.5))
    lefts = [0] * 30 + list(range(0, 120, 6)) + [120] * 30
    passed = [gate.passes(made(with_square(grey(), left), index * 33 * MS)) for index, left in enumerate(lefts)]  # type: ignore[operator]
    # the first picture opens it; from the last motion, at 50, it stays open for 500 ms
    assert passed == [True] * 16 + [False] * 15 + [True] * 35 + [False] * 14


@pytest.mark.parametrize("noise", [3.0, 10.0])
def test_noise_does_not_open_it(noise: float) -> None:
    gate = MotionGate(MotionConfig(hold_s=0.0))
    passed = [gate.passes(yuv(grey(90, noise, seed), seed * 33 * MS)) for seed in range(60)]
    assert passed == [True] + [False] * 59


def test_a_slow_change_adds_up() -> None:
    gate = MotionGate(MotionConfig(hold_s=0.0))
    passed = [gate.passes(yuv(grey(60 + index * 0.5), index * 33 * MS)) for index in range(60)]
    assert 2 <= sum(passed) <= 5
    assert passed[0]
    assert passed[1:9] == [False] * 8


def test_a_change_without_frames_opens_it_at_the_next_frame() -> None:
    gate = MotionGate(MotionConfig(hold_s=0.0))
    assert gate.passes(yuv(grey(), 0))
    assert not gate.passes(yuv(grey(), 33 * MS))
    assert gate.passes(yuv(with_square(grey(), 50), 3_600_000 * MS))


def test_a_change_of_size_opens_it() -> None:
    gate = MotionGate(MotionConfig(hold_s=0.0))
    assert gate.passes(yuv(grey(), 0))
    assert gate.passes(yuv(grey()[:120], 33 * MS))


@pytest.mark.parametrize(
    ("size", "cells"),
    [((480, 640), (60, 80)), ((487, 645), (60, 80)), ((9, 5), (2, 1)), ((1, 1), (1, 1)), ((2, 900), (1, 450))],
)
def test_every_size_has_cells(size: tuple[int, int], cells: tuple[int, int]) -> None:
    assert small_luma(Frame((np.full((*size, 3), 7, np.uint8),), 0)).shape == cells
    assert small_luma(Frame((np.full(size, 7, np.uint8),), 0)).shape == cells


def test_a_cell_is_the_mean_of_its_pixels() -> None:
    luma = grey(100, 20, 3)
    means = luma.reshape(HEIGHT // 8, 8, WIDTH // 8, 8).mean(axis=(1, 3))
    assert np.abs(small_luma(yuv(luma, 0)) - means).max() <= 1.5  # rounded three times


def test_the_part_that_has_changed() -> None:
    before = np.full((10, 20), 50, np.uint8)
    after = before.copy()
    after[0, :10] = 59
    after[1, :] = 58
    after[2, :2] = 0
    assert changed_part(after, before) == 12 / 200
    assert changed_part(after, None) == 1.0
