"""Frames for training."""

import pickle

import numpy as np
import pytest
from training.cells import cell_labels, cells
from training.clutter import LYING_DEGREES, bar
from training.scenes import CLOSE, FRAME, PART, Composer, View
from training.specs import NONE


def test_a_composer_makes_the_same_frames_in_another_process() -> None:
    composer = _composer(FRAME)
    sent = pickle.loads(pickle.dumps(composer))
    made = [one.frames(40, np.random.default_rng(2)) for one in (composer, sent)]
    assert all(np.array_equal(left, right) for left, right in zip(*made, strict=True))


@pytest.mark.parametrize("view", [CLOSE, PART, FRAME])
def test_every_digit_lies_in_its_frame_and_has_a_size_that_some_cell_must_name(view: View) -> None:
    frames, labels, boxes = _composer(view).frames(200, np.random.default_rng(3), none_share=0.2)
    assert frames.shape == (200, view.height, view.width)
    left, top, right, bottom = boxes[labels != NONE].T
    assert 0.6 < len(left) / 200 < 0.95
    assert (left >= -1).all()
    assert (top >= -1).all()
    assert (right <= view.width + 1).all()
    assert (bottom <= view.height + 1).all()
    named = cell_labels(boxes, labels, cells(view.height, view.width, view.levels))
    assert (named == labels[:, np.newaxis]).any(axis=1).mean() > 0.97


def _composer(view: View) -> Composer:
    pictures = np.zeros((10, 28, 28), np.uint8)
    pictures[:, 6:22, 10:18] = np.random.default_rng(1).integers(100, 255, (10, 16, 8))
    return Composer(pictures, np.arange(10), view)


@pytest.mark.parametrize("seed", range(200))
def test_a_bar_among_the_furniture_does_not_look_like_a_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (left, top), (right, bottom) = bar(160, 120, rng)
    leaves = all(not (0 <= x < 160 and 0 <= y < 120) for x, y in ((left, top), (right, bottom)))
    rounding = 1
    lies = abs(bottom - top) <= abs(right - left) * np.tan(np.deg2rad(LYING_DEGREES)) + rounding
    assert leaves or lies
