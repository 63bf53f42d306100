"""A subscriber that keeps connected and hands over what nodes publish."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from daemon.mqtt.background import BackgroundLink
from daemon.mqtt.client import Inbound
from daemon.mqtt.link import Hooks
from daemon.mqtt.received import NODE_KINDS, STREAM_KINDS, Malformed, Received, parse
from daemon.mqtt_config import MqttConfig
from daemon.records import Counters

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
