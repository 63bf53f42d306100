"""The daemon's session with its broker: never blocks a publisher, never gives up, says when it is gone."""

import logging
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from daemon.config.mqtt import MqttConfig
from daemon.core.ports import TextSink
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.client import Inbound
from daemon.mqtt.commands import OnCommand, OnText, Reception
from daemon.mqtt.connection import MAX_AWAITING_ACK, Connection, Hooks
from daemon.mqtt.outbox import Outbox, OutboxStatus
from daemon.mqtt.outbox_store import Entry
from daemon.mqtt.payloads import EventPayload, instance_of
from daemon.mqtt.send_queue import MAX_EVENTS, Outbound, SendQueue

log = logging.getLogger(__name__)

EXPIRY_S = 60
"""What is not retained and of QoS 0 tells what is now: a broker may forget it for a subscriber that is away longer."""

OUTBOX_CLOSE_S = 0.4
"""Of the time to stop in, for the outbox to remove what the broker has acknowledged last."""

ONLINE = b"online"
OFFLINE = b"offline"


class SessionStatus(TypedDict):
    """`since_ns` is the monotonic instant at which the present state of the connection began."""

    connected: bool
    since_ns: int
    reconnects: int
    reason: str | None
    published: int
    dropped: dict[str, int]
    outbox: OutboxStatus


class Session:
    """Publishes under `perceptd/<node>/` and takes the text inlets of the node's streams.

    One thread, named `mqtt`, owns the connection. Retained topics keep their latest value and are published again at
    every connect. Events go through the outbox on disk. Other messages of QoS 1 wait for the broker in order, up to a
    bound; QoS 0 without a broker, or beyond a bound, is dropped. What is dropped is counted.
    """

    def __init__(
        self,
        config: MqttConfig,
        node: str,
        state: Path,
        *,
        on_text: OnText | None = None,
        on_command: OnCommand | None = None,
    ) -> None:
        """Without `on_command` no commands are taken.

        `state` is the directory in which events wait on disk; it is made when the session starts.
        """
        self.counters = Counters()
        self.instance = uuid.uuid4().hex
        self._node = node
        self._has_told_health = False
        self._base = f"perceptd/{node}/"
        self._health_topic = f"{self._base}health"
        home_assistant = config.home_assistant
        birth_topic = f"{home_assistant.prefix}/status" if home_assistant.discovery else None
        self._sinks: Mapping[str, TextSink] = {}
        self._birth_topic = birth_topic
        self._reception = Reception(self._base, birth_topic, self.counters, on_text or self._take_text, on_command)
        self._changed = threading.Condition()
        self._send_queue = SendQueue()
        self._outbox = Outbox(
            state / "outbox.sqlite3", config.outbox, self.counters, hand_on=self._take_events, room=self._room
        )
        self._awaiting_ack: dict[int, Outbound] = {}
        self._connected = self._is_heard = False
        self._since_ns = monotonic_ns()
        self._connects = 0
        self._published = 0
        self._awake = False
        self._stop = threading.Event()
        self._last_call_ns: int | None = None
        self._deadline_ns: int | None = None
        self._said_goodbye = False
        hooks = Hooks(self._on_connected, self._on_disconnected, self._on_received, self._on_acknowledged, self._turn)
        # A name of its own and always the same: a reconnect then ends the session before it at the broker, and the
        # will of a connection that died half-open cannot come after the new "online".
        self._link = Connection(config, f"perceptd-{node}", hooks, will=self._availability(OFFLINE))
        self.progress = self._link.progress
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._send_queue.retain(self._availability(ONLINE))

    def start(self, sinks: Mapping[str, TextSink] | None = None, obey: OnCommand | None = None) -> None:
        """Connect in the background, for as long as it takes. Neither raises nor blocks without a broker."""
        if sinks is not None:
            self._sinks = sinks
            self._reception = Reception(self._base, self._birth_topic, self.counters, self._take_text, obey)
        self._outbox.start()
        self._thread.start()

    def _take_text(self, stream: str, payload: bytes, retained: bool) -> None:
        sink = self._sinks.get(stream)
        if sink is None:
            self.counters.drop("text_for_no_stream")
        else:
            sink.take(payload, retained)

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
                "reason": self._link.trouble,
                "published": self._published,
                "dropped": dict(self.counters.dropped),
                "outbox": self._outbox.status(),
            }

    @property
    def last_sequence(self) -> int:
        """Of the latest event that was given to the outbox."""
        return self._outbox.last_sequence

    def publish(
        self, topic_suffix: str, payload: bytes, *, retain: bool = False, qos: int = 0, wait_s: float = 0.0
    ) -> bool:
        """Queue a message for `perceptd/<node>/<topic_suffix>`; False when it was dropped, which is counted.

        Never blocks while `wait_s` is 0; otherwise waits up to that long for a connection and room, and for its turn:
        what is published by one thread with a wait is then sent in its order, whatever its topics.
        """
        expiry_s = None if retain or qos else EXPIRY_S
        message = Outbound(self._base + topic_suffix, payload, qos, retain, expiry_s=expiry_s)
        with self._changed:
            if wait_s > 0:
                self._changed.wait_for(lambda: self._is_in_turn(message) or self._stop.is_set(), wait_s)
            reason = self._queue(message)
            if reason is not None:
                self.counters.drop(f"{message.kind}_{reason}")
            self._wake()
            return reason is None

    def publish_event(self, topic_suffix: str, payload: EventPayload, *, wait_s: float = 0.0) -> bool:
        """Give an event to the outbox, from which it is sent in its order; False when it was dropped, which is counted.

        `wait_s` as for `publish`.
        """
        with self._changed:
            if wait_s > 0:
                self._changed.wait_for(lambda: self._may_follow() or self._stop.is_set(), wait_s)
            if self._stop.is_set():
                self.counters.drop("event_stopped")
                return False
        return self._outbox.add(topic_suffix, payload)

    def announce(self, topic: str, payload: bytes) -> None:
        """Publish under a topic that is not the node's own, retained, again at every connect."""
        message = Outbound(topic, payload, qos=1, retain=True)
        with self._changed:
            if (reason := self._queue(message)) is not None:
                self.counters.drop(f"announcement_{reason}")
            self._wake()

    def stop(self, deadline_s: float) -> None:
        """Send what is queued, then a retained "offline", disconnect and join; all within `deadline_s`.

        Half of that is for what waits in the outbox; more of it stays there for the next start. What else could not be
        sent is dropped and counted. A broker that does not answer publishes the last will.
        """
        with self._changed:
            if self._stop.is_set() or self._thread.ident is None:
                return
            # The thread gives up a little before the join does, so that it can end by itself.
            now_ns, sending_s = monotonic_ns(), max(0.0, deadline_s - min(OUTBOX_CLOSE_S, deadline_s / 2))
            self._deadline_ns = now_ns + round(sending_s * NS_PER_S)
            self._last_call_ns = now_ns + round(sending_s / 2 * NS_PER_S)
            self._stop.set()
            self._link.wake()
            self._changed.notify_all()
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            log.warning("the MQTT thread did not end within %.1f s; it is left behind", deadline_s)
        if not self._outbox.close(OUTBOX_CLOSE_S):
            log.warning("the outbox did not close within %.1f s: the disk is slow; it is left behind", OUTBOX_CLOSE_S)

    def _queue(self, message: Outbound) -> str | None:
        """Put a message where it belongs; returns why it was dropped, or None."""
        if self._stop.is_set():
            return "stopped"
        if message.retain:
            self._send_queue.retain(message)
        elif message.qos > 0:
            if self._send_queue.room == 0:
                return "backlog"
            self._send_queue.add_event(message)
        elif not self._connected:
            return "not_connected"
        elif self._send_queue.passing_full:
            return "backlog"
        else:
            self._send_queue.add_passing(message)
        return None

    def _is_in_turn(self, message: Outbound) -> bool:
        return self._connected and not self._outbox.is_behind and self._send_queue.is_in_turn(message)

    def _may_follow(self) -> bool:
        """Whether an event would overtake nothing."""
        return self._connected and self._send_queue.has_only_events

    def _room(self) -> int:
        """For how many events there is room; none when it is time to say goodbye. Called by the outbox."""
        with self._changed:
            return 0 if self._is_past(self._last_call_ns) else self._send_queue.room

    def _take_events(self, entries: list[Entry]) -> None:
        """What is stored, to be sent. Called by the outbox, on its thread."""
        with self._changed:
            for entry in entries:
                topic = self._base + entry.topic
                self._send_queue.add_event(Outbound(topic, entry.payload, qos=1, sequence=entry.sequence))
            self._changed.notify_all()
            self._wake()

    def _wake(self) -> None:
        if self._connected and not self._awake:
            self._awake = True
            self._link.wake()

    @staticmethod
    def _is_past(at_ns: int | None) -> bool:
        return at_ns is not None and monotonic_ns() >= at_ns

    def _availability(self, payload: bytes) -> Outbound:
        return Outbound(self._base + "availability", payload, qos=1, retain=True)

    # What follows runs on the session's own thread.

    def _run(self) -> None:
        self._link.run(self._stop)
        with self._changed:
            # what is in the outbox is not lost
            for message in self._send_queue.drop_events():
                if message.sequence is None:
                    self.counters.drop(f"{message.kind}_stopped")
            for message in self._awaiting_ack.values():
                if message.sequence is None:
                    self.counters.drop(f"{message.kind}_unacknowledged")
            self._link.close()

    def _on_connected(self) -> None:
        for topic_filter in (self._health_topic, *self._reception.filters):
            self._link.subscribe(topic_filter)
        with self._changed:
            self._connected, self._since_ns = True, monotonic_ns()
            self._connects += 1
            self._send_queue.repeat_retained()
            self._changed.notify_all()

    def _on_disconnected(self) -> None:
        with self._changed:
            self._connected, self._since_ns = False, monotonic_ns()
            self._is_heard = False
            self._send_queue.put_back(list(self._awaiting_ack.values()))
            self._awaiting_ack.clear()
            for message in self._send_queue.drop_passing():
                self.counters.drop(f"{message.kind}_not_connected")

    def _on_received(self, message: Inbound) -> None:
        if message.topic == self._health_topic:
            self._look_for_a_namesake(message)
            return
        answer = self._reception.take(message)
        with self._changed:
            if self._reception.is_birth(message):
                self._send_queue.repeat_retained()
            if answer is not None and (reason := self._queue(answer)) is not None:
                self.counters.drop(f"answer_{reason}")

    def _look_for_a_namesake(self, message: Inbound) -> None:
        """The broker's memory of our health is not ours, though we had told it ours: another device says it is us.

        Each of the two cuts off the other by connecting. Whoever sees it first stays away.
        """
        self._link.unsubscribe(self._health_topic)  # what comes now would be our own
        if message.retained and self._has_told_health and instance_of(message.payload) not in (None, self.instance):
            self._link.evade(
                f"another device connects to the MQTT broker as node {self._node}: give each its own in config.yaml"
            )

    def _on_acknowledged(self, mid: int, refusal: str | None) -> None:
        with self._changed:
            message = self._awaiting_ack.pop(mid, None)
            if message is None:  # of QoS 0, written while something was read
                return
            self._is_heard = True
            if refusal is None:
                self._published += 1
                self._has_told_health |= message.topic == self._health_topic
            else:
                self.counters.drop(f"{message.kind}_refused")
                self._link.tell(f"the MQTT broker refused {message.kind}: {refusal}")
            if message.sequence is not None:
                self._outbox.acknowledged(message.sequence)

    def _turn(self) -> None:
        while self._link.ready and (message := self._next()) is not None:
            mid = self._link.publish(message)
            if message.qos > 0:
                self._awaiting_ack[mid] = message
            else:
                self._published += 1
        if self._stop.is_set():
            self._end()

    def _next(self) -> Outbound | None:
        with self._changed:
            self._awake = False
            if self._awaiting_ack and not self._is_heard:
                # a broker that refuses what we say may cut us off, and why is lost if more is on the way
                return None
            message = self._send_queue.take(may_await_ack=len(self._awaiting_ack) < MAX_AWAITING_ACK)
            if self._outbox.is_behind and self._send_queue.room >= MAX_EVENTS // 2:
                self._outbox.wake()
            self._changed.notify_all()
            return message

    def _end(self) -> None:
        """One step of the goodbye: all sent and acknowledged, then "offline" acknowledged, then disconnect."""
        if self._is_past(self._deadline_ns):
            self._link.abort()
        elif self._outbox.is_behind and not self._is_past(self._last_call_ns):
            return
        elif self._link.ready and not self._awaiting_ack and not len(self._send_queue):
            if self._said_goodbye:
                self._link.disconnect()
            else:
                self._said_goodbye = True
                with self._changed:
                    self._send_queue.retain(self._availability(OFFLINE))
                self._turn()
