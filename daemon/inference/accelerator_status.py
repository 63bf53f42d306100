"""What has become of an accelerator so far: its state, its failures, the changes of both. No clock."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from daemon.core.errors import FaultKind

AcceleratorState = Literal["starting", "in_use", "absent", "failed", "stopped"]

KEPT_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A state and why it came about; `kind` is that of a failure, `signal_name` the signal that ended the process."""

    at_ns: int
    state: AcceleratorState
    kind: FaultKind | None
    reason: str | None
    signal_name: str | None = None


@dataclass(frozen=True, slots=True)
class AcceleratorStatus:
    """A snapshot; `reason` is the latest trouble while it is not in use, `history` the latest changes, oldest first."""

    state: AcceleratorState
    since_ns: int
    reason: str | None = None
    starts: int = 0
    failures: dict[FaultKind, int] = field(default_factory=dict)
    history: tuple[Change, ...] = ()


class StatusHistory:
    """Written by the accelerator's thread; its status may be read by any."""

    def __init__(self, now_ns: int) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self.status = AcceleratorStatus("starting", now_ns)

    @property
    def has_failed(self) -> bool:
        """Whether the latest process failed, rather than that there was none."""
        return any(change.state == "failed" for change in self._changes)

    def becomes(self, state: AcceleratorState, reason: str | None, now_ns: int) -> bool:
        """Note a state; says whether that is a change."""
        before = self.status
        if (before.state, before.reason) == (state, reason) and state != "starting":
            return False
        starts = before.starts + (state == "starting")
        self._changed(Change(now_ns, state, None, reason), starts, before.failures)
        return True

    def fails(self, kind: FaultKind, reason: str, now_ns: int, signal_name: str | None = None) -> None:
        """Note a failure."""
        before = self.status
        failures = {**before.failures, kind: before.failures.get(kind, 0) + 1}
        self._changed(Change(now_ns, "failed", kind, reason, signal_name), before.starts, failures)

    def _changed(self, change: Change, starts: int, failures: dict[FaultKind, int]) -> None:
        # that it is started again tells nothing which its failure and its use do not
        if change.state != "starting":
            self._changes.append(change)
        self.status = AcceleratorStatus(
            change.state, change.at_ns, change.reason, starts, failures, tuple(self._changes)
        )
