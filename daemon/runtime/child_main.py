"""A child process for native code that can hang or abort, seen from inside; nothing heavy is imported here."""

import ctypes
import faulthandler
import importlib
import json
import math
import mmap
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from daemon.runtime.shared_ring import Part, RingWriter

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that this process gets when the thread that made it ends."""

EXIT_FAILED = 69
EXIT_UNFORESEEN = 70
"""A reason stands on standard output; a traceback on standard error (EX_UNAVAILABLE, EX_SOFTWARE of sysexits.h)."""


class Failed(Exception):
    """Raised by a child's function: its reason is told to the parent."""


def main(parent: str, target: str, asks: str) -> NoReturn:
    """Call the function "module:function" and leave, without what libraries would do at exit.

    Its arguments are in the memory whose descriptor `asks` is.
    """
    _die_with(int(parent))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # systemd tells every process; when this one ends is the parent's to say
    faulthandler.enable()
    module, _, function = target.partition(":")
    try:
        getattr(importlib.import_module(module), function)(*_arguments(int(asks)))
        code = 0
    except Failed as error:
        exit_with_reason(str(error))
    except BaseException:  # noqa: BLE001  (the parent logs it)
        with suppress(OSError):  # there is room for so much
            traceback.print_exc()
        code = EXIT_UNFORESEEN
    _end(code)


def exit_with_reason(reason: str) -> NoReturn:
    """End the process from any of its threads, whatever the others are at; the parent is told the reason."""
    print(reason)  # noqa: T201  (the parent reads it)
    _end(EXIT_FAILED)


def _end(code: int) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def _arguments(asks: int) -> list[str]:
    with open(asks, "rb") as file:
        arguments: list[str] = json.load(file)
    return arguments


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(EXIT_UNFORESEEN)  # it died before it was asked for


class RecordSender:
    """Sends records to the parent's RecordReceiver and never waits for it; used by one thread at a time."""

    def __init__(self, address: str) -> None:
        """`address` is the inlet's. An empty record is sent at once: the child runs."""
        slot_bytes, descriptor, self._filled, self._freed = map(int, address.split(":"))
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._ring = RingWriter(memoryview(memory), slot_bytes)
        self.send(b"")

    def send(self, *parts: Part) -> None:
        """Send a record, or lose it when the parent has no room. Raises ValueError when it is too long for a slot."""
        with suppress(BlockingIOError):  # nothing was freed since
            self._ring.freed(os.eventfd_read(self._freed))
        if self._ring.write(*parts):
            os.eventfd_write(self._filled, 1)


NICENESS = 10
"""What is only tried gives way to the node that runs, and still ends in time on one core."""

MAX_OPEN_FILES = 64
"""Descriptors open at once: a bundle's files are read one after another."""

OOM_SCORE_ADJUSTMENT = 1000
"""The highest oom_score_adj: where the machine runs out of memory all the same, this process ends, not the node."""

MB = 1 << 20


def confine(memory_mb: int, processor_s: float, written_bytes: int) -> None:
    """Give this process, beside what it has, so much memory and processor time, and files of so many bytes at most.

    Beyond its memory an allocation fails; beyond its time the process is ended by SIGXCPU. Standard output counts as a
    file. There are no core dumps.
    """
    with suppress(OSError):  # where /proc cannot be written, the limits do without
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT), encoding="ascii")
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_mb * MB)
    _limit(resource.RLIMIT_CPU, math.ceil(processor_s), beyond=1)  # at the hard limit it would be SIGKILL
    _limit(resource.RLIMIT_FSIZE, written_bytes)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(PermissionError):  # the service's sandbox has no call for it: the limits do without
        os.nice(NICENESS)


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
