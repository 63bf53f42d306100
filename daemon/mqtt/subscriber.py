"""Receives what nodes publish: checks each message, and calls a program with it."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ValidationError

from daemon.config.mqtt import MqttConfig
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.mqtt.broker.background import BackgroundClient
from daemon.mqtt.broker.callbacks import Inbound
from daemon.mqtt.health_report import HealthReport
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload, parse_time
from daemon.mqtt.status_payload import StatusPayload
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.mqtt.update_payloads import ModelsPayload

Kind = Literal["availability", "status", "health", "models", "teaching", "state", "recognition", "event"]
NODE_KINDS: tuple[Kind, ...] = ("availability", "status", "health", "models", "teaching")

# what a node of every version retains; versions before 0.6 know no `teaching`
EXPECTED_KINDS = NODE_KINDS[:-1]

STREAM_KINDS: tuple[Kind, ...] = ("state", "recognition", "event")

# Far above every payload of the daemon: a recognition with 64 labels has 12 KB.
MAX_PAYLOAD_BYTES = 262_144

# Messages that wait for a slow program; further ones are dropped and counted.
MAX_INBOX = 1000

TICK_S = 0.2

# Retained messages come at once. What has not come by then does not exist, or may not be read.
SILENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Malformed:
    """A payload that does not have the format of its topic, and why."""

    reason: str


ParsedPayload = (
    RecognitionPayload | EventPayload | StatePayload | StatusPayload | HealthReport | ModelsPayload | TeachingPayload
)
Content = ParsedPayload | Literal["online", "offline"] | Malformed

PAYLOAD_MODELS: dict[Kind, type[ParsedPayload]] = {
    "recognition": RecognitionPayload,
    "event": EventPayload,
    "state": StatePayload,
    "status": StatusPayload,
    "health": HealthReport,
    "models": ModelsPayload,
    "teaching": TeachingPayload,
}


@dataclass(frozen=True, slots=True)
class Received:
    """One message, with its unchanged payload. `received_ns` is nanoseconds since 1970, by the subscriber's clock."""

    node: str
    stream: str | None
    kind: Kind
    content: Content
    retained: bool
    received_ns: int
    payload: bytes

    @property
    def latency_ms(self) -> float | None:
        """The time from capture to this subscriber, by two wall clocks, so exact on one machine only.

        None for messages that have no time of capture, and for retained ones.
        """
        if not isinstance(self.content, (RecognitionPayload, EventPayload)) or self.retained:
            return None
        instant = parse_time(self.content.time)
        captured_ns = int(instant.replace(microsecond=0).timestamp()) * NS_PER_S + instant.microsecond * 1000
        return (self.received_ns - captured_ns) / NS_PER_MS


def watch(
    config: MqttConfig,
    node: str | None,
    *,
    emit: Callable[[Received], None],
    stop: threading.Event,
    report_silence: Callable[[list[str]], None],
    silence_s: float = SILENCE_S,
) -> Counters:
    """Call `emit` on the caller's thread with every message until `stop` is set; return the counts of dropped ones.

    Connects for as long as it takes, and again whenever the connection is lost. An error of `emit` ends the watching.
    Counts `watch_backlog` (the caller was too slow) and `malformed` (which is emitted all the same).
    After `silence_s` calls `report_silence` with the filters of retained messages under which nothing has come, if
    there are such. Calls it with an empty list if there is no connection yet.
    """
    filters = topic_filters(node)
    watcher = Watcher(config, filters)
    unheard = dict(zip(EXPECTED_KINDS, filters, strict=False))
    silent_until: float | None = time.monotonic() + silence_s
    try:
        while not stop.is_set():
            try:
                received = watcher.inbox.get(timeout=TICK_S)
                unheard.pop(received.kind, None)
                emit(received)
            except queue.Empty:
                pass
            if silent_until is not None and time.monotonic() > silent_until:
                silent_until = None
                if unheard:
                    nothing = filters if len(unheard) == len(EXPECTED_KINDS) else list(unheard.values())
                    report_silence(nothing if watcher.is_connected else [])
    finally:
        watcher.close()
    while not watcher.inbox.empty():
        emit(watcher.inbox.get_nowait())
    return watcher.counters


def topic_filters(node: str | None) -> list[str]:
    """Return the filters for all topics of a node; None: of every node."""
    base = f"perceptd/{node or '+'}"
    return [f"{base}/{kind}" for kind in NODE_KINDS] + [f"{base}/+/{kind}" for kind in STREAM_KINDS]


class Watcher(BackgroundClient):
    """Puts every message into `inbox` until it is closed; begins to connect at once.

    Messages get the time of their arrival on the connection's thread, however slow the reader of `inbox` is.
    """

    def __init__(self, config: MqttConfig, filters: Sequence[str]) -> None:
        super().__init__(config, f"perceptd-watch-{uuid.uuid4().hex[:8]}", "mqtt-watch")
        self.inbox: queue.Queue[Received] = queue.Queue(MAX_INBOX)
        self.counters = Counters()
        self.is_connected = False
        self._filters = filters
        self.start()

    def on_disconnected(self) -> None:
        """Remember that there is no connection."""
        self.is_connected = False

    def on_connected(self) -> None:
        """Subscribe to the filters."""
        self.is_connected = True
        for topic_filter in self._filters:
            self.connection.subscribe(topic_filter, qos=1)  # a slow reader then loses less at the broker

    def on_message(self, message: Inbound) -> None:
        """Check a message and put it into the inbox."""
        received = parse(message.topic, message.payload, message.retained, time.time_ns())
        if received is None:
            return
        if isinstance(received.content, Malformed):
            self.counters.drop("malformed")
        try:
            self.inbox.put_nowait(received)
        except queue.Full:
            self.counters.drop("watch_backlog")


def parse(topic: str, payload: bytes, retained: bool, received_ns: int) -> Received | None:
    """Return a checked message; None when its topic is not one that a node publishes to."""
    match topic.split("/"):
        case ["perceptd", node, level] if level in NODE_KINDS:
            stream = None
        case ["perceptd", node, stream, level] if level in STREAM_KINDS:
            pass
        case _:
            return None
    kind: Kind = next(each for each in get_args(Kind) if each == level)
    return Received(node, stream, kind, _content(kind, payload), retained, received_ns, payload)


def _content(kind: Kind, payload: bytes) -> Content:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Malformed(f"{len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
    if kind == "availability":
        values: dict[bytes, Content] = {b"online": "online", b"offline": "offline"}
        return values.get(payload, Malformed("neither online nor offline"))
    try:
        return PAYLOAD_MODELS[kind].model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(level) for level in first["loc"])
        return Malformed(f"{field}: {first['msg']}" if field else first["msg"])
