"""The GPU: a Jetson's release, and the nodes a delegate opens."""

import os
from collections.abc import Iterator
from pathlib import Path

from daemon.doctor.access import access, group_of
from daemon.doctor.finding import Finding
from daemon.inference.hardware import gpu_nodes, jetson_release


def gpu_findings(root: Path = Path("/")) -> Iterator[Finding]:
    """Which Jetson this is, if it is one, and each node of a GPU."""
    release, nodes = jetson_release(root), gpu_nodes(root)
    if release is not None:
        yield judge_release(release, nodes)
    elif not nodes:
        yield Finding("gpu", "good", "none here, and none needed")
    for node in nodes:
        # a Jetson's nvmap is read-only to its group
        yield access(f"gpu {node.name}", node, str(node), remedy_of(group_of(node)), os.R_OK)


def remedy_of(group: str) -> str:
    """How a user gets to use a node that belongs to a group."""
    if group == "root":
        return "only root may use it: a udev rule must give it to the group video"
    return f"add this user to the group {group}: sudo usermod -aG {group} USER, and log in anew"


def judge_release(release: str, nodes: list[Path]) -> Finding:
    """A Jetson without nodes of a GPU is mostly a container that was not given them."""
    if nodes:
        return Finding("jetson", "good", release)
    return Finding("jetson", "warning", f"{release}, but no GPU node", "in a container, use --runtime nvidia")
