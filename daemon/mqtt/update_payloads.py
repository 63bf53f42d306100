"""The payload of the retained topic `models`: the bundles of a node, and the result of the latest update."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from daemon.core.records import UpdateStage
from daemon.core.text import redact
from daemon.mqtt.payloads import Name, Part, Payload, Time

# Characters of a reason. Reasons may quote a bundle or a server, and one payload has up to 34 of them.
MAX_REASON = 500

MAX_AVAILABLE = 100
MAX_REFUSED = 32


def _redact_and_shorten(value: object) -> object:
    """Return a text of a bundle or server without passwords, and at most `MAX_REASON` characters of it."""
    if not isinstance(value, str):
        return value
    text = redact(value)
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"


Bytes = Annotated[int, Field(ge=0)]
SafeText = Annotated[str, BeforeValidator(_redact_and_shorten), Field(max_length=MAX_REASON)]


class BundlePart(Part):
    """One bundle; `shipped` says that it is the config's own, and did not come from the source.

    `taught`: it is a bundle with labels that were taught on this device. Such a bundle is not `shipped`.
    """

    id: Name
    name: Name
    version: Name
    shipped: bool
    taught: bool = False


class CandidatePart(Part):
    """The bundle that is being installed: its stage, since when, and how many bytes have been fetched.

    `taught`: it was taught on this device, so nothing is fetched. `waits` says why the labels that were taught here
    cannot be fitted onto it yet, and is null if it does not wait for them.
    """

    id: Name
    name: Name
    version: Name
    stage: UpdateStage
    since: Time
    bytes_done: Bytes
    bytes_total: Bytes
    taught: bool = False
    waits: SafeText | None = None


class CheckPart(Part):
    """The result of the latest look at the source."""

    ok: bool
    reason: SafeText | None
    time: Time


class ResultPart(Part):
    """The result of a bundle: installed, or the stage at which it was given up, and why."""

    bundle: Name
    ok: bool
    stage: UpdateStage
    reason: SafeText | None
    time: Time


class ModelsPayload(Payload):
    """The bundles of a node.

    `source` is null where bundles come from no source. `available` are the newest ids of the source.
    `latest` is the newest version of the active bundle's name that the source has and this program can run.
    It is the active version where the source has no newer one.
    `refused` are versions that are not tried again automatically.
    `trouble` says why the state cannot be written to disk.
    In the stage `probation` the candidate is active already.
    """

    node: Name
    time: Time
    source: SafeText | None
    active: BundlePart
    previous: BundlePart | None
    candidate: CandidatePart | None
    latest: Name
    available: Annotated[list[Name], Field(max_length=MAX_AVAILABLE)]
    pinned: bool
    trouble: SafeText | None = None
    last_check: CheckPart | None
    last_result: ResultPart | None
    refused: Annotated[list[ResultPart], Field(max_length=MAX_REFUSED)]


def without_updates(node: str, name: str, version: str, time: str) -> ModelsPayload:
    """Return the payload of a node whose bundle is not replaced: it has no source, and nothing can be taught."""
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
