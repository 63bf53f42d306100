"""The requests of people and clients that the updater has not carried out yet."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.updates.policy import BuiltInBundle, active_id, newest_offer
from daemon.updates.state import UpdateState
from daemon.updates.steps import NO_SOURCE
from daemon.updates.taught_state import TaughtState, taught_slot


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


@dataclass(frozen=True, slots=True)
class TaughtRequest:
    """Install a bundle that was taught here. Its directory belongs to the updater from now on."""

    directory: Path
    bundle: str

    def __str__(self) -> str:
        return f"to install {self.bundle}"


@dataclass(frozen=True, slots=True)
class BaseRequest:
    """Run the base, because nothing is taught any more."""

    def __str__(self) -> str:
        return "to run without taught labels"


ChangeRequest = InstallRequest | RollbackRequest
ChangeOfTaught = TaughtRequest | BaseRequest


class PendingRequests:
    """Stores the requests that come first. Methods are callable from any thread and never block.

    `check`, `install`, `rollback` and `pin` return None, or the reason why the request is not accepted.
    """

    def __init__(
        self, built_in: BuiltInBundle, perceptd: str, wake: Callable[[], None], *, has_source: bool = True
    ) -> None:
        """`perceptd` is this program's version; `wake` is called for each request that is accepted.

        Without a source only a rollback of what was taught is accepted.
        """
        self._built_in = built_in
        self._has_source = has_source
        self._perceptd = perceptd
        self._wake = wake
        self._lock = threading.Lock()
        self._change: ChangeRequest | None = None
        self._check = False
        self._pin: bool | None = None
        self._taught: list[ChangeOfTaught] = []
        self._open_taught: str | None = None
        self._derive = False

    def check(self, state: UpdateState, taught: TaughtState) -> str | None:
        """Request a check of the source."""
        with self._lock:
            if reason := self._no_source() or self._busy(state, taught) or self._on_probation(state):
                return reason
            self._check = True
        self._wake()
        return None

    def install(self, state: UpdateState, taught: TaughtState, name: str | None, version: str | None) -> str | None:
        """Request a version; the defaults are the active bundle's name, and the newest version of the name."""
        if reason := self._no_source():
            return reason
        active = active_id(state, self._built_in)
        name = name or active.partition("@")[0]
        if version is None:
            offer = newest_offer(state, self._built_in, name, self._perceptd)
            if offer is None:
                newer = f" newer than {active}" if name == active.partition("@")[0] else ""
                return f"the latest check found no version of {name}{newer} that this perceptd can run"
            version = offer.version
        if f"{name}@{version}" == active:
            slot = taught_slot(taught, active)
            return f"{active} is active" + ("" if slot is None else f", with the labels that were taught: {slot.id}")
        candidate = state.candidate
        if candidate is not None and candidate.id == f"{name}@{version}" and not _waits(state, taught):
            return None  # it is being installed already
        return self._on_probation(state) or self._request_change(state, taught, InstallRequest(name, version))

    def rollback(self, state: UpdateState, taught: TaughtState) -> str | None:
        """Request a rollback; it replaces a request to install."""
        base = active_id(state, self._built_in)
        if taught.candidate is None and taught_slot(taught, base) is None:
            if reason := self._no_source():
                return reason
            if state.active is None and state.candidate is None:
                return f"{self._built_in.id} is the bundle of config.yaml: there is no bundle before it"
        with self._lock:
            self._change = RollbackRequest()
        self._wake()
        return None

    def pin(self, on: bool) -> str | None:
        """Request that the active bundle is pinned, or unpinned."""
        if reason := self._no_source():
            return reason
        with self._lock:
            self._pin = on
        self._wake()
        return None

    def change_taught(self, request: ChangeOfTaught) -> None:
        """Request another taught version, or none. The newest request replaces those before it."""
        with self._lock:
            self._taught.append(request)
            self._open_taught = request.bundle if isinstance(request, TaughtRequest) else None
        self._wake()

    def settle_taught(self, request: ChangeOfTaught) -> None:
        """Note that a request is carried out as far as the state on disk tells, or is given up."""
        with self._lock:
            if isinstance(request, TaughtRequest) and request.bundle == self._open_taught:
                self._open_taught = None

    @property
    def open_taught(self) -> str | None:
        """The id of the taught version that is requested, and of which the state on disk tells nothing yet."""
        with self._lock:
            return self._open_taught

    def derive(self) -> None:
        """Request that a base that waits is tried again."""
        with self._lock:
            self._derive = True
        self._wake()

    def has_taught(self) -> bool:
        """Whether another taught version, or none, is requested."""
        with self._lock:
            return bool(self._taught)

    def pop_taught(self) -> list[ChangeOfTaught]:
        """Remove and return what is requested of taught versions, the newest last."""
        with self._lock:
            requests, self._taught = self._taught, []
        return requests

    def pop_derive(self) -> bool:
        """Remove the request to try a base again; returns whether there was one."""
        with self._lock:
            is_requested, self._derive = self._derive, False
        return is_requested

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

    def has_check(self) -> bool:
        """Whether a check of the source is pending."""
        with self._lock:
            return self._check

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

    def _request_change(self, state: UpdateState, taught: TaughtState, change: ChangeRequest) -> str | None:
        with self._lock:
            if reason := self._busy(state, taught):
                return reason
            self._change = change
        self._wake()
        return None

    def _no_source(self) -> str | None:
        return None if self._has_source else NO_SOURCE

    def _on_probation(self, state: UpdateState) -> str | None:
        if state.probation is None:
            return None
        return f"{active_id(state, self._built_in)} is on probation: until it ends, only a rollback is possible"

    def _busy(self, state: UpdateState, taught: TaughtState) -> str | None:
        if state.candidate is not None and not _waits(state, taught):
            return f"{state.candidate.id} is being installed ({state.candidate.stage})"
        if self._change is not None:
            return f"a request {self._change} is pending"
        return None


def _waits(state: UpdateState, taught: TaughtState) -> bool:
    """Whether the candidate waits for what was taught. Another version may be requested meanwhile."""
    waiting = taught.waiting
    return state.candidate is not None and waiting is not None and waiting.id == state.candidate.id
