"""How long signatures count, when they are renewed, and when somebody is told. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

ROLES = ("root", "targets", "snapshot", "timestamp")
"""The roles of TUF, from the one whose key is used least and guarded best to the one that signs every day."""

DEFAULT_DAYS: Mapping[str, int] = {"root": 365, "targets": 90, "snapshot": 30, "timestamp": 7}
"""How many days a signature of each role counts.

What expires protects devices from being kept at an old state: the timestamp, which a job renews every day, says for how
long at most. A week lets that job fail over a long weekend, and leaves days to notice. The snapshot's key lies where
the timestamp's does, and signs whenever something is published; where nothing is, once in three weeks is enough. The
targets' key may lie where people publish by hand: it is needed six times a year, the root's once or twice.
"""

EXPIRY_DAYS_FIELD = "x-perceptd-expiry-days"
"""In root, of each role: for how many days it signs. TUF leaves fields of other names alone."""

MAX_DAYS = 3650
"""A signature that counts for more than ten years is a mistake."""

DUE = 1 / 3
"""What part of its lifetime is left when a signature is renewed: of a month ten days, so that renewals may fail."""

URGENT = 1 / 5
"""What part of its lifetime is left when somebody must be told: two renewals of those that are due have failed."""


SLACK_DAYS = 1
"""By how much a clock may differ from the one that signed before: nobody is told of small corrections."""


def expiry(days: int, now: datetime) -> datetime:
    """When a signature made now expires."""
    return now + timedelta(days=days)


def days_left(expires: datetime, now: datetime) -> float:
    """Negative when it has expired."""
    return (expires - now) / timedelta(days=1)


def is_due(expires: datetime, days: int, now: datetime) -> bool:
    """Whether a signature that counts for `days` is to be renewed."""
    return days_left(expires, now) <= DUE * days or is_ahead(expires, days, now)


def is_urgent(expires: datetime, days: int, now: datetime) -> bool:
    """Whether a signature that counts for `days` has expired, or soon will, or was made in what is the future."""
    return days_left(expires, now) <= URGENT * days or is_ahead(expires, days, now)


def is_ahead(expires: datetime, days: int, now: datetime) -> bool:
    """Whether it counts longer than one made now: this clock is wrong, or the one that signed was."""
    return days_left(expires, now) > days + SLACK_DAYS
