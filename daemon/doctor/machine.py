"""Memory, disk and clock."""

import ctypes
import grp
import os
import platform
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.finding import Finding
from daemon.inference.hardware import gpu_nodes, jetson_release

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


def memory_finding(root: Path = Path("/")) -> Finding:
    """How much memory is left for a node."""
    try:
        text = (root / "proc" / "meminfo").read_text()
    except OSError as error:
        return Finding("memory", "warning", f"/proc/meminfo cannot be read: {error.strerror}", "mount /proc")
    return assess_memory(text)


def assess_memory(meminfo: str) -> Finding:
    """From /proc/meminfo."""
    kb = {name: int(value) for name, value in re.findall(r"^(\w+):\s*(\d+) kB$", meminfo, re.MULTILINE)}
    available_mb, total_mb = kb.get("MemAvailable", 0) // 1024, kb.get("MemTotal", 0) // 1024
    found = f"{available_mb} MB of {total_mb} MB available"
    if available_mb >= NEEDED_MEMORY_MB:
        return Finding("memory", "good", found)
    return Finding(
        "memory", "warning", f"{found}, a node takes {NEEDED_MEMORY_MB} MB", "end other programs, or add swap"
    )


def disk_finding(directory: Path, outbox_mb: float) -> Finding:
    """Whether the state directory can be written, and has room for the outbox; it need not exist yet."""
    there = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    try:
        status = os.statvfs(there)
    except OSError as error:
        return Finding("disk", "failure", f"{there}: {error.strerror}", "choose another state_directory in config.yaml")
    return assess_disk(
        directory, status.f_bavail * status.f_frsize / MB, outbox_mb, is_writable=os.access(there, os.W_OK | os.X_OK)
    )


def assess_disk(directory: Path, free_mb: float, outbox_mb: float, *, is_writable: bool) -> Finding:
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


def clock_finding() -> Finding:
    """Whether something keeps the clock right."""
    timex = Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        why = os.strerror(ctypes.get_errno())
        return Finding(
            "clock", "warning", f"the kernel does not say whether it is synchronised: {why}", "run timedatectl"
        )
    return assess_clock(timex.status, timex.maxerror)


def assess_clock(status: int, most_wrong_us: int) -> Finding:
    """From the status bits and the largest error of adjtimex(2)."""
    if not status & STA_UNSYNC or most_wrong_us < UNKNOWN_ERROR_US:
        return Finding("clock", "good", "synchronised")
    remedy = "see that systemd-timesyncd or chrony runs: times in messages, and TLS, need the right time"
    return Finding("clock", "warning", "no sign that anything keeps it right", remedy)


@dataclass(frozen=True, slots=True)
class Kernels:
    """What the kernels of one architecture need and what makes int8 models fast: names of /proc/cpuinfo."""

    needed: str
    fast: str
    fast_words: str
    gpu: str | None = None
    """What LiteRT's GPU accelerator needs: 2.3 ends its process by SIGILL without it (LiteRT's issue 5675)."""


ARCHITECTURES = {
    "aarch64": Kernels("asimd", "asimddp", "dot product instructions", gpu="atomics"),
    "armv7l": Kernels("neon", "asimddp", "dot product instructions"),
    "x86_64": Kernels("sse2", "avx2", "AVX2"),
}
"""XNNPACK, which runs the models, needs NEON on ARM (its README, "Supported Architectures") and what every x86-64 has;
it takes faster kernels where it finds their instructions. An Arm Cortex-A76 (Pi 5) has a dot product, a Cortex-A72
(Pi 4) has none."""


def processor_finding(root: Path = Path("/"), machine: str | None = None) -> Finding:
    """The processor of this machine; `machine` is its architecture as uname names it."""
    try:
        text = (root / "proc" / "cpuinfo").read_text("utf-8", "replace")
    except OSError as error:
        return Finding("processor", "warning", f"/proc/cpuinfo cannot be read: {error.strerror}", "mount /proc")
    return assess_processor(machine or platform.machine(), text)


def assess_processor(machine: str, cpuinfo: str) -> Finding:
    """Whether it can run models, and how fast those of int8."""
    cores = [set(features.split()) for features in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    everywhere: Set[str] = set.intersection(*cores) if cores else set()
    kernels = ARCHITECTURES.get("armv7l" if machine.startswith("armv") else machine)
    found = f"{machine}, {len(cores)} cores" if len(cores) != 1 else f"{machine}, 1 core"
    if kernels is None:
        return Finding(
            "processor", "warning", f"{found}: perceptd was not tried on it", "see whether the self-test runs"
        )
    if kernels.needed not in everywhere:
        remedy = "use a machine that has it; in a virtual one, let it show the host's processor"
        return Finding("processor", "failure", f"{found}, without {kernels.needed}, which TFLite needs", remedy)
    is_fast = kernels.fast in everywhere
    found += f", with {kernels.fast_words}" if is_fast else f", no {kernels.fast_words}: int8 models run, but slower"
    if kernels.gpu is not None and kernels.gpu not in everywhere:
        found += f"; no {kernels.gpu}: LiteRT's GPU accelerator cannot run"
    return Finding("processor", "good", found)


def access_finding(check: str, node: Path, found: str, remedy: str, mode: int = os.R_OK | os.W_OK) -> Finding:
    """Good if this user may open the node in this mode, one of `os.access`; `remedy` says what to do if not."""
    if not node.exists():
        return Finding(check, "warning", f"{found}: there is no such node", "in a container, pass the device in")
    if not os.access(node, mode):
        return Finding(check, "warning", f"{found}: this user may not use it", remedy)
    return Finding(check, "good", found)


def group_of(node: Path) -> str:
    """The group that owns a node, by name where it has one."""
    try:
        number = node.stat().st_gid
    except OSError:
        return "video"
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def gpu_findings(root: Path = Path("/")) -> Iterator[Finding]:
    """Which Jetson this is, if it is one, and each node of a GPU."""
    release, nodes = jetson_release(root), gpu_nodes(root)
    if release is not None:
        yield assess_jetson(release, nodes)
    elif not nodes:
        yield Finding("gpu", "good", "none here, and none needed")
    for node in nodes:
        # a Jetson's nvmap is read-only to its group
        yield access_finding(f"gpu {node.name}", node, str(node), access_remedy(group_of(node)), os.R_OK)


def access_remedy(group: str) -> str:
    """How a user gets to use a node that belongs to a group."""
    if group == "root":
        return "only root may use it: a udev rule must give it to the group video"
    return f"add this user to the group {group}: sudo usermod -aG {group} USER, and log in anew"


def assess_jetson(release: str, nodes: list[Path]) -> Finding:
    """A Jetson without nodes of a GPU is mostly a container that was not given them."""
    if nodes:
        return Finding("jetson", "good", release)
    return Finding("jetson", "warning", f"{release}, but no GPU node", "in a container, use --runtime nvidia")
