"""Where the page of a config finds its daemon, and keeps what it knows."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config.places import PAGE_STATE, SERVICE_CONFIG, SERVICE_SOCKET
from daemon.core.errors import ChildError, ChildTimeout, Refused
from daemon.runtime.child import Child

# reading a config takes a second on a small board
READ_S = 60.0

NOT_READABLE = "This user may not read it."


@dataclass(frozen=True, slots=True)
class Places:
    """`settings` is the section `page` of the config; None: the page's user may not read it, and asks the daemon."""

    local_socket: Path
    state: Path
    settings: Mapping[str, Any] | None

    @property
    def has_certificate(self) -> bool:
        """Return whether the page uses HTTPS."""
        return bool((self.settings or {}).get("certificate_file"))


def service_places(environment: Mapping[str, str] = os.environ) -> Places:
    """Return the places of the page that systemd has started."""
    given = environment.get("STATE_DIRECTORY")
    return Places(SERVICE_SOCKET, Path(given.split(":")[0]) if given else PAGE_STATE, None)


def places_of(config: Path, service: Path = SERVICE_CONFIG) -> Places:
    """Return the places of a config, which a child process reads: this process stays small. Raises Refused."""
    try:
        config.open("rb").close()
    except PermissionError as error:
        is_private = config.resolve() == service.resolve()
        who = "Only root and the service may read it: run this command with sudo." if is_private else NOT_READABLE
        raise Refused(f"{config}: cannot be read: {error.strerror}\n{who}") from error
    except OSError as error:
        raise Refused(f"{config}: cannot be read: {error.strerror or error}") from error
    try:
        with Child(print_places, str(config)) as child:
            told = json.loads(child.result(READ_S))
    except ChildTimeout as error:
        raise Refused(f"{config} could not be read: {error}") from error
    except ChildError as error:
        raise Refused(str(error)) from error
    local, state = Path(told["local_socket"]), Path(told["state"]) / "page"
    if is_of_service(config):
        local = SERVICE_SOCKET if SERVICE_SOCKET.exists() else local
        state = PAGE_STATE if PAGE_STATE.exists() else state
    return Places(local, state, told["page"])


def is_of_service(config: Path) -> bool:
    """Return whether a config is that of the installed service."""
    return config.resolve() == SERVICE_CONFIG.resolve()


def print_places(config: str) -> None:
    """Print the places as JSON, in a child process."""
    from daemon.config.node import load_config, local_socket, state_directories
    from daemon.core.errors import DocumentError
    from daemon.runtime.child_main import Failed

    try:
        loaded = load_config(Path(config))
    except DocumentError as error:
        raise Failed(str(error)) from error
    state = state_directories(loaded)[-1]
    told = {
        "local_socket": str(state / local_socket(loaded.document).name),
        "state": str(state),
        "page": loaded.document.page.model_dump(),
    }
    print(json.dumps(told))
