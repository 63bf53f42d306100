"""The memory that a hardware decoder's process shares with the daemon. Pure.

The daemon writes one packet, and the process answers with one picture. Each lies behind a header of fixed size.
"""

import struct
from dataclasses import astuple, dataclass
from typing import ClassVar

# the bytes before a packet or a picture
HEADER_BYTES = 64

# Key pictures of cameras have at most about 1 MB.
MAX_PACKET_BYTES = 4 << 20

# 4K. Larger pictures are decoded in software.
MAX_PIXELS = 4096 * 2304

# Y, and U and V of a quarter each.
MAX_PICTURE_BYTES = MAX_PIXELS * 3 // 2

# The formats of pictures that are sent, by number. The second has full range.
FORMATS = ("yuv420p", "yuvj420p")

# what a request asks for: decode a packet, return the next picture that has been decoded, or all that are left
DECODE, NEXT, FINISH = range(3)

# what an answer has: no picture, a picture, one that is damaged and not sent, or none because the packet is damaged
NOTHING, PICTURE, CORRUPT, DAMAGED = range(4)


@dataclass(frozen=True, slots=True)
class Request:
    """What the daemon asks for. `number` counts packets, and stands for the times of a packet."""

    form: ClassVar[struct.Struct] = struct.Struct("<qqq?")

    kind: int
    size: int = 0
    number: int = 0
    is_key: bool = False

    def packed(self) -> bytes:
        """Return the header."""
        return self.form.pack(*astuple(self))

    @classmethod
    def unpacked(cls, memory: memoryview) -> "Request":
        """Return what a header says."""
        return cls(*cls.form.unpack_from(memory))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the process answers. `number` is that of the picture's packet. `colours` are FFmpeg's matrix and range."""

    form: ClassVar[struct.Struct] = struct.Struct("<qqqqqqq")

    kind: int
    number: int = 0
    width: int = 0
    height: int = 0
    format: int = 0
    matrix: int = 0
    range: int = 0

    def packed(self) -> bytes:
        """Return the header."""
        return self.form.pack(*astuple(self))

    @classmethod
    def unpacked(cls, memory: memoryview) -> "Answer":
        """Return what a header says."""
        return cls(*cls.form.unpack_from(memory))

    @property
    def is_valid(self) -> bool:
        """Whether the numbers can be those of a picture: another process has written them."""
        sides = self.width > 0 and self.height > 0 and self.width % 2 == 0 and self.height % 2 == 0
        return sides and self.width * self.height <= MAX_PIXELS and 0 <= self.format < len(FORMATS)
