"""No record is torn or reordered between writer and reader, and lost records are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import ChildError
from daemon.runtime.shared_ring import HEADER, Record, RingReader, RingWriter

SLOTS, SLOT_BYTES = 3, HEADER.size + 8
STEPS = st.lists(
    st.one_of(st.binary(max_size=8), st.sampled_from(["report filled", "read", "report freed"])), max_size=200
)


@given(STEPS)
def test_records_are_read_as_written_and_in_order_with_every_loss_counted(steps: list[bytes | str]) -> None:
    memory = memoryview(bytearray(SLOTS * SLOT_BYTES))
    writer, reader = RingWriter(memory, SLOT_BYTES), RingReader(memory, SLOT_BYTES)
    offered: list[tuple[bytes, bool]] = []
    read: list[Record] = []
    free, unreported_filled, unreported_freed = SLOTS, 0, 0
    for step in steps:
        if isinstance(step, bytes):
            has_room = writer.write(step)
            assert has_room == (free > 0), "a record is lost only where there is no room"
            offered.append((step, has_room))
            free -= has_room
            unreported_filled += has_room
        elif step == "report filled":
            reader.filled(unreported_filled)
            unreported_filled = 0
        elif step == "report freed":
            writer.freed(unreported_freed)
            free += unreported_freed
            unreported_freed = 0
        elif (record := reader.read()) is not None:
            read.append(record)
            unreported_freed += 1
    expected, lost = [], 0
    for payload, has_room in offered:
        if has_room:
            expected.append(Record(payload, lost))
        lost = 0 if has_room else lost + 1
    assert read == expected[: len(read)]


def test_a_record_fills_its_slot_and_no_more() -> None:
    writer = RingWriter(memoryview(bytearray(SLOT_BYTES)), SLOT_BYTES)
    with pytest.raises(ValueError, match="a record of 9 bytes; a slot takes 8"):
        writer.write(b"123456789")
    assert writer.write(b"12345678")


@given(st.binary(min_size=SLOTS * SLOT_BYTES, max_size=SLOTS * SLOT_BYTES), st.integers(0, 2**64 - 2))
def test_random_memory_and_counts_raise_child_error_only(scribbled: bytes, count: int) -> None:
    reader = RingReader(memoryview(bytearray(scribbled)), SLOT_BYTES)
    try:
        reader.filled(count)
        while reader.read() is not None:
            pass
    except ChildError as error:
        assert "records in 3 slots" in str(error) or "was expected" in str(error)
