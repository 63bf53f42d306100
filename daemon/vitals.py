"""How a bundle does: its moments' latencies and best scores, and what failed meanwhile."""

from collections import deque
from collections.abc import Callable

from daemon.bundles.rules import Vitals
from daemon.clock import NS_PER_MS

LATEST_MOMENTS = 500
"""Enough for a p99 that rests on five of them."""


class VitalSigns:
    """Of one bundle; the thread that fuses takes them, another reads.

    `errors` counts what has failed since the daemon started, under whichever bundle.
    """

    def __init__(self, errors: Callable[[], int]) -> None:
        self._errors = errors
        self._errors_before = errors()
        self._latest: deque[tuple[int, float]] = deque(maxlen=LATEST_MOMENTS)
        self._moments = 0

    def begin(self) -> None:
        """The bundle takes over: what failed until now was another's."""
        self._errors_before = self._errors()

    def take(self, latency_ns: int, top_score: float) -> None:
        """Note one moment: how long after its capture it was recognised, and the score of its best label."""
        self._latest.append((latency_ns, top_score))
        self._moments += 1

    def read(self) -> Vitals:
        """Moments and errors since it took over, latencies and scores of the latest moments."""
        latest, errors = self._latest.copy(), self._errors() - self._errors_before
        if not latest:
            return Vitals(moments=0, errors=errors, p99_ms=None, mean_top_score=None)
        latencies_ns = sorted(latency_ns for latency_ns, _ in latest)
        return Vitals(
            moments=self._moments,
            errors=errors,
            p99_ms=latencies_ns[min(len(latest) - 1, len(latest) * 99 // 100)] / NS_PER_MS,
            mean_top_score=sum(score for _, score in latest) / len(latest),
        )
