"""The status of an accelerator: its state, its failures, and the latest changes of both. Reads no clock."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from daemon.core.errors import AcceleratorError, FaultKind

AcceleratorState = Literal["starting", "in_use", "absent", "failed", "stopped"]

MAX_CHANGES = 20


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A state that an accelerator entered at `at_ns`, and why.

    `kind` is the kind of a failure. `signal_name` is the signal that ended the process, such as SIGSEGV.
    """

    at_ns: int
    state: AcceleratorState
    kind: FaultKind | None
    reason: str | None
    signal_name: str | None = None


@dataclass(frozen=True, slots=True)
class AcceleratorStatus:
    """A snapshot of the status.

    `reason` is the latest trouble while the accelerator is not in use. `history` holds the latest changes, oldest
    first.
    """

    state: AcceleratorState
    since_ns: int
    reason: str | None = None
    starts: int = 0
    failures: dict[FaultKind, int] = field(default_factory=dict)
    history: tuple[StatusChange, ...] = ()


class StatusHistory:
    """Keeps the status of one accelerator. Its thread writes; any thread may read `status`."""

    def __init__(self, now_ns: int) -> None:
        self._changes: deque[StatusChange] = deque(maxlen=MAX_CHANGES)
        self.status = AcceleratorStatus("starting", now_ns)

    @property
    def has_failed(self) -> bool:
        """Whether one of the latest changes is a failure. An absent device has not failed."""
        return any(change.state == "failed" for change in self._changes)

    def enter(self, state: AcceleratorState, reason: str | None, now_ns: int) -> bool:
        """Note a state other than `failed`. Returns whether the status has changed."""
        before = self.status
        if (before.state, before.reason) == (state, reason) and state != "starting":
            return False
        starts = before.starts + (state == "starting")
        self._change(StatusChange(now_ns, state, None, reason), starts, before.failures)
        return True

    def fail(self, error: AcceleratorError, now_ns: int) -> None:
        """Note a failure."""
        before = self.status
        failures = {**before.failures, error.kind: before.failures.get(error.kind, 0) + 1}
        change = StatusChange(now_ns, "failed", error.kind, str(error), error.signal_name)
        self._change(change, before.starts, failures)

    def _change(self, change: StatusChange, starts: int, failures: dict[FaultKind, int]) -> None:
        # A start adds nothing to the history: the failure before it and the use after it say the same.
        if change.state != "starting":
            self._changes.append(change)
        self.status = AcceleratorStatus(
            change.state, change.at_ns, change.reason, starts, failures, tuple(self._changes)
        )
