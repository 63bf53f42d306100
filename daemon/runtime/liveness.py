"""Whether a source is alive, judged by what it delivers: one state machine, without clock, thread or I/O."""

from dataclasses import dataclass, replace
from typing import Literal

from daemon.core.records import MODALITIES, Modality
from daemon.core.timing import NS_PER_S

SourceState = Literal["recovering", "healthy", "degraded", "stalled", "backing_off", "paused", "ended", "stopped"]
"""`recovering`: being opened, for the first time or again; `healthy`: delivers; `degraded`: delivers, but something is
wrong with it; `stalled`: has ceased to deliver, and is being closed; `backing_off`: has failed, and is opened again
soon; `paused`: closed until somebody resumes it."""

DELIVERS: frozenset[SourceState] = frozenset({"healthy", "degraded"})

REOPEN_EVERY_NS = 600 * NS_PER_S
"""A room may be dark and silent for days: what only looks wrong is opened again no more often than this."""

MOST_OPENING_NS = 30 * NS_PER_S
"""A machine or camera that is slower than expected is given twice the time at every further try, up to this."""

ABSENT: dict[Modality, str] = {"image": "no picture", "audio": "no sound", "text": "no text"}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with what a source delivers, and whether to open it again may help."""

    reason: str
    reopens: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of a source: what it delivers, how long each may stay away, and the first of all."""

    expects: frozenset[Modality]
    stall_after_ns: int
    opening_ns: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What `health` says of a source: its state since when, the reason of its latest trouble, and what was counted.

    `failures` counts every end in trouble, `stalls` those of them where it had ceased to deliver; `recoveries` how
    often it delivered again after a failure, `reopened` how often it was opened again because it was degraded.
    """

    state: SourceState
    since_ns: int
    reason: str | None = None
    failures: int = 0
    stalls: int = 0
    recoveries: int = 0
    reopened: int = 0


class Liveness:
    """The status of one source, moved on by what happens to it; instants are monotonic.

    Without a watch nothing is expected of the source: only what it raises is a failure.
    """

    def __init__(self, watch: Expectation | None, now_ns: int) -> None:
        self._watch = watch
        self._opened_ns = now_ns
        self._opening_ns = watch.opening_ns if watch else 0
        self._reopened_ns: int | None = None
        self._reopening = False
        self._has_failed = False
        self._last_ns: dict[Modality, int] = {}
        self._complaints: dict[Modality, Complaint] = {}
        self.status = SourceStatus("recovering", now_ns)

    def opens(self, now_ns: int) -> None:
        """The source begins to open."""
        self._opened_ns = now_ns
        self._last_ns.clear()
        self._reopening = False
        self._enter("recovering", now_ns)

    def delivers(self, modality: Modality, complaint: Complaint | None, now_ns: int) -> None:
        """The source has delivered something, with which something may be wrong."""
        if self.status.state not in DELIVERS and self.status.state != "recovering":
            return  # it is being closed, and does not know yet
        self._last_ns[modality] = now_ns
        self._opening_ns = self._watch.opening_ns if self._watch else 0
        if self._has_failed:
            self._has_failed = False
            self.status = replace(self.status, recoveries=self.status.recoveries + 1)
        if self.status.state == "recovering" or complaint != self._complaints.get(modality):
            self._complain(modality, complaint, now_ns)

    def looks(self, now_ns: int) -> bool:
        """See what has stayed away by now; says whether the source is to be closed, to be opened again."""
        if self._watch is None:
            return False
        if self.status.state == "recovering":
            limit_ns = self._opening_ns
            if now_ns - self._opened_ns < limit_ns:
                return False
            self._opening_ns = max(limit_ns, min(2 * limit_ns, MOST_OPENING_NS))
            return self._stall("delivers nothing", limit_ns, now_ns)
        if self.status.state not in DELIVERS:
            return False
        for modality, last_ns in self._last_ns.items():
            if now_ns - last_ns >= self._watch.stall_after_ns:
                return self._stall(ABSENT[modality], self._watch.stall_after_ns, now_ns)
        if now_ns - self._opened_ns >= self._watch.opening_ns:
            for modality in self._watch.expects - self._last_ns.keys() - self._complaints.keys():
                self._complain(modality, Complaint(f"{ABSENT[modality]} since it was opened", reopens=True), now_ns)
        return self._reopens(now_ns)

    def excuses(self, held_up_ns: int) -> None:
        """Nobody could deliver for so long, because the whole program was held up."""
        self._opened_ns += held_up_ns
        for modality in self._last_ns:
            self._last_ns[modality] += held_up_ns

    def returns(self, reason: str | None, now_ns: int) -> bool:
        """The source has returned, and failed if there is a reason; says whether it is to be opened again.

        Otherwise it has come to its end, and `ends` once all is done that follows from that.
        """
        if self.status.state == "stalled":
            reason = self.status.reason  # what closing it led to says less
        elif self._reopening:
            return True
        if reason is None:
            return False
        self._has_failed = True
        self.status = replace(self.status, reason=reason, failures=self.status.failures + 1)
        self._enter("backing_off", now_ns)
        return True

    def pauses(self, now_ns: int) -> None:
        """The source is closed because somebody wants it closed: nothing is expected, and nothing wrong."""
        self._complaints.clear()
        self._has_failed = False
        self.status = replace(self.status, reason=None)
        self._enter("paused", now_ns)

    def ends(self, state: Literal["ended", "stopped"], now_ns: int) -> None:
        """Nothing comes any more."""
        self._enter(state, now_ns)

    def _complain(self, modality: Modality, complaint: Complaint | None, now_ns: int) -> None:
        if complaint is None:
            self._complaints.pop(modality, None)
        else:
            self._complaints[modality] = complaint
        if not self._complaints:
            self._enter("healthy", now_ns)
            return
        reasons = [self._complaints[each].reason for each in MODALITIES if each in self._complaints]
        self.status = replace(self.status, reason="; ".join(reasons))
        self._enter("degraded", now_ns)

    def _stall(self, what: str, limit_ns: int, now_ns: int) -> bool:
        reason = f"{what} for {limit_ns / NS_PER_S:g} s"
        self.status = replace(self.status, reason=reason, stalls=self.status.stalls + 1)
        self._enter("stalled", now_ns)
        return True

    def _reopens(self, now_ns: int) -> bool:
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
