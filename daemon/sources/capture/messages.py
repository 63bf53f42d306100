"""A picture as the camera's child writes it and the daemon reads it, and the time it was captured at."""

import struct
from dataclasses import dataclass

from daemon.clock import NS_PER_MS
from daemon.errors import ChildError
from daemon.runtime import ring

HEADER = struct.Struct("=qII")

BGR_BYTES = 3

MOST_PIXELS = 8192 * 6144
"""The largest picture that is taken. A slot costs memory only as far as pictures reach into it, so a generous one is
free; a camera may change the size of its pictures as it likes."""

SLOT_BYTES = ring.HEADER.size + HEADER.size + MOST_PIXELS * BGR_BYTES

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
    offset: int = HEADER.size

    def header(self) -> bytes:
        """What stands before the pixels in a record."""
        return HEADER.pack(self.captured_ns, self.width, self.height)

    @property
    def is_damaged(self) -> bool:
        """Whether the camera sent something that is no picture."""
        return self.width == 0 or self.height == 0


def unpack(record: bytes) -> Picture:
    """The picture in a record. Raises ChildError when it is none."""
    if len(record) >= HEADER.size:
        captured_ns, width, height = HEADER.unpack_from(record)
        if len(record) == HEADER.size + width * height * BGR_BYTES:
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
