"""The daemon's session with its broker: never blocks a publisher, never gives up, says when it is gone."""

import logging
import threading
from collections.abc import Callable
from typing import TypedDict

from daemon.clock import NS_PER_S, monotonic_ns
from daemon.config import MqttConfig
from daemon.mqtt.link import MAX_AWAITING_ACK, Hooks, Link
from daemon.mqtt.outgoing import Outbound, Outgoing
from daemon.records import Counters

log = logging.getLogger(__name__)

ONLINE = b"online"
OFFLINE = b"offline"

OnText = Callable[[str, bytes, bool], None]
"""Takes the stream's name, the raw payload, and whether the broker had it retained."""


class SessionStatus(TypedDict):
    """`since_ns` is the monotonic instant at which the present state of the connection began."""

    connected: bool
    since_ns: int
    reconnects: int
    published: int
    dropped: dict[str, int]


class Session:
    """Publishes under `perceptd/<node>/` and takes the text inlets of the node's streams.

    One thread, named `mqtt`, owns the connection. Retained topics keep their latest value and are published again at
    every connect. QoS 1 waits for the broker in order, up to a bound; QoS 0 without a broker, or beyond a bound, is
    dropped. What is dropped is counted.
    """

    def __init__(self, config: MqttConfig, node: str, *, on_text: OnText) -> None:
        self.counters = Counters()
        self._base = f"perceptd/{node}/"
        self._on_text = on_text
        self._changed = threading.Condition()
        self._outgoing = Outgoing()
        self._awaiting_ack: dict[int, str] = {}
        self._connected = False
        self._since_ns = monotonic_ns()
        self._connects = 0
        self._published = 0
        self._awake = False
        self._stop = threading.Event()
        self._deadline_ns: int | None = None
        self._said_goodbye = False
        hooks = Hooks(self._on_connected, self._on_disconnected, self._on_received, self._on_acknowledged, self._turn)
        # A name of its own and always the same: a reconnect then ends the session before it at the broker, and the
        # will of a connection that died half-open cannot come after the new "online".
        self._link = Link(config, f"perceptd-{node}", hooks, will=self._availability(OFFLINE))
        self.progress = self._link.progress
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._outgoing.retain(self._availability(ONLINE))

    def start(self) -> None:
        """Connect in the background, for as long as it takes. Neither raises nor blocks without a broker."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the broker has taken the login and the connection stands."""
        return self._connected

    def status(self) -> SessionStatus:
        """A snapshot for health; callable from any thread."""
        with self._changed:
            return {
                "connected": self._connected,
                "since_ns": self._since_ns,
                "reconnects": max(0, self._connects - 1),
                "published": self._published,
                "dropped": dict(self.counters.dropped),
            }

    def publish(
        self, topic_suffix: str, payload: bytes, *, retain: bool = False, qos: int = 0, wait_s: float = 0.0
    ) -> bool:
        """Queue a message for `perceptd/<node>/<topic_suffix>`; False when it was dropped, which is counted.

        Never blocks while `wait_s` is 0; otherwise waits up to that long for a connection and room, and for its turn:
        what is published by one thread with a wait is then sent in its order, whatever its topics.
        """
        message = Outbound(self._base + topic_suffix, payload, qos, retain)
        with self._changed:
            if wait_s > 0:
                self._changed.wait_for(lambda: self._is_in_turn(message) or self._stop.is_set(), wait_s)
            reason = self._queue(message)
            if reason is not None:
                self.counters.drop(f"{message.kind}_{reason}")
            if self._connected and not self._awake:
                self._awake = True
                self._link.wake()
            return reason is None

    def stop(self, deadline_s: float) -> None:
        """Send what is queued, then a retained "offline", disconnect and join; all within `deadline_s`.

        What could not be sent by then is dropped and counted. A broker that does not answer publishes the last will.
        """
        with self._changed:
            if self._stop.is_set() or self._thread.ident is None:
                return
            # The thread gives up a little before the join does, so that it can end by itself.
            self._deadline_ns = monotonic_ns() + int(max(0.0, deadline_s - min(0.2, deadline_s / 2)) * NS_PER_S)
            self._stop.set()
            self._link.wake()
            self._changed.notify_all()
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            log.warning("the MQTT thread did not end within %.1f s; it is left behind", deadline_s)

    def _queue(self, message: Outbound) -> str | None:
        """Put a message where it belongs; returns why it was dropped, or None."""
        if self._stop.is_set():
            return "stopped"
        if message.retain:
            self._outgoing.retain(message)
        elif message.qos > 0:
            if (oldest := self._outgoing.add_event(message)) is not None:
                self.counters.drop(f"{oldest.kind}_backlog")
        elif not self._connected:
            return "not_connected"
        elif self._outgoing.passing_full:
            return "backlog"
        else:
            self._outgoing.add_passing(message)
        return None

    def _is_in_turn(self, message: Outbound) -> bool:
        return self._connected and self._outgoing.is_in_turn(message)

    def _availability(self, payload: bytes) -> Outbound:
        return Outbound(self._base + "availability", payload, qos=1, retain=True)

    # What follows runs on the session's own thread.

    def _run(self) -> None:
        self._link.run(self._stop)
        with self._changed:
            for message in self._outgoing.drop_events():
                self.counters.drop(f"{message.kind}_stopped")
            for kind in self._awaiting_ack.values():
                self.counters.drop(f"{kind}_unacknowledged")
            self._link.close()

    def _on_connected(self) -> None:
        self._link.subscribe(self._base + "+/text")
        with self._changed:
            self._connected, self._since_ns = True, monotonic_ns()
            self._connects += 1
            self._outgoing.repeat_retained()
            self._changed.notify_all()

    def _on_disconnected(self) -> None:
        with self._changed:
            self._connected, self._since_ns = False, monotonic_ns()
            for message in self._outgoing.drop_passing():
                self.counters.drop(f"{message.kind}_not_connected")

    def _on_received(self, topic: str, payload: bytes, retained: bool) -> None:
        stream = topic.removeprefix(self._base).removesuffix("/text")
        try:
            self._on_text(stream, payload, retained)
        except Exception:
            log.exception("taking a text for stream %s failed", stream)
            with self._changed:
                self.counters.drop("text_failed")

    def _on_acknowledged(self, mid: int, refusal: str | None) -> None:
        with self._changed:
            kind = self._awaiting_ack.pop(mid, None)
            if refusal is None:
                self._published += 1
            else:
                self.counters.drop(f"{kind}_refused")
                log.warning("the MQTT broker refused a message (%s): %s", kind, refusal)

    def _turn(self) -> None:
        while self._link.ready and (message := self._next()) is not None:
            mid = self._link.publish(message)
            if message.qos > 0:
                self._awaiting_ack[mid] = message.kind
        if self._stop.is_set():
            self._end()

    def _next(self) -> Outbound | None:
        with self._changed:
            self._awake = False
            message = self._outgoing.take(may_await_ack=len(self._awaiting_ack) < MAX_AWAITING_ACK)
            self._changed.notify_all()
            return message

    def _end(self) -> None:
        """One step of the goodbye: all sent and acknowledged, then "offline" acknowledged, then disconnect."""
        if self._deadline_ns is not None and monotonic_ns() >= self._deadline_ns:
            self._link.abort()
        elif self._link.ready and not self._awaiting_ack and not len(self._outgoing):
            if self._said_goodbye:
                self._link.disconnect()
            else:
                self._said_goodbye = True
                with self._changed:
                    self._outgoing.retain(self._availability(OFFLINE))
                self._turn()
