"""What is known of replaced bundles, as `state.json` keeps it, and how it changes. Pure.

Times are wall time in seconds since the epoch.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from daemon.bundle.manifest import Name, Number, Version
from daemon.bundle.release import MAX_OFFERS, Offer, Release, Sha256
from daemon.core.document import StrictModel
from daemon.core.records import UpdateStage

REFUSED = 32
"""So many versions that are left alone are remembered, the latest: a publisher withdraws them sooner."""

REASON_CHARS = 500
"""How much of a reason is kept: one line for a person."""

Reason = Annotated[str, Field(max_length=REASON_CHARS)]
Id = Annotated[str, Field(max_length=100)]
Count = Annotated[int, Field(ge=0)]


class BundleMetrics(StrictModel):
    """How a bundle does: of its latest moments, at most a window of them, or of all since it took over.

    `p99_ms` is the latency from capture to recognition, `mean_top_score` the mean of the highest score of each moment;
    None where there is no moment to tell from.
    """

    moments: Count
    errors: Count
    p99_ms: Annotated[Number, Field(ge=0)] | None
    mean_top_score: Annotated[Number, Field(ge=0)] | None


class Slot(StrictModel):
    """A whole bundle in the store; `content` names its directory, `memory_mb` is what it may take."""

    name: Name
    version: Version
    content: Sha256
    memory_mb: Annotated[int, Field(ge=1)]

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.name}@{self.version}"


class Candidate(StrictModel):
    """The bundle that is being installed, and its stage since when.

    `asked`: somebody asked for this one. `closed`: the daemon was stopped in order meanwhile; `ended_in` are the stages
    in which it ended otherwise.
    """

    name: Name
    version: Version
    stage: UpdateStage
    since: Number
    asked: bool
    closed: bool = False
    ended_in: Annotated[tuple[UpdateStage, ...], Field(max_length=100)] = ()
    release: Release | None = None

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.name}@{self.version}"


class Probation(StrictModel):
    """The active bundle is on trial since then; so many times the daemon was started meanwhile."""

    since: Number
    starts: Annotated[int, Field(ge=0)]
    before: BundleMetrics


class Refusal(StrictModel):
    """A version that is not tried again by itself, and at which stage it was given up."""

    id: Id
    content: Sha256 | None
    stage: UpdateStage
    reason: Reason
    time: Number


class Check(StrictModel):
    """The latest look at the source."""

    ok: bool
    reason: Reason | None
    time: Number


class Result(StrictModel):
    """What became of the latest bundle that was tried."""

    id: Id
    ok: bool
    stage: UpdateStage
    reason: Reason | None
    time: Number


class UpdateState(StrictModel):
    """The whole of it. Without `active` the config's own bundle runs; `base` is its id when another was activated."""

    format: Literal[1] = 1
    base: Id | None = None
    active: Slot | None = None
    previous: Slot | None = None
    pinned: bool = False
    candidate: Candidate | None = None
    probation: Probation | None = None
    refused: Annotated[tuple[Refusal, ...], Field(max_length=REFUSED)] = ()
    last_check: Check | None = None
    last_result: Result | None = None
    available: Annotated[tuple[Offer, ...], Field(max_length=MAX_OFFERS)] = ()
    seen_time: Number = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> "UpdateState":
        if self.active is None and (self.previous is not None or self.probation is not None or self.base is not None):
            raise ValueError("nothing is active, so there is nothing before it, nor on probation")
        return self

    @property
    def kept(self) -> frozenset[str]:
        """The contents that must stay in the store."""
        held = {slot.content for slot in (self.active, self.previous) if slot is not None}
        if self.candidate is not None and self.candidate.release is not None:
            held.add(self.candidate.release.content)
        return frozenset(held)

    def is_refused(self, bundle: str) -> bool:
        """Whether the version is left alone."""
        return any(refusal.id == bundle for refusal in self.refused)


def one_line(reason: str) -> str:
    """The reason as it is kept."""
    return " ".join(reason.split())[:REASON_CHARS]
