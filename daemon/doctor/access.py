"""Whether this user may use a device node."""

import grp
import os
from pathlib import Path

from daemon.doctor.finding import Finding


def access(check: str, node: Path, found: str, remedy: str, mode: int = os.R_OK | os.W_OK) -> Finding:
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
