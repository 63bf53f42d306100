"""A node of this machine, for commands that work on its files."""

import argparse
import os
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
