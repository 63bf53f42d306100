"""How long a thread that computes in Python keeps the others waiting."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_S = 0.0005
"""A tenth of Python's own: a frame passes several threads on its way, and waits for its turn in each."""


@contextmanager
def short_turns() -> Iterator[None]:
    """Meanwhile every thread gives way after half a millisecond: for long work beside threads that must not wait."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
