"""What systemd says of the service, and what that means for a person. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

# of `systemctl show`
PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "StatusText", "Job", "NRestarts")

# Each takes a second. A service that has ended so often ends again.
MOST_RESTARTS = 3

MASKED = "the service is masked, so that nothing can start it; allow it again: sudo systemctl unmask perceptd"

# how the service's own status begins once its sources deliver
RECOGNISING = "recognising"

# why it has ended, by the property Result (systemd.service(5))
RESULTS = {
    "protocol": "it has ended before it was ready",
    "timeout": "it has not started or not ended in time",
    "signal": "a signal has ended it",
    "core-dump": "a signal has ended it",
    "watchdog": "it has hung, and systemd has ended it",
    "start-limit-hit": "it was started too often within a short time: sudo systemctl reset-failed perceptd",
    "oom-kill": "this machine has too little memory for it",
    "resources": "systemd could not prepare its start",
}

# what the service says by the exit code with which it ends
EXIT_CODES = {"78": "its config or its bundle cannot be used", "65": "a recording is damaged or cut off"}


@dataclass(frozen=True, slots=True)
class Unit:
    """The state of the service. All is empty where systemd does not answer.

    `has_job`: systemd is going to change it. `restarts`: how often systemd has started it again by itself.
    """

    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    exit_code: str = ""
    status: str = ""
    has_job: bool = False
    restarts: int = 0

    @property
    def exists(self) -> bool:
        """Whether systemd knows the service."""
        return self.load not in ("", "not-found")

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is about to without another command."""
        return self.active in ("active", "activating", "reloading")

    @property
    def is_started(self) -> bool:
        """Whether its start is over, and it runs."""
        return self.active == "active" and not self.has_job

    @property
    def recognises(self) -> bool:
        """Whether its sources deliver."""
        return self.is_started and self.status.startswith(RECOGNISING)

    @property
    def is_given_up(self) -> bool:
        """Whether it does not run and nothing starts it, or it ends again and again."""
        is_at_rest = self.active in ("inactive", "failed") and not self.has_job
        return is_at_rest or (self.restarts >= MOST_RESTARTS and not self.is_started)

    @property
    def stage(self) -> str:
        """What it does now, for somebody who waits; empty where that is not known."""
        if self.has_job and self.active in ("inactive", "failed"):
            return "systemd waits for other units first, such as the network"
        if self.sub.startswith("auto-restart"):
            return f"{self._cause or 'it has ended'}; systemd starts it again"
        return "" if self.active == "deactivating" else self.status

    @property
    def problem(self) -> str:
        """Why it does not recognise."""
        if self.load == "masked":
            return MASKED
        said = [self._cause] if not self.is_started else []
        said.append(self.status or (self.stage if self.has_job else ""))
        return ": ".join([f"the service is {self.active or 'unknown'}", *filter(None, said)])

    @property
    def _cause(self) -> str:
        if self.result != "exit-code":
            return RESULTS.get(self.result, "")
        meaning = EXIT_CODES.get(self.exit_code)
        return f"it has ended with exit code {self.exit_code}{f', {meaning}' if meaning else ''}"


def unit_of(shown: str) -> Unit:
    """Return the state from what `systemctl show` prints: one property a line."""
    values: Mapping[str, str] = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    load, active, sub, result, exit_code, status, job, restarts = (values.get(name, "").strip() for name in PROPERTIES)
    number = int(restarts) if restarts.isdecimal() else 0
    return Unit(load, active, sub, result, exit_code, status, has_job=job not in ("", "0"), restarts=number)
