"""The two clocks: monotonic for everything that is measured, wall time only where a payload is made."""

import time
from datetime import datetime, timedelta

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

EPOCH = datetime(1970, 1, 1)


def monotonic_ns() -> int:
    """The instant now in nanoseconds, on the clock that capture stamps use."""
    return time.monotonic_ns()


def seconds_until(at_ns: int) -> float:
    """How long it is until a monotonic instant; 0 when it has passed."""
    return max(0.0, (at_ns - monotonic_ns()) / NS_PER_S)


def wall_time(at_ns: int) -> str:
    """The wall time of a monotonic instant, as ISO 8601 in UTC with microseconds."""
    return _iso_8601(time.time_ns() - (time.monotonic_ns() - at_ns))


def wall_time_of(epoch_s: float) -> str:
    """The same of an instant that was noted as wall time, in seconds since the epoch."""
    return _iso_8601(round(epoch_s * NS_PER_S))


def _iso_8601(epoch_ns: int) -> str:
    instant = EPOCH + timedelta(microseconds=epoch_ns // 1000)
    return f"{instant.isoformat(timespec='microseconds')}Z"
