"""The track of a clip for sound that the node has decoded: Opus, in step with the pictures."""

import av
import numpy as np
from av.container import OutputContainer

from daemon.core.records import Block
from daemon.core.timing import NS_PER_MS, NS_PER_S

RATE_HZ = 48_000
BITS_PER_S = 32_000

# what is missing is filled with silence from here on, and what comes twice is left out. Less is the device's own
# inaccuracy, and is taken as continuous
TOLERANCE_NS = 20 * NS_PER_MS

# of one part of silence
SILENCE_S = 1


class SoundTrack:
    """Codes blocks as Opus into a file whose time 0 is `zero_ns`. Used by one thread."""

    def __init__(self, output: OutputContainer, zero_ns: int) -> None:
        self._track = output.add_stream("libopus", rate=RATE_HZ, layout="mono")
        self._track.bit_rate = BITS_PER_S
        self._zero_ns = zero_ns
        self._rate_hz = 0
        self._samples = 0

    @property
    def end_ns(self) -> int:
        """Return the time just after the last sample, within the file."""
        return self._samples * NS_PER_S // self._rate_hz if self._rate_hz else 0

    def add(self, block: Block) -> "list[av.Packet[av.AudioStream]]":
        """Return the packets that the block completes. Raises ValueError for another rate than that of the first."""
        if self._rate_hz == 0:
            self._rate_hz = block.sample_rate_hz
        if block.sample_rate_hz != self._rate_hz:
            raise ValueError(f"sound of {block.sample_rate_hz} Hz after sound of {self._rate_hz} Hz")
        packets = []
        missing = self._samples_missing(block)
        while missing > 0:
            part = min(missing, SILENCE_S * self._rate_hz)
            packets += self._encode(np.zeros(part, np.float32))
            missing -= part
        return packets + self._encode(block.samples[-missing:])

    def finish(self) -> "list[av.Packet[av.AudioStream]]":
        """Return the last packets."""
        return self._track.encode(None) if self._samples else []

    def _samples_missing(self, block: Block) -> int:
        """Return how many samples are missing before the block; negative: how many of its samples come twice."""
        late_ns = block.start_ns - self._zero_ns - self.end_ns
        if abs(late_ns) <= TOLERANCE_NS and self._samples:
            return 0
        return round(late_ns * self._rate_hz / NS_PER_S)

    def _encode(self, samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> "list[av.Packet[av.AudioStream]]":
        if len(samples) == 0:
            return []
        values = np.clip(np.nan_to_num(samples) * 32_767, -32_768, 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.pts = self._rate_hz, self._samples
        self._samples += len(samples)
        return self._track.encode(frame)
