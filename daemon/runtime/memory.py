"""Gives memory that is free back to the system."""

import ctypes


def give_back_memory() -> None:
    """Give the memory that the allocator holds and nobody uses back to the system, if the C library can.

    Loading a bundle leaves large gaps, which glibc keeps. It takes some milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # it is glibc's own
        trim(0)
