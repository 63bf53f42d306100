"""Memory that is free goes back to the system."""

import os
from pathlib import Path

from daemon.runtime.memory import give_back_memory

MB = 1_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_free_memory_between_memory_in_use_is_given_back() -> None:
    parts = [bytearray(10_000) for _ in range(10_000)]
    for part in parts:
        part[::4096] = b"x" * 3  # so that each page is really there
    kept = parts[::100]
    del parts, part
    before = resident_bytes()
    give_back_memory()
    assert before - resident_bytes() > 50 * MB
    assert len(kept) == 100
