"""Lets every start of a thread fail, as where the system has room for no more.

usage: python -m tests.helpers.no_threads PYTHON -m daemon ARGUMENTS runs the daemon. SIGUSR2 begins and ends that time.
"""

import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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


def begin_or_end(_number: int, _frame: object) -> None:
    threading.stack_size(0 if threading.stack_size() else TOO_LARGE_BYTES)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, begin_or_end)
    sys.argv = sys.argv[3:]
    runpy.run_module("daemon", run_name="__main__", alter_sys=True)
