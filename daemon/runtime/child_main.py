"""The inside of a child process for native code that can hang or abort; imports nothing heavy."""

import ctypes
import faulthandler
import fcntl
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

# from linux/prctl.h: the signal for this process when the thread that started it ends
PR_SET_PDEATHSIG = 1

# EX_UNAVAILABLE of sysexits.h: the reason is on standard output
EXIT_FAILED = 69

# EX_SOFTWARE of sysexits.h: a traceback is on standard error
EXIT_UNFORESEEN = 70

# a process that only tries a bundle gives way to the node, and still ends in time on one core
NICENESS = 10

# open descriptors: a bundle's files are read one after another
MAX_OPEN_FILES = 64

# the highest oom_score_adj: where the machine runs out of memory, this process ends, not the node
OOM_SCORE_ADJUSTMENT = 1000

MB = 1 << 20


class Failed(Exception):
    """Raised by a child's function to report a reason to the parent."""


class RecordSender:
    """Sends records to the parent's RecordReceiver and never waits for it; used by one thread at a time."""

    def __init__(self, address: str) -> None:
        """Open the receiver at `address`, and send an empty record to show that the child runs."""
        slot_bytes, descriptor, self._filled, self._freed = map(int, address.split(":"))
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._ring = RingWriter(memoryview(memory), slot_bytes)
        self.send(b"")

    def send(self, *parts: Part) -> None:
        """Send one record; it is lost when no slot is free. Raises ValueError when it is longer than a slot."""
        with suppress(BlockingIOError):  # no slot was freed since the last record
            self._ring.freed(os.eventfd_read(self._freed))
        if self._ring.write(*parts):
            os.eventfd_write(self._filled, 1)


def main(parent: str, target: str, arguments: str, lifeline: str) -> NoReturn:
    """Call the function `target` ("module:function") and end the process, without the exit handlers of libraries.

    `parent` is the process id of the parent, `arguments` the descriptor of memory with the function's arguments.
    `lifeline` is the descriptor of a pipe whose other end only the parent holds.
    """
    _end_with_parent(int(parent))
    _end_group_with(int(lifeline))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # systemd signals every process; the parent ends this one
    faulthandler.enable()
    module, _, function = target.partition(":")
    try:
        getattr(importlib.import_module(module), function)(*_read_arguments(int(arguments)))
        code = 0
    except Failed as error:
        exit_with_reason(str(error))
    except BaseException:  # noqa: BLE001  (the parent logs it)
        with suppress(OSError):  # standard error is bounded
            traceback.print_exc()
        code = EXIT_UNFORESEEN
    _exit(code)


def exit_with_reason(reason: str) -> NoReturn:
    """End the process and report the reason to the parent; callable from any thread, whatever the others do."""
    print(reason)  # noqa: T201  (the parent reads it)
    _exit(EXIT_FAILED)


def confine(memory_mb: int, processor_s: float, written_bytes: int) -> None:
    """Limit this process: memory beyond what it has, processor time from its start on, and bytes in each file.

    An allocation beyond the limit fails; SIGXCPU ends the process when its time is used up. Standard output counts as a
    file. There are no core dumps.
    """
    give_way()
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_mb * MB)
    _limit(resource.RLIMIT_CPU, math.ceil(processor_s), beyond=1)  # at the hard limit the signal would be SIGKILL
    _limit(resource.RLIMIT_FSIZE, written_bytes)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)


def give_way() -> None:
    """Let the node go first: this process gets less processor time, and ends first where memory runs out."""
    with suppress(OSError):  # /proc may be read-only
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT), encoding="ascii")
    with suppress(PermissionError):  # the service's sandbox forbids nice
        os.nice(NICENESS)


def _exit(code: int) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def _read_arguments(descriptor: int) -> list[str]:
    with open(descriptor, "rb") as file:
        arguments: list[str] = json.load(file)
    return arguments


def _end_with_parent(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(EXIT_UNFORESEEN)  # the parent ended before prctl was called


def _end_group_with(lifeline: int) -> None:
    """Let the kernel kill this process group when the other end of the pipe is closed, however the parent ends.

    The parent-death signal does not reach what this process forks. A signal for input of a pipe does (F_SETOWN and
    F_SETSIG of fcntl(2)).
    """
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _limit(kind: int, most: int, beyond: int = 0) -> None:
    """Set the soft limit to `most` and the hard one to `most + beyond`, both within the present hard limit."""
    allowed = resource.getrlimit(kind)[1]
    soft, hard = most, most + beyond
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.prlimit(0, kind, (soft, hard))  # the service's sandbox has no setrlimit


def _data_bytes() -> int:
    """Return what RLIMIT_DATA counts: private writable memory, used or not."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
