"""The state machine that derives a source's status from its deliveries; without clock, thread or I/O."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from daemon.core.records import MODALITIES, Modality
from daemon.core.timing import NS_PER_S

# recovering: being opened, for the first time or again; healthy: delivers; degraded: delivers, but its content has a
# problem; stalled: stopped delivering, and is being closed; backing_off: failed, and is opened again soon;
# paused: closed until a command resumes it
SourceState = Literal["recovering", "healthy", "degraded", "stalled", "backing_off", "paused", "ended", "stopped"]

DELIVERS: frozenset[SourceState] = frozenset({"healthy", "degraded"})

# a degraded source is reopened no more often than this: a room may be dark and silent for days
REOPEN_EVERY_NS = 600 * NS_PER_S

# the time to open doubles with every further try, up to this, for machines and cameras that are slow
MAX_OPENING_NS = 30 * NS_PER_S

ABSENT: dict[Modality, str] = {"image": "no picture", "audio": "no sound", "text": "no text"}

# the longest `stall_after_s` that the config takes
MAX_STALL_S = 3600


@dataclass(frozen=True, slots=True)
class Complaint:
    """A problem with the content of a source's deliveries, and whether reopening the source may help."""

    reason: str
    reopens: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """The modalities that a source must deliver, the longest gap of each, and the time for the first delivery."""

    expects: frozenset[Modality]
    stall_after_ns: int
    opening_ns: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The status of a source in `health`: its state, the reason of its latest problem, and counts.

    `failures` counts all failures, `stalls` those where the source stopped delivering. `recoveries` counts first
    deliveries after a failure, `reopened` the times that a degraded source was reopened.
    """

    state: SourceState
    since_ns: int
    reason: str | None = None
    failures: int = 0
    stalls: int = 0
    recoveries: int = 0
    reopened: int = 0


class Liveness:
    """The status of one source, updated by the events of its life; instants are monotonic.

    Without an expectation a source may be silent: only an error that it raises is a failure.
    """

    def __init__(self, expectation: Expectation | None, now_ns: int) -> None:
        self._expectation = expectation
        self._opened_ns = now_ns
        self._opening_ns = expectation.opening_ns if expectation else 0
        self._reopened_ns: int | None = None
        self._reopening = False
        self._has_failed = False
        self._last_ns: dict[Modality, int] = {}
        # pictures since the source was opened; the time of the one before, if there was one since the opening before
        self._pictures = 0
        self._earlier_ns: int | None = None
        self._complaints: dict[Modality, Complaint] = {}
        self._use: dict[Modality, Complaint] = {}
        self.status = SourceStatus("recovering", now_ns)

    def on_opening(self, now_ns: int) -> None:
        """Note that the source is being opened."""
        self._opened_ns = now_ns
        self._earlier_ns = self._last_ns.get("image") if self._pictures == 1 else None
        self._pictures = 0
        self._last_ns.clear()
        self._use.clear()
        self._reopening = False
        self._enter("recovering", now_ns)

    def on_delivery(self, modality: Modality, complaint: Complaint | None, now_ns: int) -> None:
        """Note a delivery, and the problem with its content, if any."""
        if self.status.state not in DELIVERS and self.status.state != "recovering":
            return  # it is being closed, and has not noticed yet
        self._pictures += modality == "image"
        self._last_ns[modality] = now_ns
        self._opening_ns = self._expectation.opening_ns if self._expectation else 0
        if self._has_failed:
            self._has_failed = False
            self.status = replace(self.status, recoveries=self.status.recoveries + 1)
        if self.status.state == "recovering" or complaint != self._complaints.get(modality):
            self._set_complaint(modality, complaint, now_ns)

    def on_use(self, modality: Modality, complaint: Complaint | None, now_ns: int) -> None:
        """Note how what it delivers is used: the problem with that, if any. Reopening the source does not help."""
        if self.status.state not in DELIVERS or complaint == self._use.get(modality):
            return
        if complaint is None:
            del self._use[modality]
        else:
            self._use[modality] = complaint
        self._judge(now_ns)

    def check(self, now_ns: int) -> bool:
        """Look for missing deliveries; return whether the source must be closed and reopened."""
        if self._expectation is None:
            return False
        if self.status.state == "recovering":
            limit_ns = self._opening_ns
            if now_ns - self._opened_ns < limit_ns:
                return False
            self._opening_ns = max(limit_ns, min(2 * limit_ns, MAX_OPENING_NS))
            return self._stall("delivers nothing", limit_ns, now_ns)
        if self.status.state not in DELIVERS:
            return False
        if self._has_gap(now_ns):
            return True
        if now_ns - self._opened_ns >= self._expectation.opening_ns:
            for modality in self._expectation.expects - self._last_ns.keys() - self._complaints.keys():
                self._set_complaint(
                    modality, Complaint(f"{ABSENT[modality]} since it was opened", reopens=True), now_ns
                )
        return self._must_reopen(now_ns)

    def excuse(self, delay_ns: int) -> None:
        """Extend all time limits: the whole program was suspended, so that no source could deliver."""
        self._opened_ns += delay_ns
        for modality in self._last_ns:
            self._last_ns[modality] += delay_ns

    def on_return(self, reason: str | None, now_ns: int) -> bool:
        """Note that the source has returned; return whether it must be opened again.

        `reason` is that of a failure, None without one. A source that is not opened again has reached its end; the
        caller then calls `on_end`.
        """
        if reason is not None and self.status.state in DELIVERS:
            self._has_gap(now_ns)  # the source may notice a stall before `check` does, and knows less about it
        if self.status.state == "stalled":
            reason = self.status.reason  # an error of closing it says less
        elif self._reopening:
            return True
        if reason is None:
            return False
        self._has_failed = True
        self.status = replace(self.status, reason=reason, failures=self.status.failures + 1)
        self._enter("backing_off", now_ns)
        return True

    def on_pause(self, now_ns: int, reason: str | None = None) -> None:
        """Note that a command closed the source, or another one (`reason`): nothing is expected of it.

        Its problems are over.
        """
        self._complaints.clear()
        self._use.clear()
        self._has_failed = False
        self.status = replace(self.status, reason=reason)
        self._enter("paused", now_ns)

    def on_end(self, state: Literal["ended", "stopped"], now_ns: int) -> None:
        """Note that the source delivers nothing more."""
        self._enter(state, now_ns)

    def _set_complaint(self, modality: Modality, complaint: Complaint | None, now_ns: int) -> None:
        if complaint is None:
            self._complaints.pop(modality, None)
        else:
            self._complaints[modality] = complaint
        self._judge(now_ns)

    def _judge(self, now_ns: int) -> None:
        """Enter the state that follows from all complaints."""
        if not self._complaints and not self._use:
            self._enter("healthy", now_ns)
            return
        reasons = [
            found[each].reason for each in MODALITIES for found in (self._complaints, self._use) if each in found
        ]
        self.status = replace(self.status, reason="; ".join(reasons))
        self._enter("degraded", now_ns)

    def _has_gap(self, now_ns: int) -> bool:
        """Return whether deliveries have stopped, and note it."""
        limit_ns = self._expectation.stall_after_ns if self._expectation else None
        for modality, last_ns in self._last_ns.items():
            if limit_ns is not None and now_ns - last_ns >= limit_ns:
                return self._stall(ABSENT[modality], limit_ns, now_ns, self._advice(modality))
        return False

    def _advice(self, modality: Modality) -> str:
        """Return what to set if a camera may only be slow: a single picture has come since it was opened."""
        if modality != "image" or self._pictures != 1:
            return ""
        # two openings soon after each other do not show how often it sends
        between_ns = self._last_ns[modality] - self._earlier_ns if self._earlier_ns is not None else 0
        if self._expectation is None or between_ns < self._expectation.stall_after_ns:
            return "; if it sends fewer, set stall_after_s to three times the seconds between two pictures"
        seconds = between_ns / NS_PER_S
        return (
            f"; if it sends one every {seconds:.0f} s, set stall_after_s to {min(math.ceil(3 * seconds), MAX_STALL_S)}"
        )

    def _stall(self, what: str, limit_ns: int, now_ns: int, advice: str = "") -> bool:
        reason = f"{what} for {limit_ns / NS_PER_S:g} s{advice}"
        self.status = replace(self.status, reason=reason, stalls=self.status.stalls + 1)
        self._enter("stalled", now_ns)
        return True

    def _must_reopen(self, now_ns: int) -> bool:
        if self._reopening or not any(complaint.reopens for complaint in self._complaints.values()):
            return False
        if self._reopened_ns is not None and now_ns - self._reopened_ns < REOPEN_EVERY_NS:
            return False
        self._reopening, self._reopened_ns = True, now_ns
        self.status = replace(self.status, reopened=self.status.reopened + 1)
        return True

    def _enter(self, state: SourceState, now_ns: int) -> None:
        if state != self.status.state:
            self.status = replace(self.status, state=state, since_ns=now_ns)
