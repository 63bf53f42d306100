"""How long a model takes on an accelerator: when to stop waiting for it, and when it has become slow. No clock."""

from collections import deque
from collections.abc import Iterable

from daemon.clock import NS_PER_MS

LEAST_DEADLINE_NS = 20 * NS_PER_MS
DEADLINE_FACTOR = 5
"""An answer is waited for as long as five times the p99 of those before, 20 ms at least."""

HISTORY = 512
"""Enough for a p99 that rests on five answers."""

RECENT = 16
"""Half a second of pictures at 30 a second: the median of so many is not moved by a machine that was busy."""

SLOW_FACTOR = 4
SLACK_NS = NS_PER_MS // 2
"""Slow is what takes four times as long as before, and half a millisecond: waking a process may come to that."""


class Pace:
    """The durations of one model's invokes, the latest of them apart from those before."""

    def __init__(self) -> None:
        self._history: deque[int] = deque(maxlen=HISTORY)
        self._recent: deque[int] = deque(maxlen=RECENT)
        self.p50_ns: int | None = None
        self.p99_ns: int | None = None
        self._since = 0

    @property
    def deadline_ns(self) -> int:
        """How long to wait for an answer."""
        return max(LEAST_DEADLINE_NS, DEADLINE_FACTOR * (self.p99_ns or 0))

    def add(self, took_ns: int) -> bool:
        """Note one duration; says whether the latest are slow against those before."""
        if len(self._recent) == RECENT:
            self._history.append(self._recent[0])
            self._since += 1
        self._recent.append(took_ns)
        if self.p50_ns is None or self._since >= RECENT:
            self._take_stock()
        return self.is_slow

    @property
    def recent_ns(self) -> int:
        """The median of the latest."""
        return _percentile(self._recent, 50)

    @property
    def is_slow(self) -> bool:
        """Whether the latest are slow against those before."""
        if self.p50_ns is None or len(self._recent) < RECENT:
            return False
        return self.recent_ns > SLOW_FACTOR * self.p50_ns + SLACK_NS

    def begin_anew(self) -> None:
        """The latest were another process's; those before still count."""
        self._recent.clear()

    def _take_stock(self) -> None:
        self._since = 0
        known = self._history or self._recent
        if len(known) >= RECENT:
            self.p50_ns, self.p99_ns = _percentile(known, 50), _percentile(known, 99)


def _percentile(durations_ns: Iterable[int], percent: int) -> int:
    ordered = sorted(durations_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
