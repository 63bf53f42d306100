"""Runs in child processes what is asked on the local socket and takes long: the check of a config, and doctor."""

import json
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from daemon.core.errors import ChildError, LocalError
from daemon.core.sealed import sealed_memory
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.node.local_commands import LOOK_S, STOPPING
from daemon.node.local_host import LocalHost
from daemon.runtime.child import Child

# as a reload: the check loads the bundle
CHECK_S = 90.0
# doctor opens each camera, and waits for it
DOCTOR_S = 120.0


class LocalChildren:
    """At most one check and one run of doctor at a time. Callable from any thread."""

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self._checks, self._doctors = threading.Lock(), threading.Lock()

    def check(self, text: str, stop: threading.Event) -> list[Any]:
        """Return the problems that a start with this config would have, as `config.problems` has them.

        Raises LocalError.
        """
        descriptor = sealed_memory(text.encode())
        try:
            child = partial(
                Child, self._host.check, self._host.options.to_json(), str(descriptor), inherits=[descriptor]
            )
            found = self._result("a check of a config", self._checks, CHECK_S, stop, child)
        finally:
            os.close(descriptor)
        if not isinstance(found, list):
            raise LocalError("refused", "the check of the config has no result")
        return found

    def doctor(self, stop: threading.Event) -> dict[str, Any]:
        """Return the report of doctor. Raises LocalError."""
        child = partial(Child, self._host.doctor, self._host.options.path)
        found = self._result("a run of doctor", self._doctors, DOCTOR_S, stop, child)
        if not isinstance(found, dict):
            raise LocalError("refused", "the run of doctor has no result")
        return found

    def _result(
        self, what: str, turn: threading.Lock, most_s: float, stop: threading.Event, start: Callable[[], Child]
    ) -> object:
        """Return the JSON that a child prints."""
        if not turn.acquire(blocking=False):
            raise LocalError("refused", f"{what} is under way; try again when it has ended")
        try:
            with start() as child:
                until_ns = monotonic_ns() + round(most_s * NS_PER_S)
                while not child.has_ended(LOOK_S):
                    if stop.is_set():
                        raise LocalError("refused", STOPPING)
                    if monotonic_ns() >= until_ns:
                        raise LocalError("refused", f"{what} has not ended within {most_s:g} s")
                return json.loads(child.result(0))
        except (ChildError, ValueError) as error:
            raise LocalError("refused", f"{what} failed: {error}") from error
        finally:
            turn.release()
