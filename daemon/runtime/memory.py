"""Gives memory that nobody uses now back to the system."""

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

from daemon.core.timing import NS_PER_S

# the mappings of this process: where they are; how much of each is in memory too
MAPS, DETAILS = Path("/proc/self/maps"), Path("/proc/self/smaps")

# of a mapping in /proc/self/smaps: private, and never to be written
READ_ONLY = frozenset({"r--p", "r-xp"})

# pages of a mapping: all in memory; those that are no longer the file's; what the kernel lists after them
PAGES, OWN_PAGES, LAST_VALUE = "Rss:", ("Anonymous:", "Swap:"), "VmFlags:"
NONE = ["0", "kB"]

# What a node does only once, it has done by then: it has opened its sources, encoded, connected and published.
SETTLED_NS = 30 * NS_PER_S

# the library is not loaded again, and from now on stays at its address until the process ends; see dlopen(3)
PIN = os.RTLD_NOW | os.RTLD_NOLOAD | os.RTLD_NODELETE

# the number of this parameter in glibc's malloc.h
M_ARENA_MAX = -8

# Heaps of the allocator that all threads share. glibc makes 8 for each core, and each keeps gaps of its own. The
# threads of a node seldom allocate at the same time.
ARENAS = 2


def share_arenas() -> None:
    """Let the threads of this process share a few heaps of the allocator, if the C library can. Call it early."""
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:  # it is glibc's own
        tune(M_ARENA_MAX, ARENAS)


def give_back_memory() -> None:
    """Give the memory that the allocator holds and nobody uses back to the system, if the C library can.

    Loading a bundle leaves large gaps, which glibc keeps. It takes some milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # it is glibc's own
        trim(0)


def let_go_of_libraries() -> None:
    """Take the unchanged pages of the program and its libraries out of this process. The cache of files keeps them.

    A page that is used again comes back from that cache, or from the disk, as it did when it was first used. So the
    pages that only a start needs no longer count as memory in use, which the kernel keeps longer than a cache. Where
    the system has no such call or does not list the mappings, nothing happens. It takes some 30 ms.
    """
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    advice: int | None = getattr(mmap, "MADV_DONTNEED", None)
    if advise is None or advice is None:
        return
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # what is no kernel of Linux may list something else
    with suppress(OSError, ValueError, LookupError):
        files = {line.split(maxsplit=5)[-1].rstrip("\n") for line in _lines(MAPS) if "r-xp" in line}
        # what is read next must still be true when it is used: another thread may unload what is not pinned
        stay = {file for file in files if file == os.path.realpath(sys.executable) or _pin(file)}
        for start, end in list(unchanged(_lines(DETAILS), stay)):
            advise(start, end - start, advice)


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        yield from lines


def _pin(file: str) -> bool:
    """Return whether this is a loaded library, which then stays where it is."""
    try:
        ctypes.CDLL(file, mode=PIN)
    except OSError:
        return False
    return True


def unchanged(mappings: Iterable[str], files: Set[str]) -> Iterator[tuple[int, int]]:
    """Yield the addresses of each read-only mapping of one of these files that has pages, and none of its own.

    `mappings` are the lines of /proc/self/smaps, see proc(5). A page of its own was changed, and exists only here, in
    memory or swapped out: by the loader, which has entered addresses, or by a debugger. An emulator lists no pages.
    """
    candidate: tuple[int, int] | None = None
    for line in mappings:
        first, *rest = line.rstrip("\n").split(maxsplit=5)
        if not first.endswith(":"):
            start, end = (int(each, 16) for each in first.split("-"))
            is_wanted = rest[0] in READ_ONLY and rest[-1] in files
            candidate = (start, end) if is_wanted else None
        elif (first == PAGES and rest == NONE) or (first in OWN_PAGES and rest != NONE):
            candidate = None
        elif first == LAST_VALUE and candidate:
            yield candidate


class SettledMemory:
    """Gives memory and pages of libraries back once, when a node has done what it does only once."""

    def __init__(self, began_ns: int) -> None:
        """`began_ns` is when the node began."""
        self._due_ns: int | None = began_ns + SETTLED_NS

    def look(self, now_ns: int) -> bool:
        """Give back if it is time; return whether it was."""
        if self._due_ns is None or now_ns < self._due_ns:
            return False
        self._due_ns = None
        give_back_memory()
        let_go_of_libraries()
        return True
