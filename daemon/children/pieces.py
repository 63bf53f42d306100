"""A piece of sound as the microphone's child writes it and the daemon reads it."""

import struct
from dataclasses import dataclass

from daemon.errors import ChildError

HEADER = struct.Struct("=qIII")
SAMPLE_BYTES = 4

WAITING_PIECES = 250
"""Five seconds of sound in pieces of 20 ms may wait for the daemon."""

SLOT_BYTES = 4096
"""One page of memory for each piece."""

MOST_SAMPLES = 1000
"""What fits into a slot beside the headers; 960 are 20 ms at 48 kHz. At higher rates pieces are shorter."""


@dataclass(frozen=True, slots=True)
class Piece:
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
        return HEADER.pack(self.start_ns, self.rate_hz, self.overflows, self.channel) + self.samples


def unpack(record: bytes) -> Piece:
    """The piece in a record. Raises ChildError when it is none."""
    if len(record) < HEADER.size or (len(record) - HEADER.size) % SAMPLE_BYTES:
        raise ChildError(f"{len(record)} bytes are not a piece of sound")
    start_ns, rate_hz, overflows, channel = HEADER.unpack_from(record)
    if rate_hz == 0:
        raise ChildError("a piece of sound without a rate")
    return Piece(record[HEADER.size :], start_ns, rate_hz, overflows, channel)
