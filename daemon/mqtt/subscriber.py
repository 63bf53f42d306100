"""A link in a thread of its own, for who only asks or listens."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from daemon.config.mqtt import MqttConfig
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.mqtt.client import Inbound
from daemon.mqtt.connection import Connection, Hooks
from daemon.mqtt.payloads import EventPayload, Name, Part, Payload, RecognitionPayload, StatePayload, parse_time
from daemon.mqtt.update_payloads import ModelsPayload

JOIN_S = 2.0


class BackgroundLink:
    """Connects when it is made, and for as long as it takes; until it is closed."""

    def __init__(self, config: MqttConfig, client_id: str, hooks: Hooks, name: str) -> None:
        """`hooks.turn` must disconnect the link once `is_closing`; `name` is the thread's."""
        self._ended = threading.Event()
        self.link = Connection(config, client_id, hooks)
        self._thread = threading.Thread(target=self.link.run, args=(self._ended,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    @property
    def is_closing(self) -> bool:
        """Whether it is time to disconnect."""
        return self._ended.is_set()

    def close(self) -> None:
        """Disconnect and end the thread; one that hangs is left behind."""
        self._ended.set()
        self.link.wake()
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self.link.close()


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


MAX_WAITING = 1000
"""Messages that wait for a slow reader; what comes beyond is dropped and counted."""

TICK_S = 0.2


def topic_filters(node: str | None) -> list[str]:
    """What to subscribe to; without a node, all of them."""
    base = f"perceptd/{node or '+'}"
    return [f"{base}/{kind}" for kind in NODE_KINDS] + [f"{base}/+/{kind}" for kind in STREAM_KINDS]


def watch(config: MqttConfig, node: str | None, *, emit: Callable[[Received], None], stop: threading.Event) -> Counters:
    """Call `emit` on the caller's thread with every message that comes before `stop` is set; returns what was dropped.

    Connects for as long as it takes, and again whenever the connection is lost. What `emit` raises ends the watching
    and reaches the caller. Counts `watch_backlog` (the reader was too slow) and `malformed` (also emitted).
    """
    watcher = Watcher(config, topic_filters(node))
    try:
        while not stop.is_set():
            try:
                emit(watcher.inbox.get(timeout=TICK_S))
            except queue.Empty:
                continue
    finally:
        watcher.close()
    while not watcher.inbox.empty():
        emit(watcher.inbox.get_nowait())
    return watcher.counters


class Watcher:
    """Puts what comes into `inbox` until it is closed.

    The link has a thread of its own, so that messages are stamped when they come, however slow the reader is.
    """

    def __init__(self, config: MqttConfig, filters: Sequence[str]) -> None:
        self.inbox: queue.Queue[Received] = queue.Queue(MAX_WAITING)
        self.counters = Counters()
        self._filters = filters
        hooks = Hooks(self._on_connected, lambda: None, self._on_received, lambda _mid, _refusal: None, self._turn)
        self._background = BackgroundLink(config, f"perceptd-watch-{uuid.uuid4().hex[:8]}", hooks, "mqtt-watch")
        self._link = self._background.link
        self.close = self._background.close
        self._background.start()

    def _on_connected(self) -> None:
        for topic_filter in self._filters:
            self._link.subscribe(topic_filter)

    def _on_received(self, message: Inbound) -> None:
        received = parse(message.topic, message.payload, message.retained, time.time_ns())
        if received is None:
            return
        if isinstance(received.content, Malformed):
            self.counters.drop("malformed")
        try:
            self.inbox.put_nowait(received)
        except queue.Full:
            self.counters.drop("watch_backlog")

    def _turn(self) -> None:
        if self._background.is_closing:
            self._link.disconnect()
