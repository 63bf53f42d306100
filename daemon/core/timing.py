"""The two clocks: monotonic for everything that is measured, wall time only where a payload is made."""

import random
import time
from dataclasses import dataclass
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


class FrameRate:
    """Says of each frame, by its time, whether it is taken; without a limit every one is."""

    def __init__(self, fps: float | None) -> None:
        self._period_ns = int(NS_PER_S / fps) if fps else 0
        self._next_ns: int | None = None

    def takes(self, at_ns: int) -> bool:
        """Whether the frame of this time is taken; a sixth of a period too early still is, against jitter."""
        if self._next_ns is None:
            self._next_ns = at_ns
        if at_ns < self._next_ns - self._period_ns // 6:
            if at_ns > self._next_ns - 2 * self._period_ns:
                return False
            self._next_ns = at_ns  # the stream's time has begun anew
        self._next_ns = max(self._next_ns, at_ns - self._period_ns) + self._period_ns
        return True


@dataclass(slots=True)
class Backoff:
    """Waits that double from `first_s` up to `longest_s`, each cut to a random half to whole of itself."""

    first_s: float
    longest_s: float
    failures: int = 0

    def next_s(self) -> float:
        """The next wait in seconds."""
        whole_s: float = min(self.longest_s, self.first_s * 2 ** min(self.failures, 32))
        self.failures += 1
        return whole_s * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, keeps no secret)

    def reset(self) -> None:
        """It works again: the next wait is a short one."""
        self.failures = 0
