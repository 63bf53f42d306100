"""How long recognitions take from capture on, over the most recent ones."""

from collections import deque

from daemon.clock import NS_PER_MS

KEPT = 512
"""Enough for a p99 that rests on five samples; the last quarter of a minute at 30 a second."""


class Latencies:
    """The latest `KEPT` durations; one thread adds while another reads."""

    def __init__(self) -> None:
        self._durations_ns: deque[int] = deque(maxlen=KEPT)

    def add(self, duration_ns: int) -> None:
        """Note one duration."""
        self._durations_ns.append(duration_ns)

    def percentile_ms(self, percent: float) -> float | None:
        """The given percentile in milliseconds, or None when there are none yet."""
        ordered = sorted(self._durations_ns.copy())
        if not ordered:
            return None
        index = min(len(ordered) - 1, int(len(ordered) * percent / 100))
        return round(ordered[index] / NS_PER_MS, 3)
