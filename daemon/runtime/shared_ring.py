"""A ring of slots in memory that two processes share: one writes records, the other reads them.

Neither side looks at the other's position. The writer knows how many slots are free, the reader how many are filled,
and each is told by the other through something that also orders memory (an eventfd): what was written before it was
counted is there when the count has come.
"""

import struct
from dataclasses import dataclass
from typing import TypeAlias

from daemon.core.errors import ChildError

Part: TypeAlias = bytes | memoryview
"""Of a record; a memoryview is one of bytes, in one dimension."""

HEADER = struct.Struct("=QQ")
"""Of every slot: the record's sequence number, and its length in bytes."""


@dataclass(frozen=True, slots=True)
class Record:
    """A copy of what was written; `lost` counts the records just before it that found no room."""

    payload: bytes
    lost: int


class RingWriter:
    """Writes records while there is room. One that finds none is lost, and leaves its sequence number out."""

    def __init__(self, memory: memoryview, slot_bytes: int) -> None:
        self._slots = _slots(memory, slot_bytes)
        self._free = len(self._slots)
        self._written = 0
        self._sequence = 0

    def freed(self, count: int) -> None:
        """The reader has done with so many slots."""
        self._free += count

    def write(self, *parts: Part) -> bool:
        """Whether there was room for the record that the parts are in a row, copied once.

        Raises ValueError when it is longer than a slot takes.
        """
        slot = self._slots[self._written % len(self._slots)]
        length = sum(map(len, parts))
        if length > len(slot) - HEADER.size:
            raise ValueError(f"a record of {length} bytes; a slot takes {len(slot) - HEADER.size}")
        sequence, self._sequence = self._sequence, self._sequence + 1
        if self._free == 0:
            return False
        HEADER.pack_into(slot, 0, sequence, length)
        start = HEADER.size
        for part in parts:
            slot[start : start + len(part)] = part
            start += len(part)
        self._free -= 1
        self._written += 1
        return True


class RingReader:
    """Reads records in the order in which they were written. The writer may be mad: nothing it says is trusted."""

    def __init__(self, memory: memoryview, slot_bytes: int) -> None:
        self._slots = _slots(memory, slot_bytes)
        self._filled = 0
        self._read = 0
        self._sequence = 0

    def filled(self, count: int) -> None:
        """The writer has written so many records. Raises ChildError when they cannot all be there."""
        self._filled += count
        if self._filled > len(self._slots):
            raise ChildError(f"claims {self._filled} records in {len(self._slots)} slots")

    def read(self) -> Record | None:
        """The next record, whose slot is then free, or None. Raises ChildError when it makes no sense."""
        if self._filled == 0:
            return None
        slot = self._slots[self._read % len(self._slots)]
        sequence, length = HEADER.unpack_from(slot)
        if sequence < self._sequence or length > len(slot) - HEADER.size:
            raise ChildError(f"wrote a record {sequence} of {length} bytes where {self._sequence} was to come")
        record = Record(bytes(slot[HEADER.size : HEADER.size + length]), sequence - self._sequence)
        self._sequence = sequence + 1
        self._filled -= 1
        self._read += 1
        return record


def _slots(memory: memoryview, slot_bytes: int) -> list[memoryview]:
    return [memory[start : start + slot_bytes] for start in range(0, len(memory) - slot_bytes + 1, slot_bytes)]
