"""When a renewal of a signature is due, and when it is urgent."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.signature_lifetimes import DEFAULT_DAYS, ROLES, days_left, expiry, is_due, is_urgent

NOW = datetime(2026, 11, 27, 8, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("days", "left", "due", "urgent"),
    [
        (90, 90, False, False),
        (90, 31, False, False),
        (90, 30, True, False),
        (90, 18.1, True, False),
        (90, 18, True, True),
        (90, -5, True, True),
        (7, 6, False, False),
        (7, 1.4, True, True),
        (7, 8, False, False),
        (7, 8.1, True, True),
        (7, 1800, True, True),
    ],
)
def test_a_third_is_due_and_a_fifth_or_a_signature_from_the_future_is_urgent(
    days: int, left: float, due: bool, urgent: bool
) -> None:
    expires = NOW + timedelta(days=left)
    assert (is_due(expires, days, NOW), is_urgent(expires, days, NOW)) == (due, urgent)


@given(days=st.integers(1, 3650), passed=st.floats(0, 4000))
def test_an_urgent_signature_is_due_and_a_new_one_is_neither(days: int, passed: float) -> None:
    expires = expiry(days, NOW)
    assert not is_due(expires, days, NOW)
    later = NOW + timedelta(days=passed)
    assert is_due(expires, days, later) >= is_urgent(expires, days, later)
    assert days_left(expires, later) == pytest.approx(days - passed, abs=1e-6)


def test_the_better_a_key_is_guarded_the_longer_its_signatures_count() -> None:
    lifetimes = [DEFAULT_DAYS[role] for role in ROLES]
    assert lifetimes == sorted(lifetimes, reverse=True)
