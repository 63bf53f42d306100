"""Questions about running processes."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether the process exists and has not ended. An ended process may remain as a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children_of(pid: int, of: str) -> list[int]:
    """Return the running children of a process that have `of` in their command line."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in pids if is_running(child) and of in Path(f"/proc/{child}/cmdline").read_text()]
