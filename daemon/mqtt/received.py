"""What a subscriber finds on the wire: a message checked against the payload models, or what is wrong with it."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from daemon.clock import NS_PER_MS, NS_PER_S
from daemon.mqtt.models_payload import ModelsPayload
from daemon.mqtt.payloads import EventPayload, Name, Part, Payload, RecognitionPayload, StatePayload, parse_time

Kind = Literal["availability", "health", "models", "state", "recognition", "event"]
NODE_KINDS: tuple[Kind, ...] = ("availability", "health", "models")
STREAM_KINDS: tuple[Kind, ...] = ("state", "recognition", "event")

MAX_PAYLOAD_BYTES = 262_144
"""Far beyond any payload of the daemon: a recognition with 64 labels is 12 KB."""


class SourceReport(Part):
    """Of a source, what a reader is told."""

    state: Name
    reason: Annotated[str, Field(max_length=4096)] | None = None


class StreamReport(Part):
    """Of a stream's health, what a reader is told."""

    sources: Annotated[dict[Name, SourceReport], Field(max_length=64)] = {}


class HealthReport(Payload):
    """Of the health payload, what a reader is told."""

    status: Name
    streams: Annotated[dict[Name, StreamReport], Field(max_length=64)] = {}


@dataclass(frozen=True, slots=True)
class Malformed:
    """A payload that is not what its topic promises, and why."""

    reason: str


Described = RecognitionPayload | EventPayload | StatePayload | HealthReport | ModelsPayload
Content = Described | Literal["online", "offline"] | Malformed

MODELS: dict[Kind, type[Described]] = {
    "recognition": RecognitionPayload,
    "event": EventPayload,
    "state": StatePayload,
    "health": HealthReport,
    "models": ModelsPayload,
}


@dataclass(frozen=True, slots=True)
class Received:
    """One message. `received_ns` is nanoseconds since 1970 on the subscriber's wall clock; `payload` is as it came."""

    node: str
    stream: str | None
    kind: Kind
    content: Content
    retained: bool
    received_ns: int
    payload: bytes

    @property
    def latency_ms(self) -> float | None:
        """From capture to this subscriber, by two wall clocks: exact on one machine. None for what is no moment."""
        if not isinstance(self.content, (RecognitionPayload, EventPayload)) or self.retained:
            return None
        instant = parse_time(self.content.time)
        captured_ns = int(instant.replace(microsecond=0).timestamp()) * NS_PER_S + instant.microsecond * 1000
        return (self.received_ns - captured_ns) / NS_PER_MS


def parse(topic: str, payload: bytes, retained: bool, received_ns: int) -> Received | None:
    """Check one message; None when its topic is none that a watcher shows."""
    match topic.split("/"):
        case ["perceptd", node, kind] if kind in NODE_KINDS:
            stream = None
        case ["perceptd", node, stream, kind] if kind in STREAM_KINDS:
            pass
        case _:
            return None
    known: Kind = next(k for k in get_args(Kind) if k == kind)
    return Received(node, stream, known, _content(known, payload), retained, received_ns, payload)


def _content(kind: Kind, payload: bytes) -> Content:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Malformed(f"{len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
    if kind == "availability":
        words: dict[bytes, Content] = {b"online": "online", b"offline": "offline"}
        return words.get(payload, Malformed("neither online nor offline"))
    try:
        return MODELS[kind].model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(level) for level in first["loc"])
        return Malformed(f"{where}: {first['msg']}" if where else first["msg"])
