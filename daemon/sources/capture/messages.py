"""The records of pictures and sound that capture processes send to the daemon."""

import struct
from dataclasses import dataclass

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_MS
from daemon.runtime import shared_ring as ring

# Capture time, width, height.
PICTURE_HEADER = struct.Struct("=qII")
BGR_BYTES = 3

# The largest picture, so that a camera may change its size. Memory is used only as far as pictures fill it.
MAX_PIXELS = 8192 * 6144
PICTURE_SLOT_BYTES = ring.HEADER.size + PICTURE_HEADER.size + MAX_PIXELS * BGR_BYTES

# A tenth of a second at 30 pictures a second. Older pictures are of no use.
WAITING_PICTURES = 3

# An older time of the driver is of another clock than CLOCK_MONOTONIC.
MAX_PICTURE_AGE_MS = 1000.0

# Capture time, sample rate, overflows, channel.
SOUND_HEADER = struct.Struct("=qIII")
SAMPLE_BYTES = 4

# Five seconds of sound in chunks of 20 ms.
WAITING_CHUNKS = 250

# A page of memory for each chunk.
SOUND_SLOT_BYTES = 4096

# The samples that fit into a slot beside the headers. 20 ms at 48 kHz are 960; higher rates have shorter chunks.
MAX_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture in a record: BGR, 8 bits each, row by row from `offset`. A damaged picture has no pixels."""

    width: int
    height: int
    captured_ns: int
    offset: int = PICTURE_HEADER.size

    def header(self) -> bytes:
        """Return the part of the record before the pixels."""
        return PICTURE_HEADER.pack(self.captured_ns, self.width, self.height)

    @property
    def is_damaged(self) -> bool:
        """Whether the picture could not be decoded."""
        return self.width == 0 or self.height == 0


def unpack_picture(record: bytes) -> Picture:
    """Return the picture in a record. Raises ChildError when the record holds none."""
    if len(record) >= PICTURE_HEADER.size:
        captured_ns, width, height = PICTURE_HEADER.unpack_from(record)
        if len(record) == PICTURE_HEADER.size + width * height * BGR_BYTES:
            return Picture(width, height, captured_ns)
    raise ChildError(f"{len(record)} bytes are not a picture")


def capture_time(driver_ms: float, read_ns: int) -> int:
    """Return the capture time of a picture that was read at `read_ns`, in monotonic nanoseconds.

    The result is the driver's time `driver_ms` if that is at most MAX_PICTURE_AGE_MS old, else `read_ns`.
    """
    # V4L2 drivers use CLOCK_MONOTONIC, but some use another clock, give 0, or are wrong
    age_ms = read_ns / NS_PER_MS - driver_ms
    is_plausible = driver_ms > 0 and 0 <= age_ms <= MAX_PICTURE_AGE_MS
    return min(round(driver_ms * NS_PER_MS), read_ns) if is_plausible else read_ns


@dataclass(frozen=True, slots=True)
class SoundChunk:
    """Consecutive samples of one channel: float32 in native order, the first captured at `start_ns` (monotonic).

    `overflows` counts the losses before this chunk that the sound system reported.
    `channel` is the channel of the samples, counted from 0.
    """

    samples: bytes
    start_ns: int
    rate_hz: int
    overflows: int
    channel: int = 0

    def pack(self) -> bytes:
        """Return the chunk as a record."""
        return SOUND_HEADER.pack(self.start_ns, self.rate_hz, self.overflows, self.channel) + self.samples


def unpack_sound(record: bytes) -> SoundChunk:
    """Return the chunk in a record. Raises ChildError when the record holds none."""
    if len(record) < SOUND_HEADER.size or (len(record) - SOUND_HEADER.size) % SAMPLE_BYTES:
        raise ChildError(f"{len(record)} bytes are not a chunk of sound")
    start_ns, rate_hz, overflows, channel = SOUND_HEADER.unpack_from(record)
    if rate_hz == 0:
        raise ChildError("a chunk of sound has no sample rate")
    return SoundChunk(record[SOUND_HEADER.size :], start_ns, rate_hz, overflows, channel)
