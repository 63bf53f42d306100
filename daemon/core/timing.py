"""Clocks, frame rates and retry delays. Durations use the monotonic clock; payloads use wall time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

EPOCH = datetime(1970, 1, 1)

# a smaller difference between two measurements of the wall clock is no step
STEP_NS = 1_000_000

# three readings of clocks take less than a microsecond
GOOD_ERROR_NS = 10_000
MAX_MEASUREMENTS = 50


def monotonic_ns() -> int:
    """Return the current instant in nanoseconds, on the clock of the capture stamps."""
    return time.monotonic_ns()


def seconds_until(at_ns: int) -> float:
    """Return the seconds until a monotonic instant; 0 after it."""
    return max(0.0, (at_ns - monotonic_ns()) / NS_PER_S)


class WallClock:
    """Translates monotonic instants into wall time. Callable from any thread.

    An instant always has the same wall time, until the wall clock is stepped: set, or moved on by a suspend. From then
    on all instants, earlier ones too, have the time by the new setting. So a device that starts with a wrong clock
    reports right times once its clock is set.

    The kernel changes the difference between its two clocks by steps only, because it slews both alike. Two readings
    of the clocks are never at one instant, so the difference is measured once and kept.
    """

    def __init__(
        self, monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._monotonic_ns, self._wall_ns = monotonic_ns, wall_ns
        self._offset = self._measure_well()

    def at(self, at_ns: int) -> int:
        """Return the wall time of a monotonic instant, in nanoseconds since 1970."""
        stored, found = self._offset, self._measure()
        if abs(found.ns - stored.ns) > found.error_ns + stored.error_ns + STEP_NS:
            stored = self._offset = self._measure_well()
        return at_ns + stored.ns

    def _measure(self) -> "_Offset":
        before_ns, wall_ns, after_ns = self._monotonic_ns(), self._wall_ns(), self._monotonic_ns()
        return _Offset(wall_ns - (before_ns + after_ns) // 2, after_ns - before_ns)

    def _measure_well(self) -> "_Offset":
        """Return the best of some measurements: a thread may lose the processor between two readings."""
        best = self._measure()
        for _ in range(MAX_MEASUREMENTS):
            if best.error_ns <= GOOD_ERROR_NS:
                break
            best = min(best, self._measure(), key=attrgetter("error_ns"))
        return best


@dataclass(frozen=True, slots=True)
class _Offset:
    """Wall time minus monotonic time, and the largest error of this measurement."""

    ns: int
    error_ns: int


_wall_clock = WallClock()


def wall_time(at_ns: int) -> str:
    """Return the wall time of a monotonic instant, as ISO 8601 in UTC with microseconds; see WallClock."""
    return _iso_8601(_wall_clock.at(at_ns))


def wall_seconds(at_ns: int) -> float:
    """Return the wall time of a monotonic instant in seconds since the epoch; see WallClock."""
    return _wall_clock.at(at_ns) / NS_PER_S


def wall_time_of(epoch_s: float) -> str:
    """Return a wall time in seconds since the epoch, as ISO 8601 in UTC with microseconds."""
    return _iso_8601(round(epoch_s * NS_PER_S))


def clock_text(epoch_s: float) -> str:
    """Return the time of day of a wall time, as a clock in the place of the node shows it: HH:MM:SS."""
    return time.strftime("%H:%M:%S", time.localtime(epoch_s))


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


class Schedule:
    """Selects instants, so that on average at most `rate_hz` a second pass. It uses no clock.

    An instant passes up to half a period before it is due. One that is up to half a period late does not delay the
    next. So of 30 a second a rate of 20 lets 20 pass; a minimum distance would let 15 pass. In any T seconds at most
    `rate_hz` * T + 2 pass.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(NS_PER_S / rate_hz)
        self._due_ns: int | None = None

    def passes(self, at_ns: int) -> bool:
        """Return whether this instant passes; instants must not decrease, or time has restarted."""
        if self._due_ns is None or self._due_ns - at_ns > 2 * self._period_ns:
            self._due_ns = at_ns
        early_ns, half_ns = self._due_ns - at_ns, self._period_ns // 2
        if early_ns > half_ns:
            return False
        self._due_ns = (self._due_ns if early_ns >= -half_ns else at_ns) + self._period_ns
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
