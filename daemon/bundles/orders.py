"""What somebody asks of the updater, from any thread, until its own gets round to it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon.bundles.choice import Own, active_id, latest_of
from daemon.bundles.state import State


@dataclass(frozen=True, slots=True)
class Install:
    """A version is wanted."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"to install {self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Rollback:
    """The bundle before the active one is wanted, and none that is being installed."""

    def __str__(self) -> str:
        return "to roll back"


Change = Install | Rollback


class Orders:
    """At most one of each kind waits; the methods never block, and say why an order is not taken."""

    def __init__(self, own: Own, perceptd: str, wake: Callable[[], None]) -> None:
        self._own = own
        self._perceptd = perceptd
        self._wake = wake
        self._lock = threading.Lock()
        self._change: Change | None = None
        self._check = False
        self._pin: bool | None = None

    def check(self, state: State) -> str | None:
        """Look at the source now."""
        with self._lock:
            if reason := self._busy(state) or self._on_probation(state):
                return reason
            self._check = True
        self._wake()
        return None

    def install(self, state: State, name: str | None, version: str | None) -> str | None:
        """Install a version: without a name of the active bundle, without a version the newest that is known."""
        active = active_id(state, self._own)
        name = name or active.partition("@")[0]
        if version is None:
            offer = latest_of(state, self._own, name, self._perceptd)
            if offer is None:
                newer = f" that is newer than {active}" if name == active.partition("@")[0] else ""
                return f"no version of {name} is known{newer} and can be run"
            version = offer.version
        if f"{name}@{version}" == active:
            return f"{active} is active"
        if state.candidate is not None and state.candidate.id == f"{name}@{version}":
            return None  # it is on its way already
        return self._on_probation(state) or self._put(state, Install(name, version))

    def rollback(self, state: State) -> str | None:
        """Go back to the bundle before the active one; what is being installed is given up, whatever waits too."""
        if state.active is None and state.candidate is None:
            return f"{self._own.id} is the config's own bundle: there is none before it"
        with self._lock:
            self._change = Rollback()
        self._wake()
        return None

    def pin(self, on: bool) -> str | None:
        """Keep the active bundle until somebody asks for another, or no longer."""
        with self._lock:
            self._pin = on
        self._wake()
        return None

    def take_change(self) -> Change | None:
        """The install or rollback that waits."""
        with self._lock:
            change, self._change = self._change, None
        return change

    @property
    def wants_back(self) -> bool:
        """Whether a rollback waits."""
        with self._lock:
            return isinstance(self._change, Rollback)

    def take_check(self) -> bool:
        """Whether somebody wants a look."""
        with self._lock:
            wanted, self._check = self._check, False
        return wanted

    def take_pin(self) -> bool | None:
        """Whether somebody wants it pinned, or no longer."""
        with self._lock:
            wanted, self._pin = self._pin, None
        return wanted

    def _put(self, state: State, change: Change) -> str | None:
        with self._lock:
            if reason := self._busy(state):
                return reason
            self._change = change
        self._wake()
        return None

    def _on_probation(self, state: State) -> str | None:
        if state.probation is None:
            return None
        return f"{active_id(state, self._own)} is on probation: it can be rolled back, or replaced when that is over"

    def _busy(self, state: State) -> str | None:
        if state.candidate is not None:
            return f"{state.candidate.id} is being installed ({state.candidate.stage})"
        if self._change is not None:
            return f"an order {self._change} is waiting"
        return None
