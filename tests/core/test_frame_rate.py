"""A frame rate is limited without losing frames to jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_S, FrameRate


@pytest.mark.parametrize(
    ("camera_fps", "limit", "expected"), [(30, None, 300), (30, 30, 300), (30, 10, 100), (30, 20, 200), (25, 60, 250)]
)
def test_frames_are_limited_to_the_rate(camera_fps: int, limit: float | None, expected: int) -> None:
    rate = FrameRate(limit)
    taken = sum(rate.takes(number * NS_PER_S // camera_fps) for number in range(10 * camera_fps))
    assert abs(taken - expected) <= 1


@given(st.lists(st.integers(0, 5_000_000), min_size=300, max_size=300))
def test_jitter_costs_no_frame(late_ns: list[int]) -> None:
    rate = FrameRate(30)
    assert sum(rate.takes(number * NS_PER_S // 30 + late) for number, late in enumerate(late_ns)) >= 298


def test_a_time_that_restarts_is_followed() -> None:
    rate = FrameRate(10)
    assert rate.takes(100 * NS_PER_S)
    assert rate.takes(0)
    assert not rate.takes(NS_PER_S // 100)
    assert rate.takes(NS_PER_S // 10)


@pytest.mark.parametrize("days", [400, 4000])
def test_years_of_uptime_change_no_choice(days: int) -> None:
    def chosen(base_ns: int) -> list[bool]:
        rate = FrameRate(7)
        return [rate.takes(base_ns + number * NS_PER_S // 30) for number in range(3000)]

    assert chosen(days * 86_400 * NS_PER_S) == chosen(0)
