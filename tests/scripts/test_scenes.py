"""Frames for training."""

import pickle

import numpy as np
from training.scenes import FRAME, Composer


def test_a_composer_sent_to_another_process_makes_the_same_frames() -> None:
    pictures = np.zeros((10, 28, 28), np.uint8)
    pictures[:, 6:22, 10:18] = np.random.default_rng(1).integers(100, 255, (10, 16, 8))
    composer = Composer(pictures, np.arange(10), view=FRAME)
    sent = pickle.loads(pickle.dumps(composer))
    made = [one.frames(40, np.random.default_rng(2)) for one in (composer, sent)]
    assert all(np.array_equal(left, right) for left, right in zip(*made, strict=True))
