"""Memory that is free goes back to the system, and pages of libraries that only a start has used."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.runtime.memory import ARENAS, SETTLED_NS, SettledMemory, give_back_memory, let_go_of_libraries, unchanged

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


# prints where glibc's threads have allocated
THREADS = """
import ctypes, threading
from daemon.runtime.memory import share_arenas
share_arenas()
libc, started = ctypes.CDLL(None), threading.Barrier(9)
libc.fdopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
libc.fflush.argtypes = (ctypes.c_void_p,)
def allocate():
    block = bytearray(10_000)
    started.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
started.wait()
for thread in threads: thread.join()
output = libc.fdopen(1, b"w")
libc.malloc_info(0, output)
libc.fflush(output)
"""


def test_threads_share_heaps_of_the_allocator() -> None:
    found = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True).stdout
    # without it each of the nine threads has one
    assert found.count("<heap nr=") == ARENAS


def mapping(permissions: str, path: str, rss_kb: int = 64, anonymous_kb: int = 0, swap_kb: int = 0) -> str:
    return (
        f"7f0000200000-7f0000400000 {permissions} 00206000 fe:00 297                    {path}\n"
        f"Size:               2048 kB\nRss:                {rss_kb:4} kB\n"
        f"Anonymous:          {anonymous_kb:4} kB\nSwap:               {swap_kb:4} kB\n"
        "THPeligible:           0\nVmFlags: rd ex mr mw me sd \n"
    )


LIBRARY = "/opt/program/lib/with a space.so"


@pytest.mark.parametrize(
    ("found", "is_unchanged"),
    [
        (mapping("r-xp", LIBRARY), True),
        (mapping("r--p", LIBRARY), True),
        (mapping("r-xp", f"{LIBRARY} (deleted)"), False),
        # as an emulator lists all
        (mapping("r--p", LIBRARY, rss_kb=0), False),
        (mapping("rw-p", LIBRARY), False),
        (mapping("rw-s", LIBRARY), False),
        (mapping("---p", LIBRARY), False),
        # where the loader has entered addresses
        (mapping("r--p", LIBRARY, anonymous_kb=4), False),
        (mapping("r--p", LIBRARY, swap_kb=4), False),
        (mapping("r--p", "/usr/lib/locale/locale-archive"), False),
        (mapping("r-xp", ""), False),
        (mapping("r-xp", "[vdso]"), False),
    ],
)
def test_only_what_a_library_has_in_its_file_is_let_go(found: str, is_unchanged: bool) -> None:
    others = mapping("r--p", LIBRARY, anonymous_kb=8), mapping("rw-p", "[heap]", anonymous_kb=2048)
    lines = "".join((others[0], found, others[1])).splitlines(keepends=True)
    expected = [(0x7F0000200000, 0x7F0000400000)] if is_unchanged else []
    assert list(unchanged(lines, {LIBRARY, "[heap]"})) == expected


def resident_code_kb(library: str) -> int:
    """Return how much of the code of a loaded library is in memory and in this process."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if " r-xp " in line and line.endswith(library)]
    values = (next(line for line in lines[start:] if line.startswith("Rss:")) for start in starts)
    return sum(int(line.split()[1]) for line in values)


def test_pages_of_a_library_leave_the_process_and_it_works_on() -> None:
    picture = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    before = cv2.resize(picture, (13, 17), interpolation=cv2.INTER_AREA)
    assert resident_code_kb("/cv2.abi3.so") > 0
    let_go_of_libraries()
    assert resident_code_kb("/cv2.abi3.so") == 0
    np.testing.assert_array_equal(cv2.resize(picture, (13, 17), interpolation=cv2.INTER_AREA), before)


def test_a_node_gives_memory_back_once_when_it_has_settled() -> None:
    memory = SettledMemory(began_ns=5)
    looks = [memory.look(5 + SETTLED_NS + after_ns) for after_ns in (-SETTLED_NS, -1, 0, 1, SETTLED_NS)]
    assert looks == [False, False, True, False, False]
