"""Which events go, because there are too many or they are too old; and whether another one may be kept."""

import os
from collections.abc import Iterable
from pathlib import Path

from daemon.core.errors import HistoryError
from daemon.history.records import Quota, Usage

# Other parts of the daemon write to the same disk, and an event can be deleted then, which takes room for a moment.
RESERVE_BYTES = 32 << 20

# The most of the quota that pinned events may have: the rest is left to events that come and go.
KEPT_SHARE = 0.9

MB = 1_000_000

# number, age of the history when the event began, bytes
Candidate = tuple[int, float, int]


def to_go(candidates: Iterable[Candidate], *, excess_bytes: int, before_s: float) -> list[int]:
    """Return the numbers of the events that go, of `candidates` in the order in which they began. Pure.

    Those that began before the age `before_s` go, and so many of the first that `excess_bytes` are free.
    """
    numbers = []
    for number, at_s, size_bytes in candidates:
        if excess_bytes <= 0 and at_s >= before_s:
            break
        numbers.append(number)
        excess_bytes -= size_bytes
    return numbers


def limit_problem(usage: Usage, quota_bytes: int) -> str | None:
    """Return why no more events are kept, in words, where those that somebody keeps fill the quota. Pure."""
    if usage.kept_bytes < KEPT_SHARE * quota_bytes:
        return None
    return (
        f"the {usage.kept_events} events that stay until somebody deletes them have {usage.kept_bytes // MB} MB of "
        f"{quota_bytes // MB} MB, and no other event is kept: delete some of them, or raise history.quota_mb"
    )


def check_limit(usage: Usage, quota: Quota) -> None:
    """Raise HistoryError where the events that somebody keeps fill the quota."""
    if problem := limit_problem(usage, quota.size_bytes):
        raise HistoryError("limit", problem)


def check_room(directory: Path) -> None:
    """Check that the disk has room for an event. Raises HistoryError."""
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        raise HistoryError("disk", f"{directory} cannot be used: {error.strerror}") from error
    free = disk.f_bavail * disk.f_frsize
    if free < RESERVE_BYTES:
        raise HistoryError(
            "disk",
            f"the disk of {directory} has {free >> 20} MB free, at least {RESERVE_BYTES >> 20} MB must stay free, and "
            "no event is kept: make room there, or lower history.quota_mb",
        )
