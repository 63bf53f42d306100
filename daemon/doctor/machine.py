"""Checks memory, disk, clock, processor and GPUs of this machine."""

import ctypes
import grp
import os
import platform
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from daemon.core.mounts import why_passing
from daemon.doctor.finding import Finding
from daemon.inference.hardware import gpu_nodes, jetson_release

MB = 1024 * 1024

# the shipped bundle and recording take 101 MB at most (README.md); the rest is for the pictures of a camera
NEEDED_MEMORY_MB = 150

# besides the outbox: its journal, and the system itself
DISK_RESERVE_MB = 50

# linux/timex.h: nothing synchronises the clock, or the kernel is not told, as by chrony without rtcsync
STA_UNSYNC = 0x40

# the largest error that the kernel states when nothing has ever corrected the clock; timedated uses it too
UNKNOWN_ERROR_US = 16_000_000


@dataclass(frozen=True, slots=True)
class Kernels:
    """The instructions of one architecture that kernels for int8 models use, by their names in /proc/cpuinfo.

    Without `needed` no model runs. `fast` makes models faster; `fast_name` is its name for people.
    Without `gpu` LiteRT's GPU accelerator cannot run.
    """

    needed: str
    fast: str
    fast_name: str
    gpu: str | None = None


# XNNPACK runs the models. It needs NEON on ARM (its README, "Supported Architectures"), and uses faster instructions
# where it finds them. An Arm Cortex-A76 (Pi 5) has the dot product, a Cortex-A72 (Pi 4) has not.
# LiteRT's GPU accelerator 2.3 ends its process by SIGILL without atomics (LiteRT's issue 5675).
ARCHITECTURES = {
    "aarch64": Kernels("asimd", "asimddp", "dot product instructions", gpu="atomics"),
    "armv7l": Kernels("neon", "asimddp", "dot product instructions"),
    "x86_64": Kernels("sse2", "avx2", "AVX2"),
}


class Timex(ctypes.Structure):
    """The start of struct timex, with room for its rest on any architecture (linux/timex.h)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def memory_finding(root: Path = Path("/")) -> Finding:
    """Whether a node has enough memory."""
    try:
        text = (root / "proc" / "meminfo").read_text()
    except OSError as error:
        return Finding("memory", "warning", f"/proc/meminfo cannot be read: {error.strerror}", "mount /proc")
    return assess_memory(text)


def assess_memory(meminfo: str) -> Finding:
    """The finding from /proc/meminfo."""
    kb = {name: int(value) for name, value in re.findall(r"^(\w+):\s*(\d+) kB$", meminfo, re.MULTILINE)}
    available_mb, total_mb = kb.get("MemAvailable", 0) // 1024, kb.get("MemTotal", 0) // 1024
    found = f"{available_mb} MB of {total_mb} MB available"
    if available_mb >= NEEDED_MEMORY_MB:
        return Finding("memory", "good", found)
    return Finding(
        "memory", "warning", f"{found}, a node takes {NEEDED_MEMORY_MB} MB", "end other programs, or add swap"
    )


def disk_finding(directory: Path, outbox_mb: float) -> Finding:
    """Whether the state directory can be written, and has room for the outbox. The directory need not exist."""
    there = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    try:
        status = os.statvfs(there)
    except OSError as error:
        return Finding("disk", "failure", f"{there}: {error.strerror}", "choose another state_directory in config.yaml")
    is_writable = os.access(there, os.W_OK | os.X_OK)
    if is_writable and (where := why_passing(directory)) is not None:
        found = f"{directory} lies {where}: it is lost when the machine restarts"
        return Finding("disk", "warning", found, "set state_directory to a disk; docs/operations.md says what is lost")
    return assess_disk(directory, status.f_bavail * status.f_frsize / MB, outbox_mb, is_writable=is_writable)


def assess_disk(directory: Path, free_mb: float, outbox_mb: float, *, is_writable: bool) -> Finding:
    """The finding from the free space of the state directory's disk."""
    found = f"{free_mb:.0f} MB free for {directory}"
    if not is_writable:
        remedy = "run doctor as the user of the service, or choose another state_directory in config.yaml"
        return Finding("disk", "warning", f"{found}, which this user cannot write", remedy)
    needed_mb = outbox_mb + DISK_RESERVE_MB
    if free_mb < needed_mb:
        remedy = "make room, or lower mqtt.outbox.max_mb in config.yaml"
        return Finding("disk", "warning", f"{found}, the outbox may need {needed_mb:.0f} MB", remedy)
    return Finding("disk", "good", found)


def clock_finding() -> Finding:
    """Whether something synchronises the clock."""
    timex = Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        found = f"the kernel does not say whether it is synchronised: {os.strerror(ctypes.get_errno())}"
        return Finding("clock", "warning", found, "run timedatectl")
    return assess_clock(timex.status, timex.maxerror)


def assess_clock(status: int, max_error_us: int) -> Finding:
    """The finding from the status bits and the largest error of adjtimex(2)."""
    if not status & STA_UNSYNC or max_error_us < UNKNOWN_ERROR_US:
        return Finding("clock", "good", "synchronised")
    remedy = "check that systemd-timesyncd or chrony runs: times in messages, and TLS, need the right time"
    return Finding("clock", "warning", "not synchronised, as far as the kernel knows", remedy)


def processor_finding(root: Path = Path("/"), machine: str | None = None) -> Finding:
    """Whether the processor can run models; `machine` is its architecture as uname names it."""
    try:
        text = (root / "proc" / "cpuinfo").read_text("utf-8", "replace")
    except OSError as error:
        return Finding("processor", "warning", f"/proc/cpuinfo cannot be read: {error.strerror}", "mount /proc")
    return assess_processor(machine or platform.machine(), text)


def assess_processor(machine: str, cpuinfo: str) -> Finding:
    """The finding from /proc/cpuinfo. An instruction counts if every core has it."""
    cores = [set(features.split()) for features in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    common: Set[str] = set.intersection(*cores) if cores else set()
    kernels = ARCHITECTURES.get("armv7l" if machine.startswith("armv") else machine)
    found = f"{machine}, {len(cores)} cores" if len(cores) != 1 else f"{machine}, 1 core"
    if kernels is None:
        return Finding(
            "processor", "warning", f"{found}: perceptd was not tested on it", "check that the self-test passes"
        )
    if kernels.needed not in common:
        remedy = "use a machine that has it; a virtual machine must show the host's processor"
        return Finding("processor", "failure", f"{found}, without {kernels.needed}, which TFLite needs", remedy)
    if kernels.fast in common:
        found += f", with {kernels.fast_name}"
    else:
        found += f", no {kernels.fast_name}: int8 models run, but slower"
    if kernels.gpu is not None and kernels.gpu not in common:
        found += f"; no {kernels.gpu}: LiteRT's GPU accelerator cannot run"
    return Finding("processor", "good", found)


def gpu_findings(root: Path = Path("/")) -> Iterator[Finding]:
    """Which Jetson this is, if it is one, and whether this user may use each GPU."""
    release, nodes = jetson_release(root), gpu_nodes(root)
    if release is not None:
        yield assess_jetson(release, nodes)
    elif not nodes:
        yield Finding("gpu", "good", "no GPU found, none needed")
    for node in nodes:
        # on a Jetson the group of nvmap may only read it
        yield access_finding(f"gpu {node.name}", node, str(node), access_remedy(group_of(node)), os.R_OK)


def assess_jetson(release: str, nodes: list[Path]) -> Finding:
    """A Jetson without GPU nodes is mostly a container that was not given them."""
    if nodes:
        return Finding("jetson", "good", release)
    return Finding("jetson", "warning", f"{release}, but no GPU node", "in a container, use --runtime nvidia")


def access_finding(check: str, node: Path, found: str, remedy: str, mode: int = os.R_OK | os.W_OK) -> Finding:
    """Whether this user may open the device node in `mode`, a mode of `os.access`; `remedy` applies if not."""
    if not node.exists():
        return Finding(check, "warning", f"{found}: there is no such node", "in a container, pass the device in")
    if not os.access(node, mode):
        return Finding(check, "warning", f"{found}: this user may not use it", remedy)
    return Finding(check, "good", found)


def group_of(node: Path) -> str:
    """The group of a device node: its name, or its number if it has no name."""
    try:
        group_id = node.stat().st_gid
    except OSError:
        return "video"
    try:
        return grp.getgrgid(group_id).gr_name
    except KeyError:
        return str(group_id)


def access_remedy(group: str) -> str:
    """How a user gets access to the device nodes of a group."""
    if group == "root":
        return "only root may use it: add a udev rule that gives it to the group video"
    return f"add this user to the group {group}: sudo usermod -aG {group} USER, and log in again"
