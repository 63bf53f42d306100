"""What the tests run in child processes."""

import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

from daemon.runtime.inside import Failed, RecordOutlet


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


def babble() -> None:
    """Write for ever, whether or not there is room."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(10_000):
            try:
                os.write(stream.fileno(), b"again and again\n")
            except OSError:
                break
    raise RuntimeError


def stream(address: str, count: str) -> NoReturn:
    """Send so many numbered records, of different lengths, as fast as they can be made."""
    outlet = RecordOutlet(address)
    for number in range(int(count)):
        outlet.send(number.to_bytes(8, "little") + bytes([number % 251]) * (number % 48))
    raise Failed("that was all")


def rave(address: str) -> None:
    """Claim a million records that were never written."""
    RecordOutlet(address)
    os.eventfd_write(int(address.split(":")[2]), 1_000_000)
    hang()
