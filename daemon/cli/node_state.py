"""A node of this machine, for commands that work on its files."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.cli.reach import explained, node_config
from daemon.config.node import Config, load_config, state_directory
from daemon.config.places import SERVICE_CONFIG, SERVICE_STATE
from daemon.core.document import Loaded


@dataclass(frozen=True, slots=True)
class NodeState:
    """The config of a node of this machine, and its state directory."""

    config: Loaded[Config]
    directory: Path

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.config.document.node


def node_state(options: argparse.Namespace) -> NodeState:
    """Return the node that the options name, or the first whose config is found. Raises Refused."""
    path = node_config(options.config)
    with explained(path):
        config = load_config(path)
    environment = dict(os.environ)
    if path == SERVICE_CONFIG:  # systemd tells the service alone where its state is
        environment.setdefault("STATE_DIRECTORY", str(SERVICE_STATE))
    return NodeState(config, state_directory(config.document, environment))


def advice(state: NodeState) -> str:
    """Return what to do where this user may not use the files."""
    needed = os.R_OK | os.W_OK | os.X_OK
    if os.geteuid() == 0 or os.access(state.directory, needed, effective_ids=True):
        return ""
    return "\nOnly root and the user of the node may use it: run this command with sudo."


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Run a block of a command of root as the user who owns a directory."""
    status = directory.stat()
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def give_to_caller(path: Path) -> None:
    """Give a new file or directory to the person who runs the command with sudo. Raises OSError."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        os.chown(path, int(user), int(group), follow_symlinks=False)
