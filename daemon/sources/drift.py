"""Estimates how fast a source's clock runs against this machine's."""

from collections import deque

import numpy as np

from daemon.clock import NS_PER_S

BUCKET_NS = 10 * NS_PER_S
BUCKETS = 60
"""The estimate looks back on ten minutes."""

LEAST_SPAN_NS = 60 * NS_PER_S
"""In less than a minute a millisecond of jitter would count for 20 ppm and more."""


class Minima:
    """The smallest value of each bucket of time in which there was one, of the last so many such buckets."""

    def __init__(self, bucket_ns: int, buckets: int) -> None:
        self._bucket_ns = bucket_ns
        self._number: int | None = None
        self.points: deque[tuple[int, int]] = deque(maxlen=buckets)
        """When the smallest value was seen, and it: of every bucket, the oldest first."""

    def add(self, value_ns: int, now_ns: int) -> bool:
        """Take note of a value; says whether it is the first of a new bucket."""
        number = now_ns // self._bucket_ns
        is_new = number != self._number
        if is_new:
            self._number = number
            self.points.append((now_ns, value_ns))
        elif value_ns < self.points[-1][1]:
            self.points[-1] = (now_ns, value_ns)
        return is_new


class DriftMeter:
    """Estimates drift from what has to be added to a source's time to give this machine's.

    Of such offsets the smallest in every 10 s count: what is more was held up on the way. The estimate is the median of
    the slopes between all pairs of them (Theil and Sen), which no stall can pull away. A meter holds for one run of the
    clock: where the source's time begins anew, a new meter does.
    """

    def __init__(self) -> None:
        self._minima = Minima(BUCKET_NS, BUCKETS)
        self.ppm: float | None = None
        """In parts per million, above 0 where the source's clock is fast; None while it is not known."""

    def observe(self, offset_ns: int, now_ns: int) -> None:
        """Take note of the offset that holds now."""
        if self._minima.add(offset_ns, now_ns):
            self._estimate()

    def _estimate(self) -> None:
        whole = list(self._minima.points)[:-1]
        if not whole or whole[-1][0] - whole[0][0] < LEAST_SPAN_NS:
            return
        # relative to the first: differences are small enough for floats, the times themselves are not
        at, offset = (np.array(whole, np.int64) - np.array(whole[0])).astype(float).T
        first, second = np.triu_indices(len(whole), 1)
        slopes = (offset[second] - offset[first]) / (at[second] - at[first])
        self.ppm = -1e6 * float(np.median(slopes))
