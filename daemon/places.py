"""Where a node keeps what must outlive it."""

import os
from collections.abc import Mapping
from pathlib import Path

from daemon.config import Config


def state_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The config's directory, or systemd's for the service, or one of the user's own for this node."""
    if config.state_directory is not None:
        return Path(config.state_directory)
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])  # systemd.exec(5): several are joined by colons
    # XDG Base Directory Specification: data that is kept between restarts, but not worth carrying to other machines
    base = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "perceptd" / config.node


def models_directory(config: Config) -> Path:
    """Where bundles from afar are kept."""
    return state_directory(config) / "models"
