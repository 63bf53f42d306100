"""Runs each step of an update in a short-lived child process."""

from collections.abc import Mapping, Sequence

from daemon.bundles.ports import Beat, Step
from daemon.clock import NS_PER_S, monotonic_ns
from daemon.errors import ChildError, Late, UpdateError
from daemon.runtime.child import Child

TARGETS: Mapping[Step, str] = {
    "look": "daemon.bundles.fetch:look",
    "resolve": "daemon.bundles.fetch:resolve",
    "download": "daemon.bundles.fetch:download",
    "verify": "daemon.bundles.fetch:verify",
    "check": "daemon.trial:check",
    "selftest": "daemon.trial:selftest",
}
"""What each step calls."""

POLL_S = 0.5
"""How often it is asked meanwhile whether to go on."""


class ChildRunner:
    """Implements Runner."""

    def __init__(self, targets: Mapping[Step, str] = TARGETS) -> None:
        self._targets = targets

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        """What the step printed. Raises ChildError when it failed, Late when it took long, UpdateError without room."""
        try:
            child = Child(self._targets[step], request, inherits=inherits)
        except ChildError as error:
            raise UpdateError("memory", str(error)) from error
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        with child:
            while not child.has_ended(POLL_S):
                beat()
                if monotonic_ns() > deadline_ns:
                    raise Late(deadline_s)
            return child.result(0)
