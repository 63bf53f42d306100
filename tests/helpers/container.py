"""A container that runs, how it is started, and what an engine of containers must be able to do."""

import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

COMMAND_S = 120.0
# a loaded machine; the container reports itself ready within 90 s, or starts again
START_S = 120.0
PYTHON = "/opt/perceptd/.venv/bin/python3"


@dataclass
class Running:
    """A container that runs. `log` is what it prints."""

    process: "subprocess.Popen[bytes]"
    log: Path
    # what starts a command in it, as its user
    inside: Sequence[str]
    # what sends it a signal by number
    signalling: Sequence[str]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        done = subprocess.run(
            [*self.inside, *command],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        subprocess.run([*self.signalling, str(int(number))], check=True, capture_output=True, timeout=COMMAND_S)

    def stop(self) -> tuple[int, float]:
        """Stop it as engines do; return its exit code, and the seconds that took."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        return self.process.wait(COMMAND_S), time.monotonic() - began

    def printed(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace")


@dataclass
class Options:
    """How a container is started: further environment, files and folders by their place in it, a user, a command.

    `network` is the file of a network namespace; None: the network of this machine. `has_init`: another program is the
    first process, and starts the command.
    """

    environment: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    user: str | None = None
    is_read_only: bool = True
    command: Sequence[str] = ()
    network: Path | None = None
    has_init: bool = False


class Engine(Protocol):
    """What runs images."""

    name: str

    def load(self, archive: Path) -> str:
        """Take an image; return what names it."""

    def configuration(self, image: str) -> dict[str, Any]:
        """Return the configuration of an image."""

    def running(self, image: str, volume: Path, log: Path, options: Options) -> AbstractContextManager[Running]:
        """Run an image during a block, with a volume at /data."""

    def close(self) -> None:
        """Remove what it keeps."""


def is_healthy(container: Running) -> bool:
    """Return whether the node of a container answers. Fails when the container has ended."""
    assert container.process.poll() is None, f"the container has ended: {container.printed()[-2000:]}"
    return container.run(PYTHON, "-m", "daemon.cli.container", "health", check=False).returncode == 0
