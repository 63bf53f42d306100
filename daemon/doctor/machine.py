"""Memory, disk and clock."""

import ctypes
import os
import re
from pathlib import Path

from daemon.doctor.finding import Finding

MB = 1024 * 1024

NEEDED_MEMORY_MB = 150
"""The shipped bundle and recording take 101 MB at most (README.md); the rest is room for a camera's pictures."""

DISK_RESERVE_MB = 50
"""Beside the outbox: room for its journal, and for the system itself."""

STA_UNSYNC = 0x40
"""linux/timex.h: nothing keeps the clock in step with another, or what does has not told the kernel, as chrony without
rtcsync."""

UNKNOWN_ERROR_US = 16_000_000
"""What the kernel says of the largest error when nothing has ever corrected the clock; timedated judges by it too."""


class Timex(ctypes.Structure):
    """The start of struct timex, with room for what follows on any architecture (linux/timex.h)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def memory(root: Path = Path("/")) -> Finding:
    """How much memory is left for a node."""
    try:
        text = (root / "proc" / "meminfo").read_text()
    except OSError as error:
        return Finding("memory", "warning", f"/proc/meminfo cannot be read: {error.strerror}", "mount /proc")
    return judge_memory(text)


def judge_memory(meminfo: str) -> Finding:
    """From /proc/meminfo."""
    kb = {name: int(value) for name, value in re.findall(r"^(\w+):\s*(\d+) kB$", meminfo, re.MULTILINE)}
    available_mb, total_mb = kb.get("MemAvailable", 0) // 1024, kb.get("MemTotal", 0) // 1024
    found = f"{available_mb} MB of {total_mb} MB available"
    if available_mb >= NEEDED_MEMORY_MB:
        return Finding("memory", "good", found)
    return Finding(
        "memory", "warning", f"{found}, a node takes {NEEDED_MEMORY_MB} MB", "end other programs, or add swap"
    )


def disk(directory: Path, outbox_mb: float) -> Finding:
    """Whether the state directory can be written, and has room for the outbox; it need not exist yet."""
    there = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    try:
        status = os.statvfs(there)
    except OSError as error:
        return Finding("disk", "failure", f"{there}: {error.strerror}", "choose another state_directory in config.yaml")
    return judge_disk(
        directory, status.f_bavail * status.f_frsize / MB, outbox_mb, is_writable=os.access(there, os.W_OK | os.X_OK)
    )


def judge_disk(directory: Path, free_mb: float, outbox_mb: float, *, is_writable: bool) -> Finding:
    """Where events wait for the broker."""
    found = f"{free_mb:.0f} MB free for {directory}"
    if not is_writable:
        remedy = "run doctor as the user of the service, or choose another state_directory in config.yaml"
        return Finding("disk", "warning", f"{found}, which cannot be written by this user", remedy)
    needed_mb = outbox_mb + DISK_RESERVE_MB
    if free_mb < needed_mb:
        remedy = "make room, or lower mqtt.outbox.max_mb in config.yaml"
        return Finding("disk", "warning", f"{found}, the outbox may need {needed_mb:.0f} MB", remedy)
    return Finding("disk", "good", found)


def clock() -> Finding:
    """Whether something keeps the clock right."""
    timex = Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        why = os.strerror(ctypes.get_errno())
        return Finding(
            "clock", "warning", f"the kernel does not say whether it is synchronised: {why}", "run timedatectl"
        )
    return judge_clock(timex.status, timex.maxerror)


def judge_clock(status: int, most_wrong_us: int) -> Finding:
    """From the status bits and the largest error of adjtimex(2)."""
    if not status & STA_UNSYNC or most_wrong_us < UNKNOWN_ERROR_US:
        return Finding("clock", "good", "synchronised")
    remedy = "see that systemd-timesyncd or chrony runs: times in messages, and TLS, need the right time"
    return Finding("clock", "warning", "no sign that anything keeps it right", remedy)
