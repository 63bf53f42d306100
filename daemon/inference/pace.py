"""How long a model takes on an accelerator: when to stop waiting for it, and when it has become slow. No clock."""

from collections import deque
from collections.abc import Iterable

from daemon.clock import NS_PER_MS

LEAST_DEADLINE_NS = 20 * NS_PER_MS
DEADLINE_FACTOR = 5
"""An answer is waited for as long as five times the p99 of those before, 20 ms at least."""

MOST_DEADLINE_NS = 1500 * NS_PER_MS
"""And no longer than this: an encoder that waits twice, and then computes, must not seem to hang (progress.ROUND_S)."""

HISTORY = 512
"""Enough for a p99 that rests on five answers."""

RECENT = 16
"""Half a second of pictures at 30 a second: the median of so many is not moved by a machine that was busy."""

SLOW_FACTOR = 4
SLACK_NS = 5 * NS_PER_MS
"""Slow is what takes four times as long as before, and 5 ms: so long a process may wait for a busy processor."""


class Pace:
    """The durations of one model's invokes, the latest of them apart from those before."""

    def __init__(self) -> None:
        self._history: deque[int] = deque(maxlen=HISTORY)
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._late: deque[bool] = deque(maxlen=RECENT)
        self._since = 0
        self.p50_ns: int | None = None
        self.p99_ns: int | None = None
        self.deadline_ns = LEAST_DEADLINE_NS
        self.is_slow = False

    @property
    def recent_ns(self) -> int:
        """The median of the latest."""
        return _percentile(self._recent, 50)

    def add(self, took_ns: int) -> None:
        """Note one duration, and whether most of the latest are slow against those before."""
        if len(self._recent) == RECENT:
            self._history.append(self._recent[0])
        self._recent.append(took_ns)
        self._late.append(self.p50_ns is not None and took_ns > SLOW_FACTOR * self.p50_ns + SLACK_NS)
        self.is_slow = len(self._late) == RECENT and sum(self._late) > RECENT // 2
        self._since += 1
        if self._since >= RECENT:
            self._take_stock()

    def begin_anew(self) -> None:
        """The latest were another process's, and are now among those before: what lasts is slow no more."""
        self._history.extend(self._recent)
        if self._history:
            self._take_stock()
        self._recent.clear()
        self._late.clear()
        self._since, self.is_slow = 0, False

    def _take_stock(self) -> None:
        self._since = 0
        known = self._history or self._recent
        self.p50_ns, self.p99_ns = _percentile(known, 50), _percentile(known, 99)
        self.deadline_ns = min(max(LEAST_DEADLINE_NS, DEADLINE_FACTOR * self.p99_ns), MOST_DEADLINE_NS)


def _percentile(durations_ns: Iterable[int], percent: int) -> int:
    ordered = sorted(durations_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
