"""The durations of a model's invokes: percentiles, the deadline of the next invoke, and whether it became slow."""

from collections import deque
from collections.abc import Iterable

from daemon.core.timing import NS_PER_MS

# The deadline of an invoke is five times the p99 of earlier ones, and at least 20 ms.
MIN_DEADLINE_NS = 20 * NS_PER_MS
DEADLINE_FACTOR = 5

# An encoder that waits twice for so long, and then computes on the CPU, still counts as alive (heartbeat.ROUND_S).
MAX_DEADLINE_NS = 1500 * NS_PER_MS

# Enough durations for a p99 that rests on five of them.
HISTORY_SIZE = 512

# Half a second of pictures at 30 a second. A machine that was busy for a moment does not move their median.
RECENT_SIZE = 16

# An invoke is slow when it takes four times as long as before, and 5 ms more.
# A process may wait for a busy processor for 5 ms.
SLOW_FACTOR = 4
SLACK_NS = 5 * NS_PER_MS


class LatencyStats:
    """The durations of one model's invokes. The latest RECENT_SIZE are compared with those before."""

    def __init__(self) -> None:
        self._history: deque[int] = deque(maxlen=HISTORY_SIZE)
        self._recent: deque[int] = deque(maxlen=RECENT_SIZE)
        self._slow: deque[bool] = deque(maxlen=RECENT_SIZE)
        self._since_update = 0
        self.p50_ns: int | None = None
        self.p99_ns: int | None = None
        self.deadline_ns = MIN_DEADLINE_NS
        self.is_slow = False

    @property
    def recent_p50_ns(self) -> int:
        """The median of the latest durations; there must be one at least."""
        return _percentile(self._recent, 50)

    def add(self, duration_ns: int) -> None:
        """Note one duration. Sets `is_slow` when most of the latest durations are slow."""
        if len(self._recent) == RECENT_SIZE:
            self._history.append(self._recent[0])
        self._recent.append(duration_ns)
        self._slow.append(self.p50_ns is not None and duration_ns > SLOW_FACTOR * self.p50_ns + SLACK_NS)
        self.is_slow = len(self._slow) == RECENT_SIZE and sum(self._slow) > RECENT_SIZE // 2
        self._since_update += 1
        if self._since_update >= RECENT_SIZE:
            self._update()

    def begin_process(self) -> None:
        """Count the latest durations as history: the next ones come from a new process.

        A device that stays slow over several processes is therefore no longer called slow.
        """
        self._history.extend(self._recent)
        if self._history:
            self._update()
        self._recent.clear()
        self._slow.clear()
        self._since_update, self.is_slow = 0, False

    def _update(self) -> None:
        self._since_update = 0
        durations = self._history or self._recent
        self.p50_ns, self.p99_ns = _percentile(durations, 50), _percentile(durations, 99)
        self.deadline_ns = min(max(MIN_DEADLINE_NS, DEADLINE_FACTOR * self.p99_ns), MAX_DEADLINE_NS)


def _percentile(durations_ns: Iterable[int], percent: int) -> int:
    ordered = sorted(durations_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
