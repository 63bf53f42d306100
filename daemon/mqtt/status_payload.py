"""The payload of the retained topic `status`: what a person or a home automation needs to know of a node, and no more.

It has no time and no counter, so that it changes only when there is news.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from daemon.core.text import clean, redact
from daemon.mqtt.payloads import Name, Part, Payload

# `stopped`: all sources have ended
NodeStatus = Literal["ok", "degraded", "failed", "stopped"]

# Home Assistant stores at most 255 characters of a state.
MAX_REASON = 250

Reason = Annotated[str, Field(max_length=MAX_REASON)] | None


class StreamStatus(Part):
    """One stream. `available` says whether anything can be recognised in it now; `reason` says why a part cannot.

    `camera` and `microphone` say whether they are open or will be opened again; null: the stream has none.
    """

    available: bool
    paused: bool
    reason: Reason
    camera: bool | None
    microphone: bool | None


class StatusPayload(Payload):
    """The status of a node, with all reasons on one line, the most important first; null: there is nothing to say.

    A node that works has a reason too, where a person must look at something. `models_problem` says why the source of
    bundles failed at the latest look; null: it did not, or there is none.
    """

    node: Name
    status: NodeStatus
    reason: Reason
    version: Name
    bundle: Name
    models_problem: Reason
    streams: Annotated[dict[Name, StreamStatus], Field(max_length=64)]


def one_line(reasons: Sequence[str]) -> str | None:
    """Return texts on one line of at most `MAX_REASON` characters, without passwords; None where there are none."""
    joined = "; ".join(redact(reason) for reason in reasons)
    return clean(" ".join(joined.split()), MAX_REASON - 1) or None
