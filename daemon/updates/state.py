"""The schema of `state.json`: which bundles are installed, and how the latest update went. Pure.

Times are wall time in seconds since the epoch.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from daemon.bundle.encoder_specs import Name, Number
from daemon.bundle.manifest import Version
from daemon.bundle.release import MAX_OFFERS, Offer, Release, Sha256
from daemon.core.document import StrictModel
from daemon.core.records import UpdateStage
from daemon.core.text import clean

# the oldest refusals are forgotten: a publisher withdraws bad versions sooner
MAX_REFUSALS = 32

# a reason is one line for a person
REASON_CHARS = 500

Reason = Annotated[str, Field(max_length=REASON_CHARS)]
Id = Annotated[str, Field(max_length=100)]

# no counter of this program comes near; JSON numbers are exact up to here
MAX_COUNT = 2**53

# the year 2286, which no clock of Linux reaches
MAX_TIME = 1e10

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Time = Annotated[Number, Field(ge=0, le=MAX_TIME)]

# the keys of all times in `state.json`
TIME_KEYS = frozenset({"since", "time", "seen_time"})


class BundleMetrics(StrictModel):
    """How well a bundle works: over its latest moments, or over all moments since it became active.

    `p99_ms` is the latency from capture to recognition.
    `mean_top_score` is the mean of the highest score of each moment.
    Both are None if there were no moments.
    """

    moments: Count
    errors: Count
    p99_ms: Annotated[Number, Field(ge=0, le=1e9)] | None
    mean_top_score: Annotated[Number, Field(ge=0, le=1.001)] | None  # a mean of rounded scores may exceed 1


class Slot(StrictModel):
    """A complete bundle on disk; `content` names its directory, `memory_mb` is the memory that it may use."""

    name: Name
    version: Version
    content: Sha256
    memory_mb: Annotated[int, Field(ge=1, le=1_000_000)]

    @property
    def id(self) -> str:
        """Name and version, as name@version."""
        return f"{self.name}@{self.version}"


class Candidate(StrictModel):
    """The bundle that is being installed; `stage` began at `since`.

    `asked`: a person or a client requested this version.
    `closed`: the daemon was stopped in the normal way during this stage.
    `ended_in`: one entry for each time that the daemon ended in another way, with the stage at that time.
    """

    name: Name
    version: Version
    stage: UpdateStage
    since: Time
    asked: bool
    closed: bool = False
    ended_in: Annotated[tuple[UpdateStage, ...], Field(max_length=100)] = ()
    release: Release | None = None

    @property
    def id(self) -> str:
        """Name and version, as name@version."""
        return f"{self.name}@{self.version}"


class Probation(StrictModel):
    """The active bundle is on probation since `since`.

    `starts` counts the starts of the daemon during probation, `before` describes the previous bundle.
    """

    since: Time
    starts: Count
    before: BundleMetrics


class Refusal(StrictModel):
    """A version that is not installed automatically again, with the stage at which it failed."""

    id: Id
    content: Sha256 | None
    stage: UpdateStage
    reason: Reason
    time: Time


class Check(StrictModel):
    """The latest check of the source for releases."""

    ok: bool
    reason: Reason | None
    time: Time


class Result(StrictModel):
    """The outcome of the latest installation, probation or rollback."""

    id: Id
    ok: bool
    stage: UpdateStage
    reason: Reason | None
    time: Time


class UpdateState(StrictModel):
    """Content of `state.json`.

    Without `active` the built-in bundle runs, which is the one that config.yaml names.
    `base` is the id of the built-in bundle at the time when another bundle became active.
    """

    format: Literal[1] = 1
    base: Id | None = None
    active: Slot | None = None
    previous: Slot | None = None
    pinned: bool = False
    candidate: Candidate | None = None
    probation: Probation | None = None
    refused: Annotated[tuple[Refusal, ...], Field(max_length=MAX_REFUSALS)] = ()
    last_check: Check | None = None
    last_result: Result | None = None
    available: Annotated[tuple[Offer, ...], Field(max_length=MAX_OFFERS)] = ()
    seen_time: Time = 0.0

    @model_validator(mode="after")
    def _check_consistency(self) -> "UpdateState":
        if self.active is None and (self.previous is not None or self.probation is not None or self.base is not None):
            raise ValueError("without an active bundle, base, previous and probation must be null")
        return self

    @property
    def required_contents(self) -> frozenset[str]:
        """The contents that must stay on disk: of the active, the previous and the candidate bundle."""
        contents = {slot.content for slot in (self.active, self.previous) if slot is not None}
        if self.candidate is not None and self.candidate.release is not None:
            contents.add(self.candidate.release.content)
        return frozenset(contents)


def slot_of(release: Release) -> Slot:
    """The slot in which a release is installed."""
    signed = release.signed
    return Slot(name=signed.name, version=signed.version, content=release.content, memory_mb=signed.memory_mb)


def without_nonsense(value: Any) -> tuple[Any, list[str]]:
    """The parsed JSON with 0 in the place of each time that no clock can have shown, and a remark for each."""
    found: list[str] = []
    return _without_nonsense(value, found), found


def _without_nonsense(value: Any, remarks: list[str]) -> Any:
    if isinstance(value, list):
        return [_without_nonsense(part, remarks) for part in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, part in value.items():
        if key in TIME_KEYS and not _is_time(part):
            remarks.append(f"{key} is {clean(str(part))}, which is no time: it is ignored")
            result[key] = 0.0
        else:
            result[key] = _without_nonsense(part, remarks)
    return result


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_TIME


def one_line(reason: str) -> str:
    """The reason as it is stored: on one line, shortened to `REASON_CHARS`."""
    return " ".join(reason.split())[:REASON_CHARS]
