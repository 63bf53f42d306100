"""The retained `models` payload: which bundle runs, which could, and what became of the latest try."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.records import UpdateStage


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class BundleStatus(_Part):
    """One bundle; `shipped` says that it is the config's own rather than one from afar."""

    id: str
    name: str
    version: str
    shipped: bool


class CandidateStatus(_Part):
    """The bundle that is being installed: its stage, since when, and how much of it has been fetched, in bytes."""

    id: str
    name: str
    version: str
    stage: UpdateStage
    since: str
    bytes_done: int
    bytes_total: int


class CheckStatus(_Part):
    """The latest look at the source."""

    ok: bool
    reason: str | None
    time: str


class ResultStatus(_Part):
    """What became of a bundle: installed, or at which stage it was given up, and why."""

    bundle: str
    ok: bool
    stage: UpdateStage
    reason: str | None
    time: str


class ModelsStatus(_Part):
    """The whole payload.

    `source` is null where bundles are not replaced. `latest` is the newest version of the active bundle's name that the
    source has and this program can run, or the active one's. `available` are the newest ids the source has. `refused`
    are versions that are not tried again by themselves.
    """

    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    node: str
    time: str
    source: str | None
    active: BundleStatus
    previous: BundleStatus | None
    candidate: CandidateStatus | None
    latest: str
    available: Annotated[list[str], Field(max_length=100)]
    pinned: bool
    last_check: CheckStatus | None
    last_result: ResultStatus | None
    refused: Annotated[list[ResultStatus], Field(max_length=32)]

    def to_json(self) -> bytes:
        """As it goes to the broker."""
        return self.model_dump_json(by_alias=True).encode()
