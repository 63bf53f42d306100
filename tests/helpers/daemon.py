"""The daemon in its own process, as systemd would run it."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import yaml

from tests.helpers.promised import within

ROOT = Path(__file__).resolve().parents[2]

# the service promises to stop within this time
STOP_S = 5.0

# starts a daemon without a controlling terminal, whatever the tests have
SERVICE = ("setsid",)


class DaemonProcess:
    """`perceptd run` with a config. A context manager, which kills the daemon if it still runs at the end."""

    def __init__(
        self,
        config: dict,
        directory: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        stdin: int | None = None,
    ) -> None:
        """`prefix` is a command that starts the daemon, such as `setsid`; `stdin` a descriptor."""
        self._directory = directory
        self.config_path = directory / "config.yaml"
        self.write(config)
        self._log = (directory / "daemon.log").open("w+")
        # the tests may run under nohup, which makes every process below ignore SIGHUP
        start = ("env", "--default-signal=HUP", *prefix)
        command = [*start, sys.executable, "-m", "daemon", "run", "--config", str(self.config_path), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=stdin, stderr=self._log, env=environment)

    def write(self, config: dict) -> None:
        """Write the config file."""
        defaults = {"state_directory": str(self._directory / "state")}
        self.config_path.write_text(yaml.safe_dump(defaults | config, sort_keys=False))

    def __enter__(self) -> "DaemonProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        if error is not None:
            print(self.log)
        self._log.close()

    @property
    def log(self) -> str:
        """Everything that the daemon has logged so far."""
        return Path(self._log.name).read_text()

    def wait(self, deadline_s: float) -> int:
        """Wait until the daemon ends by itself; return its exit code."""
        return self.process.wait(deadline_s)

    def stop(self) -> int:
        """Send SIGTERM as systemd does; return the exit code. Fails if that takes longer than promised."""
        self.process.send_signal(signal.SIGTERM)
        within(STOP_S, self._has_ended, "the daemon stops")
        return self.process.returncode

    def _has_ended(self) -> bool:
        return self.process.poll() is not None
