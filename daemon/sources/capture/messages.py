"""A picture as the camera's child writes it and the daemon reads it, and the time it was captured at."""

import struct
from dataclasses import dataclass

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_MS
from daemon.runtime import shared_ring as ring

PICTURE_HEADER = struct.Struct("=qII")

BGR_BYTES = 3

MAX_PIXELS = 8192 * 6144
"""The largest picture that is taken. A slot costs memory only as far as pictures reach into it, so a generous one is
free; a camera may change the size of its pictures as it likes."""

PICTURE_SLOT_BYTES = ring.HEADER.size + PICTURE_HEADER.size + MAX_PIXELS * BGR_BYTES

WAITING_PICTURES = 3
"""A tenth of a second at 30 a second: a picture that waits longer for the daemon is better lost."""

OLDEST_MS = 1000.0
"""The age of a picture, when it is read, beyond which the driver's clock is not believed to be ours."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture in a record: BGR, 8 bits each, row by row from `offset` on; without pixels it was damaged."""

    width: int
    height: int
    captured_ns: int
    offset: int = PICTURE_HEADER.size

    def header(self) -> bytes:
        """What stands before the pixels in a record."""
        return PICTURE_HEADER.pack(self.captured_ns, self.width, self.height)

    @property
    def is_damaged(self) -> bool:
        """Whether the camera sent something that is no picture."""
        return self.width == 0 or self.height == 0


def unpack_picture(record: bytes) -> Picture:
    """The picture in a record. Raises ChildError when it is none."""
    if len(record) >= PICTURE_HEADER.size:
        captured_ns, width, height = PICTURE_HEADER.unpack_from(record)
        if len(record) == PICTURE_HEADER.size + width * height * BGR_BYTES:
            return Picture(width, height, captured_ns)
    raise ChildError(f"{len(record)} bytes are not a picture")


def capture_time(driver_ms: float, read_ns: int) -> int:
    """When a picture that was read at `read_ns` was captured, in monotonic nanoseconds.

    That is what the driver says, in milliseconds, where it can be the time of such a picture on our clock: V4L2 drivers
    stamp with CLOCK_MONOTONIC, but some with another clock, with nothing (0), or wrongly.
    """
    age_ms = read_ns / NS_PER_MS - driver_ms
    is_plausible = driver_ms > 0 and 0 <= age_ms <= OLDEST_MS
    return min(round(driver_ms * NS_PER_MS), read_ns) if is_plausible else read_ns


SOUND_HEADER = struct.Struct("=qIII")
SAMPLE_BYTES = 4

WAITING_CHUNKS = 250
"""Five seconds of sound in pieces of 20 ms may wait for the daemon."""

SOUND_SLOT_BYTES = 4096
"""One page of memory for each piece."""

MAX_SAMPLES = 1000
"""What fits into a slot beside the headers; 960 are 20 ms at 48 kHz. At higher rates pieces are shorter."""


@dataclass(frozen=True, slots=True)
class SoundChunk:
    """Consecutive samples of one channel: float32 in native order, the first captured at `start_ns` (monotonic).

    `overflows` counts the reports of the sound system that samples before this piece were lost; `channel`, from 0, is
    the one it was taken from.
    """

    samples: bytes
    start_ns: int
    rate_hz: int
    overflows: int
    channel: int = 0

    def pack(self) -> bytes:
        """The piece as a record."""
        return SOUND_HEADER.pack(self.start_ns, self.rate_hz, self.overflows, self.channel) + self.samples


def unpack_sound(record: bytes) -> SoundChunk:
    """The piece in a record. Raises ChildError when it is none."""
    if len(record) < SOUND_HEADER.size or (len(record) - SOUND_HEADER.size) % SAMPLE_BYTES:
        raise ChildError(f"{len(record)} bytes are not a piece of sound")
    start_ns, rate_hz, overflows, channel = SOUND_HEADER.unpack_from(record)
    if rate_hz == 0:
        raise ChildError("a piece of sound without a rate")
    return SoundChunk(record[SOUND_HEADER.size :], start_ns, rate_hz, overflows, channel)
