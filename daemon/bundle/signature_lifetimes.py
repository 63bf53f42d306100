"""Lifetimes of signatures: defaults, expiry, and when a renewal is due or urgent. No clock, no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta

# the roles of TUF, from the most guarded key to the one that signs every day
ROLES = ("root", "targets", "snapshot", "timestamp")

# The expiry limits how long an attacker can hide new versions from devices. The timestamp, which a job renews every
# day, sets that limit: a week lets the job fail over a long weekend and leaves days to notice. The snapshot's key is
# stored beside the timestamp's and also signs at each publication; without one, every three weeks is enough. The
# targets' key may be with people who publish by hand: it is needed six times a year, the root's once or twice.
DEFAULT_DAYS: Mapping[str, int] = {"root": 365, "targets": 90, "snapshot": 30, "timestamp": 7}

# a field of each role in root: the lifetime of its signatures in days; TUF ignores fields that it does not know
EXPIRY_DAYS_FIELD = "x-perceptd-expiry-days"

# a lifetime above ten years is a mistake
MAX_DAYS = 3650

# a renewal is due when this share of the lifetime remains: ten days of a month, so that renewals may fail
DUE = 1 / 3

# somebody is warned when this share of the lifetime remains: two due renewals have failed
URGENT = 1 / 5

# how far a clock may be behind the one that signed before a warning: small corrections are normal
SLACK_DAYS = 1


def sane_days(role: str, found: object) -> int:
    """Return the lifetime that a publisher has signed, or the role's default where that is no sensible number."""
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= MAX_DAYS:
        return found
    return DEFAULT_DAYS[role]


def expiry(days: int, now: datetime) -> datetime:
    """Return the expiry of a signature that is made now."""
    return now + timedelta(days=days)


def days_left(expires: datetime, now: datetime) -> float:
    """Return the days until the expiry; negative after it."""
    return (expires - now) / timedelta(days=1)


def is_due(expires: datetime, days: int, now: datetime) -> bool:
    """Return whether a signature with a lifetime of `days` must be renewed."""
    return days_left(expires, now) <= DUE * days or is_ahead(expires, days, now)


def is_urgent(expires: datetime, days: int, now: datetime) -> bool:
    """Return whether a signature with a lifetime of `days` has expired, soon will, or was made in the future."""
    return days_left(expires, now) <= URGENT * days or is_ahead(expires, days, now)


def is_ahead(expires: datetime, days: int, now: datetime) -> bool:
    """Return whether it expires later than a signature made now: one of the two clocks is or was wrong."""
    return days_left(expires, now) > days + SLACK_DAYS
