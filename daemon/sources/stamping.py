"""Ties the clock of a network stream to this machine's, by when its data arrive."""

from collections import deque

import numpy as np
import soxr

from daemon.core.records import Array, Block, Modality
from daemon.core.timing import NS_PER_MS, NS_PER_S

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


WINDOW_S = 30
"""Looks back so far for data that were not held up; a clock 200 ppm slow loses 6 ms meanwhile."""

RISE_PPM = 1000
"""Stamps move on by a millisecond a second at most: no clock is that wrong, and nothing downstream sees a step."""

JUMP_NS = NS_PER_S
"""What is off by more than this is no jitter."""

LATE_NS = 5 * NS_PER_S
"""All that comes being later than JUMP_NS for so long, nothing will catch up any more."""


class ArrivalClock:
    """One clock for all that one stream carries: capture time = presentation time + offset.

    The offset is the smallest difference of arrival and presentation time in the last WINDOW_S seconds in which
    anything came: what arrives later was held up on the way. It falls at once, so that no stamp lies after its arrival,
    and rises slowly. Where the presentation times jump by more than JUMP_NS, or everything stays later than that, the
    stream has begun anew, and so does the clock.
    """

    def __init__(self) -> None:
        self._last_pts_ns: dict[Modality, int] = {}
        self._begin()

    def _begin(self) -> None:
        self._meter = DriftMeter()
        self._minima = Minima(NS_PER_S, WINDOW_S)
        self._offset_ns: int | None = None
        self._observed_ns = 0
        self._late_since_ns: int | None = None

    @property
    def drift_ppm(self) -> float | None:
        """How fast the stream's clock runs against this machine's; None while that is not known."""
        return self._meter.ppm

    def observe(self, modality: Modality, end_pts_ns: int, arrived_ns: int) -> int:
        """Take note that what ended at `end_pts_ns` has arrived; gives the offset."""
        behind_ns = arrived_ns - end_pts_ns
        if self._has_begun_anew(modality, end_pts_ns, arrived_ns):
            self._begin()
        self._last_pts_ns[modality] = end_pts_ns
        self._meter.observe(behind_ns, arrived_ns)
        self._minima.add(behind_ns, arrived_ns)
        least_ns = min(least for _, least in self._minima.points)
        if self._offset_ns is not None:
            rise_ns = max(0, arrived_ns - self._observed_ns) * RISE_PPM // 1_000_000
            least_ns = min(least_ns, self._offset_ns + rise_ns)
        self._offset_ns, self._observed_ns = least_ns, arrived_ns
        return least_ns

    def _has_begun_anew(self, modality: Modality, end_pts_ns: int, arrived_ns: int) -> bool:
        if self._offset_ns is None:
            return False
        late_ns = arrived_ns - end_pts_ns - self._offset_ns
        if late_ns <= JUMP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = arrived_ns
        stays_late = self._late_since_ns is not None and arrived_ns - self._late_since_ns > LATE_NS
        # picture and sound may lie far apart in one stream: only each by itself goes back
        went_back = end_pts_ns < self._last_pts_ns.get(modality, end_pts_ns) - JUMP_NS
        return stays_late or went_back or late_ns < -JUMP_NS


BLOCKS_PER_S = 50
HALF_BLOCK_NS = 10 * NS_PER_MS

TRACKING = 64
"""A piece that is a little late moves the stamps by this part of its lateness: it was held up on the way, or the clock
of the sound card is slow, by some 200 ppm at most. One that is early shows that the stamps were late: they follow."""


class BlockCutter:
    """Takes pieces of consecutive samples with the time of their first, gives whole blocks.

    The stamps of blocks go on by the samples counted. A piece whose own time differs from that by more than
    `tolerance_ns`, or whose rate is another, ends the run: what is left of it is resampled to its end, less than a
    block of it is lost, and the next block is marked as a gap. The first block of every run is so marked.
    """

    def __init__(self, sample_rate_hz: int, tolerance_ns: int = HALF_BLOCK_NS) -> None:
        self._rate_hz = sample_rate_hz
        self._block_samples = sample_rate_hz // BLOCKS_PER_S
        self._tolerance_ns = tolerance_ns
        self._input_rate_hz = 0
        self._resampler: soxr.ResampleStream | None = None
        self._is_running = False
        self._begin(0)

    @property
    def moved_ns(self) -> int:
        """By how much the stamps have been moved since the run began: above 0 where the source's clock is slow."""
        return self._anchor_ns - self._began_ns

    def push(self, samples: Array, rate_hz: int, start_ns: int) -> list[Block]:
        """Take float32 samples (n,) at `rate_hz`, the first captured at `start_ns`; give the blocks now whole."""
        ended: list[Block] = []
        if self._is_running:
            stray_ns = start_ns - (self._anchor_ns + self._taken * NS_PER_S // rate_hz)
            if rate_hz != self._input_rate_hz or abs(stray_ns) > self._tolerance_ns:
                ended = self.end_run()
            else:
                self._anchor_ns += stray_ns if stray_ns < 0 else stray_ns // TRACKING
        if not self._is_running:
            self._use_rate(rate_hz)
            self._begin(start_ns)
            self._is_running = True
        self._taken += len(samples)
        return ended + self._cut(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def end_run(self) -> list[Block]:
        """Give the last whole blocks; what is pushed next begins a new run."""
        if not self._is_running:
            return []
        self._is_running = False
        if self._resampler is None:
            return []
        blocks = self._cut(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._resampler.clear()
        return blocks

    def _use_rate(self, rate_hz: int) -> None:
        if rate_hz == self._input_rate_hz:
            return
        self._input_rate_hz = rate_hz
        same = rate_hz == self._rate_hz
        self._resampler = None if same else soxr.ResampleStream(rate_hz, self._rate_hz, 1, dtype="float32")

    def _begin(self, anchor_ns: int) -> None:
        self._began_ns = self._anchor_ns = anchor_ns
        self._taken = 0
        self._given = 0
        self._rest: Array = np.zeros(0, np.float32)

    def _cut(self, samples: Array) -> list[Block]:
        # soxr takes out its filter's delay: output sample k belongs to k / rate after the first input sample
        waiting = np.concatenate([self._rest, samples])
        count = len(waiting) // self._block_samples
        self._rest = waiting[count * self._block_samples :]
        return [self._block(waiting[n * self._block_samples :][: self._block_samples]) for n in range(count)]

    def _block(self, samples: Array) -> Block:
        start_ns = self._anchor_ns + self._given * NS_PER_S // self._rate_hz
        gap = self._given == 0
        self._given += len(samples)
        return Block(samples, self._rate_hz, start_ns, gap)
