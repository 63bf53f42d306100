"""Counts durations in fixed buckets, cheaply enough for every frame."""

import threading
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from daemon.core.timing import NS_PER_S

# in seconds, for what takes from a fraction of a millisecond to a few seconds
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Durations:
    """A snapshot: how many durations were at most as long as each of BOUNDS_S, how many there were, and their sum."""

    at_most: tuple[int, ...]
    count: int
    sum_s: float


class Histogram:
    """Counts durations since the daemon started. Callable from any thread; an addition takes under a microsecond."""

    def __init__(self) -> None:
        self._bounds_ns = [round(bound * NS_PER_S) for bound in BOUNDS_S]
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_ns = 0
        self._lock = threading.Lock()

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        bucket = bisect_left(self._bounds_ns, duration_ns)
        with self._lock:
            self._counts[bucket] += 1
            self._sum_ns += duration_ns

    def read(self) -> Durations:
        """Return a snapshot."""
        with self._lock:
            counts, sum_ns = self._counts.copy(), self._sum_ns
        *at_most, count = accumulate(counts)
        return Durations(tuple(at_most), count, sum_ns / NS_PER_S)


class Histograms:
    """One histogram for each name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Histogram] = {}

    def of(self, name: str) -> Histogram:
        """Return the histogram of a name; callable from any thread."""
        return self._by_name.setdefault(name, Histogram())
