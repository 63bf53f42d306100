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

FIRST_TO_GO = 1000
"""The highest oom_score_adj: where the machine runs out of memory all the same, this process ends, not the node."""

MB = 1 << 20


def confine(memory_mb: int, processor_s: float, written_bytes: int) -> None:
    """Give this process, beside what it has, so much memory and processor time, and files of so many bytes at most.

    Beyond its memory an allocation fails; beyond its time the process is ended by SIGXCPU. Standard output counts as a
    file. There are no core dumps.
    """
    with suppress(OSError):  # where /proc cannot be written, the limits do without
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_mb * MB)
    _limit(resource.RLIMIT_CPU, math.ceil(processor_s), beyond=1)  # at the hard limit it would be SIGKILL
    _limit(resource.RLIMIT_FSIZE, written_bytes)
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(PermissionError):  # the service's sandbox has no call for it: the limits do without
        os.nice(NICER)


def _limit(kind: int, most: int, beyond: int = 0) -> None:
    """A limit at `most`, a hard one so far beyond, and neither above what is allowed already."""
    allowed = resource.getrlimit(kind)[1]
    soft, hard = most, most + beyond
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.prlimit(0, kind, (soft, hard))  # the service's sandbox has no setrlimit


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that may be written, used or not."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
