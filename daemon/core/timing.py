"""Clocks, frame rates and retry delays. Durations use the monotonic clock; payloads use wall time."""

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

EPOCH = datetime(1970, 1, 1)


def monotonic_ns() -> int:
    """Return the current instant in nanoseconds, on the clock of the capture stamps."""
    return time.monotonic_ns()


def seconds_until(at_ns: int) -> float:
    """Return the seconds until a monotonic instant; 0 after it."""
    return max(0.0, (at_ns - monotonic_ns()) / NS_PER_S)


def wall_time(at_ns: int) -> str:
    """Return the wall time of a monotonic instant, as ISO 8601 in UTC with microseconds."""
    return _iso_8601(time.time_ns() - (time.monotonic_ns() - at_ns))


def wall_time_of(epoch_s: float) -> str:
    """Return a wall time in seconds since the epoch, as ISO 8601 in UTC with microseconds."""
    return _iso_8601(round(epoch_s * NS_PER_S))


def _iso_8601(epoch_ns: int) -> str:
    instant = EPOCH + timedelta(microseconds=epoch_ns // 1000)
    return f"{instant.isoformat(timespec='microseconds')}Z"


class FrameRate:
    """Selects frames by their times, so that at most `fps` a second are taken; None takes every frame."""

    def __init__(self, fps: float | None) -> None:
        self._period_ns = int(NS_PER_S / fps) if fps else 0
        self._next_ns: int | None = None

    def takes(self, at_ns: int) -> bool:
        """Return whether the frame of this time is taken; a frame up to a sixth of a period early is."""
        if self._next_ns is None:
            self._next_ns = at_ns
        if at_ns < self._next_ns - self._period_ns // 6:
            if at_ns > self._next_ns - 2 * self._period_ns:
                return False
            self._next_ns = at_ns  # the stream's time has restarted
        self._next_ns = max(self._next_ns, at_ns - self._period_ns) + self._period_ns
        return True


@dataclass(slots=True)
class Backoff:
    """Retry delays that double from `first_s` up to `longest_s`; each is cut to a random 50 to 100 per cent."""

    first_s: float
    longest_s: float
    failures: int = 0

    def next_s(self) -> float:
        """Return the next delay in seconds."""
        full_s: float = min(self.longest_s, self.first_s * 2 ** min(self.failures, 32))
        self.failures += 1
        return full_s * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, keeps no secret)

    def reset(self) -> None:
        """Make the next delay a short one, after a success."""
        self.failures = 0
