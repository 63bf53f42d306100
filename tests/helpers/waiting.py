"""Wait for something to become true, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], deadline_s: float = 10.0) -> T:
    """The first true result of `probe`; fails when there is none in time."""
    end = time.monotonic() + deadline_s
    while not (result := probe()):
        assert time.monotonic() < end, f"did not come true within {deadline_s} s"
        time.sleep(0.01)
    return result
