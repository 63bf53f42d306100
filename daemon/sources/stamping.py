"""Capture times of sound by counting samples, and the drift of a source's clock."""

from collections import deque

import numpy as np
import soxr

from daemon.core.records import Array, Block
from daemon.core.timing import NS_PER_MS, NS_PER_S

# Drift is estimated over ten minutes, from the smallest offset of every ten seconds.
BUCKET_NS = 10 * NS_PER_S
BUCKETS = 60

# In a shorter time a millisecond of jitter would look like 20 ppm or more.
MIN_SPAN_NS = 60 * NS_PER_S

BLOCKS_PER_S = 50

# A packet of Vorbis may be stamped 14 ms late. Lost packets of sound are longer: 20 ms and more in most formats.
TOLERANCE_NS = 15 * NS_PER_MS

# A late chunk moves the stamps by this part of its lateness: it was delayed, or the sound card's clock is slow by
# at most 200 ppm. An early chunk moves the stamps by all of it, because it shows that they were late.
TRACKING = 64


class Minima:
    """Stores the smallest value of each time bucket, for the latest `buckets` buckets with a value."""

    def __init__(self, bucket_ns: int, buckets: int) -> None:
        self._bucket_ns = bucket_ns
        self._number: int | None = None
        # the time and the smallest value of each bucket, oldest bucket first
        self.points: deque[tuple[int, int]] = deque(maxlen=buckets)

    def add(self, value_ns: int, now_ns: int) -> bool:
        """Add a value. Return whether it is the first of a new bucket."""
        number = now_ns // self._bucket_ns
        is_new = number != self._number
        if is_new:
            self._number = number
            self.points.append((now_ns, value_ns))
        elif value_ns < self.points[-1][1]:
            self.points[-1] = (now_ns, value_ns)
        return is_new


class DriftMeter:
    """Estimates drift from the offsets between this machine's clock and the clock of a source.

    The smallest offset of every 10 s counts, because larger ones come from delays.
    The estimate is the median of the slopes between all pairs of them (Theil and Sen), which stalls hardly change.
    When the source's clock starts again, a new meter is needed.

    `ppm` is in parts per million, above 0 where the source's clock is fast. None: not known yet.
    """

    def __init__(self) -> None:
        self._minima = Minima(BUCKET_NS, BUCKETS)
        self.ppm: float | None = None

    def observe(self, offset_ns: int, now_ns: int) -> None:
        """Add the offset at `now_ns`."""
        if self._minima.add(offset_ns, now_ns):
            self._estimate()

    def _estimate(self) -> None:
        points = list(self._minima.points)[:-1]  # the last bucket is incomplete
        if not points or points[-1][0] - points[0][0] < MIN_SPAN_NS:
            return
        # relative to the first point, because a float cannot hold the times themselves exactly
        at, offset = (np.array(points, np.int64) - np.array(points[0])).astype(float).T
        first, second = np.triu_indices(len(points), 1)
        slopes = (offset[second] - offset[first]) / (at[second] - at[first])
        self.ppm = -1e6 * float(np.median(slopes))


class BlockCutter:
    """Turns chunks of consecutive samples into blocks of 20 ms at one sample rate, stamped by counting samples.

    A chunk ends the run if its time differs from the counted time by more than `tolerance_ns`, or if its rate changes.
    Then the last samples that do not fill a block are lost. The first block of every run is marked as a gap.
    """

    def __init__(self, sample_rate_hz: int, tolerance_ns: int = TOLERANCE_NS) -> None:
        self._rate_hz = sample_rate_hz
        self._block_samples = sample_rate_hz // BLOCKS_PER_S
        self._tolerance_ns = tolerance_ns
        self._input_rate_hz = 0
        self._resampler: soxr.ResampleStream | None = None
        self._is_running = False
        self._start_run(0)

    @property
    def moved_ns(self) -> int:
        """How far the stamps have moved since the run began, above 0 where the source's clock is slow."""
        return self._anchor_ns - self._began_ns

    def push(self, samples: Array, rate_hz: int, start_ns: int) -> list[Block]:
        """Take float32 samples (n,) at `rate_hz`, the first captured at `start_ns`. Return the blocks now complete."""
        last_blocks: list[Block] = []
        if self._is_running and not self.continues(rate_hz, start_ns):
            last_blocks = self.end_run()
        elif self._is_running:
            error_ns = self._error_ns(rate_hz, start_ns)
            self._anchor_ns += error_ns if error_ns < 0 else error_ns // TRACKING
        if not self._is_running:
            self._use_rate(rate_hz)
            self._start_run(start_ns)
            self._is_running = True
        self._input_samples += len(samples)
        return last_blocks + self._cut(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def continues(self, rate_hz: int, start_ns: int) -> bool:
        """Return whether samples at `rate_hz`, the first captured at `start_ns`, belong to the present run."""
        is_same_rate = self._is_running and rate_hz == self._input_rate_hz
        return is_same_rate and abs(self._error_ns(rate_hz, start_ns)) <= self._tolerance_ns

    def end_run(self) -> list[Block]:
        """End the run and return its last complete blocks. The next samples begin a new run."""
        if not self._is_running:
            return []
        self._is_running = False
        if self._resampler is None:
            return []
        blocks = self._cut(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._resampler.clear()
        return blocks

    def _error_ns(self, rate_hz: int, start_ns: int) -> int:
        """Return how much later the samples start than the counted time says."""
        return start_ns - (self._anchor_ns + self._input_samples * NS_PER_S // rate_hz)

    def _use_rate(self, rate_hz: int) -> None:
        if rate_hz == self._input_rate_hz:
            return
        self._input_rate_hz = rate_hz
        is_same = rate_hz == self._rate_hz
        self._resampler = None if is_same else soxr.ResampleStream(rate_hz, self._rate_hz, 1, dtype="float32")

    def _start_run(self, anchor_ns: int) -> None:
        self._began_ns = self._anchor_ns = anchor_ns
        self._input_samples = 0
        self._cut_samples = 0
        self._waiting: Array = np.zeros(0, np.float32)

    def _cut(self, samples: Array) -> list[Block]:
        # soxr compensates the delay of its filter: output sample k is k / rate after the first input sample
        waiting = np.concatenate((self._waiting, samples))
        count = len(waiting) // self._block_samples
        self._waiting = waiting[count * self._block_samples :]
        return [self._block(waiting[n * self._block_samples :][: self._block_samples]) for n in range(count)]

    def _block(self, samples: Array) -> Block:
        start_ns = self._anchor_ns + self._cut_samples * NS_PER_S // self._rate_hz
        gap = self._cut_samples == 0
        self._cut_samples += len(samples)
        return Block(samples, self._rate_hz, start_ns, gap)
