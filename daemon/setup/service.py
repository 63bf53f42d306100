"""The installed service, as systemd runs it."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from daemon.core.errors import Refused
from daemon.core.text import redact
from daemon.setup.commands import MAX_REASON_CHARS
from daemon.setup.interrupts import interrupts
from daemon.setup.unit import MASKED, PROPERTIES, Unit, unit_of

UNIT = "perceptd.service"

# sd_booted(3)
RUNS_SYSTEMD = Path("/run/systemd/system")

# every command of systemctl here is answered at once, but for `stop`: a service ends within six seconds
SYSTEMCTL_S = 60.0

# systemd may wait for the network for two minutes. Then the service loads its models: a minute and a half at most
START_S = 240.0
RECOGNISES_S = 60.0
POLL_S = 0.25

# of the log, where the service does not recognise
LOG_LINES = 5


class Systemd:
    """systemd, and the unit of perceptd. `program` is systemctl; `runs` is there while systemd manages this machine."""

    def __init__(self, program: str = "systemctl", runs: Path = RUNS_SYSTEMD, journal: str = "journalctl") -> None:
        self._program = program
        self._runs = runs
        self._journal = journal

    def has_unit(self) -> bool:
        """Return whether systemd manages this machine and knows the service."""
        return self._runs.is_dir() and self.look().exists

    def is_active(self) -> bool:
        """Return whether the service runs."""
        return self.look().is_running

    def look(self) -> Unit:
        """Return the state of the service."""
        try:
            return unit_of(self._run("show", f"--property={','.join(PROPERTIES)}", UNIT))
        except Refused:
            return Unit()

    def stop(self) -> None:
        """Stop the service. Raises Refused."""
        self._run("stop", UNIT)

    def start(self, *, enables: bool) -> None:
        """Let systemd start the service with the config as it is now; with `enables` also at every boot.

        Does not wait for the start. Raises Refused.
        """
        if self.look().load == "masked":
            raise Refused(MASKED)
        if enables:
            self._run("enable", UNIT)
        # a drop-in may limit how often it starts, and each setup starts it
        with suppress(Refused):
            self._run("reset-failed", UNIT)
        # systemctl itself would tell nothing while it waits, and fail where the service starts at its second attempt
        self._run("restart", "--no-block", UNIT)

    def wait_until_it_runs(self, say: Callable[[str], None], timeout_s: float = START_S) -> None:
        """Wait until the start is over; `say` gets what the service does meanwhile. Raises Refused, with the reason."""
        self._wait(say, timeout_s, recognises=False)

    def wait_until_it_recognises(
        self, say: Callable[[str], None], start_s: float = START_S, timeout_s: float = RECOGNISES_S
    ) -> str:
        """Wait for the start, and return the status of the service once it recognises.

        Raises Refused, with the reason.
        """
        self._wait(say, start_s, recognises=False)
        return self._wait(say, timeout_s, recognises=True).status

    def last_log(self) -> list[str]:
        """Return what the service itself has written last into its log, without credentials."""
        filters = [f"_SYSTEMD_UNIT={UNIT}", "--boot"]
        command = [self._journal, *filters, f"--lines={LOG_LINES}", "--output=cat", "--quiet", "--no-pager"]
        try:
            return redact(_output(command)).splitlines()[-LOG_LINES:]
        except Refused:
            return []

    def _wait(self, say: Callable[[str], None], timeout_s: float, *, recognises: bool) -> Unit:
        deadline, told = time.monotonic() + timeout_s, ""
        while True:
            unit = self.look()
            if unit.recognises or (unit.is_started and not recognises):
                return unit
            if unit.is_given_up or time.monotonic() > deadline:
                raise Refused(unit.problem)
            if unit.stage not in ("", told):
                told = unit.stage
                say(told)
            time.sleep(POLL_S)

    def _run(self, *arguments: str) -> str:
        return _output([self._program, *arguments])


def _output(command: list[str]) -> str:
    """Return what a program prints. Raises Refused where it fails."""
    name = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(  # noqa: S603  (systemctl or journalctl, found as the shell finds it)
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SYSTEMCTL_S,
            check=False,
            # Ctrl-C at the terminal reaches setup only
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{name} has not ended within {SYSTEMCTL_S:g} s") from error
    except OSError as error:
        raise Refused(f"{name} cannot be started: {error.strerror or error}") from error
    if done.returncode != 0:
        raise Refused(f"{name} failed: {done.stderr.strip()[:MAX_REASON_CHARS]}")
    return done.stdout


class Pause:
    """The service while a setup tests what it holds otherwise. `ran`: whether it ran before."""

    def __init__(self, systemd: Systemd, *, ran: bool) -> None:
        self.ran = ran
        self._systemd = systemd
        self.is_stopped = False

    @property
    def is_needed(self) -> bool:
        """Whether the service runs, and has to stop before a test."""
        return self.ran and not self.is_stopped

    def begin(self) -> None:
        """Stop the service. Raises Refused."""
        # whoever interrupts this does not stop systemd
        self.is_stopped = True
        self._systemd.stop()

    def end(self, say: Callable[[str], None]) -> None:
        """Start the service again, if it was stopped. Raises Refused."""
        if self.is_stopped:
            # who has pressed Ctrl-C may close the terminal next
            with interrupts.held():
                self._systemd.start(enables=False)
                self.is_stopped = False
            self._systemd.wait_until_it_runs(say)

    def forget(self) -> None:
        """Leave the service as it is: somebody else has started it."""
        self.is_stopped = False
