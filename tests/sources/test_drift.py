import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import DriftMeter, Minima


def test_a_bucket_keeps_its_smallest_value_and_the_oldest_is_forgotten() -> None:
    minima = Minima(10, 2)
    seen = [(5, 1), (3, 4), (4, 9), (9, 10), (7, 31), (8, 35)]
    assert [minima.add(value, at) for value, at in seen] == [True, False, False, True, True, False]
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


def test_nothing_is_said_before_a_minute_has_passed() -> None:
    meter = DriftMeter()
    said = []
    for second in range(90):
        meter.observe(-second * 100_000, second * NS_PER_S)
        said.append(meter.ppm is not None)
    assert not any(said[:60])
    assert all(said[80:])
    assert meter.ppm == pytest.approx(100)


def test_a_clock_that_changes_its_rate_is_known_ten_minutes_later() -> None:
    meter = DriftMeter()
    for second in range(2000):
        meter.observe(200_000 * min(second, 1200), second * NS_PER_S)
    assert meter.ppm == pytest.approx(0, abs=1)
