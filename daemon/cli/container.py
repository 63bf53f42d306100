"""The part of a container's image that needs the program: `python -m daemon.cli.container start|health`.

The image has one volume, /data: the config in /data/config, the state of the node and of its page in /data/state.
/etc/perceptd and /var/lib/perceptd lead there, so that every command finds them as on a device.
"""

import errno
import os
import sys
import tempfile
from pathlib import Path

from daemon.cli.container_processes import Processes
from daemon.config.places import SERVICE_CONFIG, SERVICE_STATE
from daemon.core.errors import EXIT_REFUSED, LocalError, Refused
from daemon.core.files import replace_file
from daemon.runtime.local import LocalClient
from daemon.web.listening import DEFAULT_PORT, own_socket

PROGRAM = Path(__file__).resolve().parents[2]
# seconds without a browser after which the page ends, as of perceptd-page.service
PAGE_IDLE_S = 600


def main(arguments: list[str]) -> int:
    """Execute one action; return its exit code: 1 when the node is not healthy."""
    try:
        if arguments == ["start"]:
            return start(SERVICE_CONFIG, SERVICE_STATE)
        if arguments == ["health"]:
            return health(SERVICE_STATE / "local.sock")
    except Refused as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    print("usage: python -m daemon.cli.container start|health", file=sys.stderr)
    return EXIT_REFUSED


def start(config: Path, state: Path, port: int = DEFAULT_PORT) -> int:
    """Run the node of a config, which is written if there is none, and its page. Return the exit code of the node.

    Raises Refused.
    """
    ensure_state(state)
    ensure_config(config, PROGRAM)
    perceptd = (sys.executable, "-m", "daemon")
    node = (*perceptd, "run", "--config", str(config))
    page = (*perceptd, "page", "--config", str(config), "--idle-exit", str(PAGE_IDLE_S))
    # every address of the container: which of them others reach is decided where the container is started
    with own_socket("0.0.0.0", port) as listening, tempfile.TemporaryDirectory() as directory:  # noqa: S104
        return Processes(node, page, listening, Path(directory), os.environ).run()


def health(local_socket: Path) -> int:
    """Return 0 when the node answers, and else say why it does not."""
    try:
        told = LocalClient(local_socket).ask("describe").result
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{told.get('node')}: {told.get('bundle')}")
    return 0


def ensure_state(state: Path) -> None:
    """Make the folder of the state, which a folder of the user's own as volume does not have. Raises Refused."""
    try:
        _make(state)
        if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _not_own(state, error) from error


def ensure_config(config: Path, program: Path) -> None:
    """Write a config that replays the demo recording, unless there is one. Raises Refused."""
    try:
        if config.exists():
            return
        text = (program / "config.yaml").read_text(encoding="utf-8").replace(" models/", f" {program}/models/")
        _make(config.parent)
        replace_file(config, text.encode(), mode=0o640)
    except OSError as error:
        raise _not_own(config, error) from error
    print(f"{config} was missing: it now replays the demo recording until you change it", file=sys.stderr)


def _make(folder: Path) -> None:
    """Make a folder, or the one that a link leads to: in an empty volume there is none yet."""
    folder.resolve().mkdir(mode=0o700, parents=True, exist_ok=True)


def _not_own(path: Path, error: OSError) -> Refused:
    return Refused(
        f"{path} cannot be written: {error.strerror or error}. The volume /data must belong to user {os.getuid()} of "
        "this container"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
