"""A ring of slots in memory that two processes share: one writes records, the other reads them.

Neither side reads the other's position. The writer counts free slots, the reader counts filled ones.
Each side learns of changes through an eventfd, which also orders memory accesses.
A record that was written before it was counted is therefore complete when the count arrives.
"""

import struct
from dataclasses import dataclass
from typing import TypeAlias

from daemon.core.errors import ChildError

# a piece of a record; a memoryview must have one dimension of bytes
Part: TypeAlias = bytes | memoryview

# at the start of every slot: the record's sequence number, and its length in bytes
HEADER = struct.Struct("=QQ")


@dataclass(frozen=True, slots=True)
class Record:
    """A copy of a written record; `lost` counts the records just before it that found no free slot."""

    payload: bytes
    lost: int


class RingWriter:
    """Writes records into free slots. A record without a free slot is lost; its sequence number is skipped."""

    def __init__(self, memory: memoryview, slot_bytes: int) -> None:
        self._slots = _slots(memory, slot_bytes)
        self._free = len(self._slots)
        self._written = 0
        self._sequence = 0

    def freed(self, count: int) -> None:
        """Note that the reader has freed so many slots."""
        self._free += count

    def write(self, *parts: Part) -> bool:
        """Write the concatenated parts as one record, copied once; return whether there was a free slot.

        Raises ValueError when the record is longer than a slot.
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
    """Reads records in the order in which they were written; every value of the writer is checked."""

    def __init__(self, memory: memoryview, slot_bytes: int) -> None:
        self._slots = _slots(memory, slot_bytes)
        self._filled = 0
        self._read = 0
        self._sequence = 0

    def filled(self, count: int) -> None:
        """Note that the writer has written so many records. Raises ChildError when there are not so many slots."""
        self._filled += count
        if self._filled > len(self._slots):
            raise ChildError(f"claims {self._filled} records in {len(self._slots)} slots")

    def read(self) -> Record | None:
        """Return the next record, if any, and free its slot. Raises ChildError when its header is invalid."""
        if self._filled == 0:
            return None
        slot = self._slots[self._read % len(self._slots)]
        sequence, length = HEADER.unpack_from(slot)
        if sequence < self._sequence or length > len(slot) - HEADER.size:
            raise ChildError(f"wrote record {sequence} of {length} bytes where record {self._sequence} was expected")
        record = Record(bytes(slot[HEADER.size : HEADER.size + length]), sequence - self._sequence)
        self._sequence = sequence + 1
        self._filled -= 1
        self._read += 1
        return record


def _slots(memory: memoryview, slot_bytes: int) -> list[memoryview]:
    return [memory[start : start + slot_bytes] for start in range(0, len(memory) - slot_bytes + 1, slot_bytes)]
