"""A text is encoded by its UTF-8 bytes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.encoders.text import byte_ids


def test_bytes_plus_one_then_zeros() -> None:
    np.testing.assert_array_equal(byte_ids("7é", 6), [[56, 196, 170, 0, 0, 0]])
    assert byte_ids("seven", 3).tolist() == [[ord("s") + 1, ord("e") + 1, ord("v") + 1]]


@given(st.text(), st.integers(1, 64))
def test_any_language_fits_and_short_text_can_be_read_back(text: str, length: int) -> None:
    ids = byte_ids(text, length)
    assert (ids.shape, ids.dtype) == ((1, length), np.int32)
    assert ids.min() >= 0
    assert ids.max() <= 256
    back = bytes((ids[ids > 0] - 1).astype(np.uint8))
    assert back == text.encode()[:length]
