"""Limits that a child process sets itself before it touches what it does not trust; light."""

import math
import os
import resource
from contextlib import suppress
from pathlib import Path

NICER = 10
"""What is only tried gives way to the node that runs, and still ends in time on one core."""

MOST_FILES = 64
"""Descriptors open at once: a bundle's files are read one after another."""

MB = 1 << 20


def confine(memory_mb: int, processor_s: float, written_bytes: int) -> None:
    """Give this process, beside what it has, so much memory and processor time, and files of so many bytes at most.

    Beyond its memory an allocation fails; beyond its time the process is ended by SIGXCPU. Standard output counts as a
    file. There are no core dumps.
    """
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_mb * MB)
    _limit(resource.RLIMIT_CPU, math.ceil(processor_s))
    _limit(resource.RLIMIT_FSIZE, written_bytes)
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(PermissionError):  # the service's sandbox has no call for it: the limits do without
        os.nice(NICER)


def _limit(kind: int, most: int) -> None:
    """No more than `most`, nor than what is allowed already."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.prlimit(0, kind, (most, most))  # the service's sandbox has no setrlimit


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that may be written, used or not."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
