"""The requests of people and clients that the updater has not carried out yet."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon.updates.policy import BuiltInBundle, active_id, newest_offer
from daemon.updates.state import UpdateState


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """Install one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"to install {self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """Give up the installation, and go back to the previous bundle."""

    def __str__(self) -> str:
        return "to roll back"


ChangeRequest = InstallRequest | RollbackRequest


class PendingRequests:
    """Stores at most one request of each kind. Methods are callable from any thread and never block.

    `check`, `install`, `rollback` and `pin` return None, or the reason why the request is not accepted.
    """

    def __init__(self, built_in: BuiltInBundle, perceptd: str, wake: Callable[[], None]) -> None:
        """`perceptd` is this program's version; `wake` is called for each request that is accepted."""
        self._built_in = built_in
        self._perceptd = perceptd
        self._wake = wake
        self._lock = threading.Lock()
        self._change: ChangeRequest | None = None
        self._check = False
        self._pin: bool | None = None

    def check(self, state: UpdateState) -> str | None:
        """Request a check of the source."""
        with self._lock:
            if reason := self._busy(state) or self._on_probation(state):
                return reason
            self._check = True
        self._wake()
        return None

    def install(self, state: UpdateState, name: str | None, version: str | None) -> str | None:
        """Request a version; the defaults are the active bundle's name, and the newest version of the name."""
        active = active_id(state, self._built_in)
        name = name or active.partition("@")[0]
        if version is None:
            offer = newest_offer(state, self._built_in, name, self._perceptd)
            if offer is None:
                newer = f" newer than {active}" if name == active.partition("@")[0] else ""
                return f"the latest check found no version of {name}{newer} that this perceptd can run"
            version = offer.version
        if f"{name}@{version}" == active:
            return f"{active} is active"
        if state.candidate is not None and state.candidate.id == f"{name}@{version}":
            return None  # it is being installed already
        return self._on_probation(state) or self._request_change(state, InstallRequest(name, version))

    def rollback(self, state: UpdateState) -> str | None:
        """Request a rollback; it replaces a request to install."""
        if state.active is None and state.candidate is None:
            return f"{self._built_in.id} is the bundle of config.yaml: there is no bundle before it"
        with self._lock:
            self._change = RollbackRequest()
        self._wake()
        return None

    def pin(self, on: bool) -> str | None:
        """Request that the active bundle is pinned, or unpinned."""
        with self._lock:
            self._pin = on
        self._wake()
        return None

    @property
    def has_rollback(self) -> bool:
        """Whether a rollback is pending."""
        with self._lock:
            return isinstance(self._change, RollbackRequest)

    def pop_change(self) -> ChangeRequest | None:
        """Remove and return the pending install or rollback."""
        with self._lock:
            change, self._change = self._change, None
        return change

    def pop_check(self) -> bool:
        """Remove the pending check; returns whether there was one."""
        with self._lock:
            is_requested, self._check = self._check, False
        return is_requested

    def pop_pin(self) -> bool | None:
        """Remove and return the pending pin (True) or unpin (False)."""
        with self._lock:
            on, self._pin = self._pin, None
        return on

    def _request_change(self, state: UpdateState, change: ChangeRequest) -> str | None:
        with self._lock:
            if reason := self._busy(state):
                return reason
            self._change = change
        self._wake()
        return None

    def _on_probation(self, state: UpdateState) -> str | None:
        if state.probation is None:
            return None
        return f"{active_id(state, self._built_in)} is on probation: until it ends, only a rollback is possible"

    def _busy(self, state: UpdateState) -> str | None:
        if state.candidate is not None:
            return f"{state.candidate.id} is being installed ({state.candidate.stage})"
        if self._change is not None:
            return f"a request {self._change} is pending"
        return None
