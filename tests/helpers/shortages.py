"""Lets every start of a thread, or every attempt to open something, fail for a while.

usage: python -m tests.helpers.shortages PYTHON -m daemon ARGUMENTS runs the daemon.
SIGUSR2 begins and ends a time without threads.
"""

import os
import resource
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice

# no system has room for such a stack
TOO_LARGE_BYTES = 1 << 60


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Let every start of a thread of this process fail during the block."""
    before = threading.stack_size(TOO_LARGE_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def few_descriptors(pid: int, more: int = 0) -> Iterator[None]:
    """Let a process open at most so many things during the block, besides what it has open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = (number for number in count() if not os.path.lexists(f"/proc/{pid}/fd/{number}"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(islice(free, more, None)), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def begin_or_end(_number: int, _frame: object) -> None:
    threading.stack_size(0 if threading.stack_size() else TOO_LARGE_BYTES)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, begin_or_end)
    sys.argv = sys.argv[3:]
    runpy.run_module("daemon", run_name="__main__", alter_sys=True)
