"""The retained `models` payload: which bundle runs, which could, and what became of the latest try."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from daemon.core.records import UpdateStage
from daemon.core.text import redact
from daemon.mqtt.payloads import Name, Part, Payload, Time

MAX_REASON = 500
"""Characters of a reason. It may quote a bundle or a server, and 34 of them are in one payload."""

MAX_AVAILABLE = 100
MAX_REFUSED = 32

Bytes = Annotated[int, Field(ge=0)]


def _fit_to_be_told(value: object) -> object:
    """What comes from a bundle or a server, cut, and without passwords."""
    if not isinstance(value, str):
        return value
    told = redact(value)
    return told if len(told) <= MAX_REASON else told[: MAX_REASON - 1] + "…"


Told = Annotated[str, BeforeValidator(_fit_to_be_told), Field(max_length=MAX_REASON)]


class BundlePart(Part):
    """One bundle; `shipped` says that it is the config's own rather than one from afar."""

    id: Name
    name: Name
    version: Name
    shipped: bool


class CandidatePart(Part):
    """The bundle that is being installed: its stage, since when, and how much of it has been fetched, in bytes."""

    id: Name
    name: Name
    version: Name
    stage: UpdateStage
    since: Time
    bytes_done: Bytes
    bytes_total: Bytes


class CheckPart(Part):
    """The latest look at the source."""

    ok: bool
    reason: Told | None
    time: Time


class ResultPart(Part):
    """What became of a bundle: installed, or at which stage it was given up, and why."""

    bundle: Name
    ok: bool
    stage: UpdateStage
    reason: Told | None
    time: Time


class ModelsPayload(Payload):
    """What a node says of its bundles.

    `source` is null where bundles are not replaced. `latest` is the newest version of the active bundle's name that the
    source has and this program can run, or the active one's. `available` are the newest ids the source has. `refused`
    are versions that are not tried again by themselves. `trouble` says why what happens cannot be written
    down. In the stage `probation` the candidate is active already.
    """

    node: Name
    time: Time
    source: Told | None
    active: BundlePart
    previous: BundlePart | None
    candidate: CandidatePart | None
    latest: Name
    available: Annotated[list[Name], Field(max_length=MAX_AVAILABLE)]
    pinned: bool
    trouble: Told | None = None
    last_check: CheckPart | None
    last_result: ResultPart | None
    refused: Annotated[list[ResultPart], Field(max_length=MAX_REFUSED)]


def without_updates(node: str, name: str, version: str, time: str) -> ModelsPayload:
    """Of a node whose config names no source: its own bundle runs, always."""
    return ModelsPayload(
        node=node,
        time=time,
        source=None,
        active=BundlePart(id=f"{name}@{version}", name=name, version=version, shipped=True),
        previous=None,
        candidate=None,
        latest=version,
        available=[],
        pinned=False,
        last_check=None,
        last_result=None,
        refused=[],
    )
