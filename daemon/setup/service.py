"""The installed service, as systemd runs it."""

import subprocess
import time
from pathlib import Path

from daemon.core.errors import Refused
from daemon.setup.interrupts import interrupts

UNIT = "perceptd.service"

# sd_booted(3)
RUNS_SYSTEMD = Path("/run/systemd/system")

# a service that loads its models on a small board with a slow card takes a minute and a half
SYSTEMCTL_S = 120.0
RECOGNISES_S = 60.0
POLL_S = 0.25

# how the service's own status begins once its sources deliver
RECOGNISING = "recognising"


class Systemd:
    """systemd, and the unit of perceptd. `program` is systemctl; `runs` is there while systemd manages this machine."""

    def __init__(self, program: str = "systemctl", runs: Path = RUNS_SYSTEMD) -> None:
        self._program = program
        self._runs = runs

    def has_unit(self) -> bool:
        """Return whether systemd manages this machine and knows the service."""
        return self._runs.is_dir() and self._show("LoadState") == "loaded"

    def is_active(self) -> bool:
        """Return whether the service runs."""
        return self._show("ActiveState") in ("active", "activating", "reloading")

    def stop(self) -> None:
        """Stop the service. Raises Refused."""
        self._run("stop", UNIT)

    def start(self, *, enables: bool) -> None:
        """Start the service with the config as it is now; with `enables` also at every boot. Raises Refused."""
        if enables:
            self._run("enable", UNIT)
        self._run("restart", UNIT)

    def wait_until_it_recognises(self, timeout_s: float = RECOGNISES_S) -> str:
        """Return the status of the service once it recognises. Raises Refused, with its status, where it does not."""
        deadline = time.monotonic() + timeout_s
        while True:
            state, status = self._show("ActiveState"), self._show("StatusText")
            if state == "active" and status.startswith(RECOGNISING):
                return status
            if state not in ("active", "activating", "reloading") or time.monotonic() > deadline:
                raise Refused(f"the service is {state or 'unknown'}{f': {status}' if status else ''}")
            time.sleep(POLL_S)

    def _show(self, name: str) -> str:
        try:
            return self._run("show", "--property", name, "--value", UNIT).strip()
        except Refused:
            return ""

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603  (systemctl, found as the shell finds it)
                [self._program, *arguments],
                capture_output=True,
                text=True,
                timeout=SYSTEMCTL_S,
                check=False,
                # Ctrl-C at the terminal reaches setup only
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(f"systemctl {' '.join(arguments)} failed: {error}") from error
        if done.returncode != 0:
            raise Refused(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()[:300]}")
        return done.stdout


class Pause:
    """The service while a setup tests what it holds otherwise. `ran`: whether it ran before."""

    def __init__(self, systemd: Systemd, *, ran: bool) -> None:
        self.ran = ran
        self._systemd = systemd
        self._is_stopped = False

    def begin(self) -> bool:
        """Stop the service if it runs; return whether it did. Raises Refused."""
        if not self.ran or self._is_stopped:
            return False
        # whoever interrupts this does not stop systemd
        self._is_stopped = True
        self._systemd.stop()
        return True

    def end(self) -> None:
        """Start the service again, if it was stopped. Raises Refused."""
        if self._is_stopped:
            # who has pressed Ctrl-C may close the terminal next
            with interrupts.held():
                self._systemd.start(enables=False)
                self._is_stopped = False

    def forget(self) -> None:
        """Leave the service as it is: somebody else has started it."""
        self._is_stopped = False
