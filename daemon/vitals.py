"""How a bundle does: its moments' latencies and best scores, and what failed meanwhile."""

from collections import deque
from collections.abc import Callable

from daemon.bundles.rules import Vitals
from daemon.clock import NS_PER_MS

WINDOW_MOMENTS = 500
"""Enough for a p99 that rests on five of them."""


class VitalSigns:
    """Of one bundle, over its latest moments; the thread that fuses takes them, another reads.

    `errors` counts what has failed since the daemon started, under whichever bundle.
    """

    def __init__(self, errors: Callable[[], int]) -> None:
        self._errors = errors
        self._latest: deque[tuple[int, float, int]] = deque(maxlen=WINDOW_MOMENTS)
        self._moments = 0
        self._errors_before = errors()

    def begin(self) -> None:
        """The bundle takes over: what failed until now was another's."""
        self._errors_before = self._errors()

    def take(self, latency_ns: int, top_score: float) -> None:
        """Note one moment: how long after its capture it was recognised, and the score of its best label."""
        self._latest.append((latency_ns, top_score, self._errors()))
        self._moments += 1

    def read(self) -> Vitals:
        """All moments so far; latencies, scores and errors are those of the latest ones."""
        latest, errors = list(self._latest.copy()), self._errors()
        if not latest:
            return Vitals(moments=0, errors=errors - self._errors_before, p99_ms=None, mean_top_score=None)
        latencies_ns = sorted(latency_ns for latency_ns, _, _ in latest)
        is_whole = self._moments == len(latest)
        return Vitals(
            moments=self._moments,
            errors=errors - (self._errors_before if is_whole else latest[0][2]),
            p99_ms=latencies_ns[min(len(latest) - 1, len(latest) * 99 // 100)] / NS_PER_MS,
            mean_top_score=sum(score for _, score, _ in latest) / len(latest),
        )
