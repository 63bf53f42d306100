"""The drift of a source's clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import DriftMeter, Minima


def test_a_bucket_stores_its_smallest_value_and_the_oldest_bucket_is_dropped() -> None:
    minima = Minima(10, 2)
    values = [(5, 1), (3, 4), (4, 9), (9, 10), (7, 31), (8, 35)]
    assert [minima.add(value, at) for value, at in values] == [True, False, False, True, True, False]
    assert list(minima.points) == [(10, 9), (31, 7)]


@given(st.floats(-300, 300), st.integers(0, 2**32))
def test_drift_is_found_through_jitter_and_stalls(ppm: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    meter = DriftMeter()
    for step in range(6000):
        now_ns = 10**17 + step * NS_PER_S // 10
        late_ns = random.exponential(20 * NS_PER_MS) + (3 * NS_PER_S if 2000 < step < 2300 else 0)
        meter.observe(10**18 + round(-ppm * 1e-6 * step * NS_PER_S / 10 + late_ns), now_ns)
    assert meter.ppm == pytest.approx(ppm, abs=5)


def test_drift_is_unknown_for_the_first_minute() -> None:
    meter = DriftMeter()
    is_known = []
    for second in range(90):
        meter.observe(-second * 100_000, second * NS_PER_S)
        is_known.append(meter.ppm is not None)
    assert not any(is_known[:60])
    assert all(is_known[80:])
    assert meter.ppm == pytest.approx(100)


def test_a_changed_rate_of_the_clock_is_measured_after_ten_minutes() -> None:
    meter = DriftMeter()
    for second in range(2000):
        meter.observe(200_000 * min(second, 1200), second * NS_PER_S)
    assert meter.ppm == pytest.approx(0, abs=1)
