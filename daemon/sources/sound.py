"""Cuts sound of any rate into blocks of 20 ms at the wanted rate, each stamped with the time of its samples."""

import numpy as np
import soxr

from daemon.clock import NS_PER_MS, NS_PER_S
from daemon.records import Array, Block

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
