"""What thresholds cost in false alarms, at the ends of what numbers can hold."""

import numpy as np
import pytest

from daemon.teaching.thresholds import tail_of


@pytest.mark.parametrize("level", [-1e6, 0.0, 5.0, 1e3, 1e6])
def test_a_rate_is_a_number_however_far_the_level_is_from_the_background(level: float) -> None:
    background = np.random.default_rng(1).normal(-8, 0.01, 30).astype(np.float32)
    rate = tail_of(background, middle=6.0).rate(level, hours=3.0)
    assert 0 <= rate.low <= rate.expected <= rate.high
    assert np.isfinite([rate.low, rate.expected, rate.high]).all()
