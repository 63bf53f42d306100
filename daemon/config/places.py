"""Which config a command uses when none is named. Imports nothing that may fail to load, for doctor."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.core.errors import DocumentError

# what an installation writes
SERVICE_CONFIG = Path("/etc/perceptd/config.yaml")

# of the service, as its unit says
SERVICE_STATE = Path("/var/lib/perceptd")

# where systemd lets the service's daemon answer the programs of its machine, and the state of the service's page
SERVICE_SOCKET = Path("/run/perceptd/local.sock")
PAGE_STATE = Path("/var/lib/perceptd-page")

# where scripts/install and an administrator put units and drop-ins
UNIT_DIRECTORY = Path("/etc/systemd/system")
# the Debian package puts its units into the first; what lies in the second overrides them
UNIT_DIRECTORIES = (Path("/usr/lib/systemd/system"), UNIT_DIRECTORY)


def node_configs() -> list[Path]:
    """Return the places of a node's config, the first to be taken first."""
    return [Path("config.yaml"), SERVICE_CONFIG]


def account_configs(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the places of the config with which a person reaches nodes, the first to be taken first.

    The person's own account comes before the account of the service.
    """
    local, service = node_configs()
    return [local, xdg_directory(environment, "XDG_CONFIG_HOME", ".config") / "perceptd" / "config.yaml", service]


def xdg_directory(environment: Mapping[str, str], variable: str, default: str) -> Path:
    """Return a user's directory of the XDG Base Directory Specification; `default` is its path in the home."""
    # by the specification a relative path is to be ignored
    given = Path(environment.get(variable) or "")
    return given if given.is_absolute() else Path(environment.get("HOME") or "/") / default


def find_config(places: Sequence[Path]) -> Path:
    """Return the first config that is there. Raises DocumentError.

    The last one, of the service, is also taken if it lies in a directory that this user may not enter.
    """
    for path in places:
        try:
            path.stat()
        except PermissionError:
            if path != places[-1]:
                continue
        except OSError:
            continue
        return path
    missing = " or ".join(map(str, places))
    raise DocumentError([f"no config: there is no {missing}; name one by --config FILE"])


def unit_files(directories: Sequence[Path] = UNIT_DIRECTORIES) -> list[Path]:
    """Return the file of the installed service's unit and its drop-ins, in the order in which systemd reads them."""
    units = [unit for directory in directories if (unit := directory / "perceptd.service").is_file()]
    # of two drop-ins with one name, that of the last directory counts
    drop_ins = {
        file.name: file for directory in directories for file in (directory / "perceptd.service.d").glob("*.conf")
    }
    return [*units[-1:], *(drop_ins[name] for name in sorted(drop_ins) if drop_ins[name].is_file())]
