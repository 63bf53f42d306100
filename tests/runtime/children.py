"""The functions that the tests run in child processes."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from daemon.runtime.child_main import Failed, RecordSender, confine


def say(text: str) -> None:
    print(text)


def count(text: str) -> None:
    print(len(text))


def fail(reason: str) -> NoReturn:
    raise Failed(reason)


def break_down(secret: str) -> NoReturn:
    raise RuntimeError(f"cannot open rtsp://me:{secret}@host/cam")


def abort() -> None:
    os.abort()


def read_nowhere() -> None:
    ctypes.string_at(0)


def hang() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        time.sleep(60)


def allocate_without_end(request: str) -> None:
    """Fill memory until an allocation fails, and report that in no way."""
    pieces = []
    while True:
        pieces.append(b"x" * (1 << 20))


def fork_then(function: str) -> None:
    """Fork a process that sleeps, say so, and go on with another function of this module."""
    if os.fork() == 0:
        hang()
    print("forked", flush=True)
    globals()[function]()


def finish() -> None:
    """Do nothing more."""


def hang_with_request(request: str) -> None:
    hang()


def babble() -> None:
    """Write without end, with or without room."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(10_000):
            try:
                os.write(stream.fileno(), b"again and again\n")
            except OSError:
                break
    raise RuntimeError


def allocate(megabytes: str) -> None:
    """Allocate within a limit of 32 MB."""
    confine(32, 60, 1000)
    try:
        bytearray(int(megabytes) << 20)
    except MemoryError:
        raise Failed("no memory") from None


def compute() -> None:
    """Compute without end, within one second of processor time."""
    confine(32, 0.5, 1000)
    while True:
        pass


def write(path: str, length: str) -> None:
    """Write within a limit of 1000 bytes a file."""
    confine(32, 60, 1000)
    try:
        Path(path).write_bytes(bytes(int(length)))
    except OSError as error:
        raise Failed(str(error.strerror)) from error


def limits() -> None:
    """Print the niceness, oom_score_adj, and the limits of descriptors and core dumps."""
    confine(32, 60, 1000)
    print(
        os.nice(0),
        Path("/proc/self/oom_score_adj").read_text().strip(),
        *(resource.getrlimit(kind) for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)),
    )


def confine_where_nice_is_forbidden() -> None:
    """Confine the process where nice is forbidden, as in the service's sandbox."""

    def refuse(increment: int) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    os.nice = refuse
    confine(32, 60, 1000)
    print("confined")


def stream(address: str, count: str) -> NoReturn:
    """Send `count` numbered records of different lengths as fast as possible."""
    outlet = RecordSender(address)
    for number in range(int(count)):
        outlet.send(number.to_bytes(8, "little") + bytes([number % 251]) * (number % 48))
    raise Failed("that was all")


def report_unwritten(address: str) -> None:
    """Report a million records that were never written."""
    RecordSender(address)
    os.eventfd_write(int(address.split(":")[2]), 1_000_000)
    hang()


def _not_importable() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


not_there = _not_importable()
