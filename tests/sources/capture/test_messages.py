"""The daemon reads the chunks of sound that the microphone's program writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import ChildError
from daemon.runtime import shared_ring as ring
from daemon.sources.capture.messages import (
    MAX_SAMPLES,
    SAMPLE_BYTES,
    SOUND_HEADER,
    SOUND_SLOT_BYTES,
    SoundChunk,
    unpack_sound,
)

SOUND = st.lists(st.binary(min_size=SAMPLE_BYTES, max_size=SAMPLE_BYTES), max_size=50).map(b"".join)


@given(SOUND, st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**32 - 1), st.integers(0, 1))
def test_a_chunk_is_read_as_it_was_written(samples: bytes, start_ns: int, rate_hz: int, overflows: int) -> None:
    chunk = SoundChunk(samples, start_ns, rate_hz, overflows)
    assert unpack_sound(chunk.pack()) == chunk


@given(st.binary(max_size=64))
def test_any_bytes_are_a_chunk_or_an_error(record: bytes) -> None:
    try:
        assert unpack_sound(record).pack() == record
    except ChildError as error:
        assert "chunk of sound" in str(error)


def test_the_longest_chunk_fits_into_a_slot() -> None:
    longest = SoundChunk(bytes(MAX_SAMPLES * SAMPLE_BYTES), 0, 96_000, 0).pack()
    assert ring.HEADER.size + len(longest) <= SOUND_SLOT_BYTES
    with pytest.raises(ChildError, match="has no sample rate"):
        unpack_sound(SOUND_HEADER.pack(0, 0, 0, 0))
