"""Questions about running processes."""

import gc
import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether the process exists and has not ended. An ended process may remain as a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def group_of(leader: int) -> list[int]:
    """Return the running processes of a process group, the leader among them."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if _group(pid) == leader]


def children_of(pid: int, of: str) -> list[int]:
    """Return the running children of a process that have `of` in their command line."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in pids if is_running(child) and of in Path(f"/proc/{child}/cmdline").read_text()]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid) if is_running(pid) else None
    except ProcessLookupError:
        return None


def open_descriptors() -> set[str]:
    """Return the descriptors of this process. What tests of before have left to be collected is closed first."""
    gc.collect()
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}
