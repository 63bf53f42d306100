"""What the microphone's child writes is what the daemon reads."""

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
def test_a_piece_comes_as_it_went(samples: bytes, start_ns: int, rate_hz: int, overflows: int) -> None:
    piece = SoundChunk(samples, start_ns, rate_hz, overflows)
    assert unpack_sound(piece.pack()) == piece


@given(st.binary(max_size=64))
def test_anything_else_is_an_error_or_a_piece(record: bytes) -> None:
    try:
        assert unpack_sound(record).pack() == record
    except ChildError as error:
        assert "piece of sound" in str(error)


def test_the_longest_piece_fits_into_a_slot() -> None:
    longest = SoundChunk(bytes(MAX_SAMPLES * SAMPLE_BYTES), 0, 96_000, 0).pack()
    assert ring.HEADER.size + len(longest) <= SOUND_SLOT_BYTES
    with pytest.raises(ChildError, match="without a rate"):
        unpack_sound(SOUND_HEADER.pack(0, 0, 0, 0))
