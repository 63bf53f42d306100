"""The daemon's session with its broker, as publishers use it: thread-safe, and never gives up the broker."""

import logging
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypedDict

from daemon.config.mqtt import MqttConfig
from daemon.core.ports import TextSink
from daemon.core.records import Counters
from daemon.mqtt.broker.credentials import endpoint_of
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.broker.waits import STANDARD, Waits
from daemon.mqtt.commands import AnswerPayload, CommandSink, Request, answer_message
from daemon.mqtt.namesake import NamesakeWatch
from daemon.mqtt.outbox.entries import OutboxStatus
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.payloads import EventPayload
from daemon.mqtt.routing import MessageRouter
from daemon.mqtt.send_queue import Outbound
from daemon.mqtt.session_state import OFFLINE, NodeTopics, SharedState
from daemon.mqtt.session_thread import SessionThread
from daemon.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

# Message expiry for QoS 0 messages that are not retained. They describe only the present.
EXPIRY_S = 60

# The share of the time for a stop in which the outbox removes what the broker has acknowledged last.
OUTBOX_CLOSE_S = 0.4


class Listener(Protocol):
    """Hears what the session publishes, on the thread that publishes it. Never blocks."""

    def hear_topic(self, topic_suffix: str, payload: bytes) -> None:
        """Take another value of a retained topic of the node."""

    def hear_event(self, topic_suffix: str, payload: EventPayload) -> None:
        """Take a step of an event."""


class SessionStatus(TypedDict):
    """`since_ns` is the monotonic instant at which the present state of the connection began.

    `refused` are the topic filters to which the broker does not let the node subscribe now. `unconfirmed` counts
    messages of QoS 1 that were sent with QoS 0, because the broker takes no other.
    """

    connected: bool
    since_ns: int
    reconnects: int
    reason: str | None
    refused: list[str]
    published: int
    unconfirmed: int
    dropped: dict[str, int]
    outbox: OutboxStatus


class Session:
    """Publishes under `perceptd/<node>/`, and receives the node's texts and commands.

    Retained topics keep their latest value, which is published again at every connect. Events go through the outbox on
    disk. Other messages of QoS 1 wait for the broker in order, up to a bound.
    Messages of QoS 0 are dropped while there is no broker. Every dropped message is counted.
    """

    def __init__(
        self,
        config: MqttConfig,
        node: str,
        state_directory: Path,
        waits: Waits = STANDARD,
        *,
        hears_births: bool = True,
        memory: Path | None = None,
    ) -> None:
        """`state_directory` holds the outbox; it is made when the session starts. `memory`: see Outbox.

        `hears_births`: whether to listen for starts of Home Assistant.

        Raises Refused when the password or a certificate that the config names cannot be used.
        """
        self.counters = Counters()
        self.instance = uuid.uuid4().hex
        self._progress = Heartbeat("mqtt")
        self._waits = waits
        prefix = config.home_assistant.prefix
        self._topics = NodeTopics(node, f"{prefix}/status" if hears_births else None)
        self._reserved = {"perceptd", "homeassistant", *([prefix] if config.home_assistant.discovery else [])}
        # The client name is always the same. At a reconnect the broker thus ends the connection of before, whose last
        # will cannot come after the new "online".
        self._endpoint = endpoint_of(config, f"perceptd-{node}", will=self._topics.availability(OFFLINE))
        self._state = SharedState(self._topics, self.counters)
        outbox = state_directory / "outbox.sqlite3"
        self._outbox = Outbox(outbox, node, config.outbox, self.counters, self._state, memory)
        self._thread: SessionThread | None = None
        # who hears what is published, whether or not there is a broker; None: nobody does
        self.listener: Listener | None = None

    def start(
        self, text_sinks: Mapping[str, TextSink], commands: CommandSink | None = None, device: str | None = None
    ) -> None:
        """Connect in the background, for as long as it takes. Neither raises nor blocks without a broker.

        `text_sinks` take the texts of streams, by name. Without `commands` the session receives none. `device`: see
        NamesakeWatch.
        """
        self._thread = self._new_thread(text_sinks, commands, device)
        self._outbox.start()
        self._progress.mark()
        self._thread.start()

    @property
    def heartbeats(self) -> list[Heartbeat]:
        """The heartbeats of the MQTT thread and of the outbox."""
        return [self._progress, self._outbox.progress]

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the login and the connection is up."""
        return self._state.connected

    @property
    def limits(self) -> BrokerLimits | None:
        """What the broker takes; None while there is no connection. Callable from any thread."""
        return self._state.limits

    def status(self) -> SessionStatus:
        """Return a snapshot for health."""
        state, thread = self._state, self._thread
        troubles = [] if thread is None else thread.troubles
        with state.changed:
            return {
                "connected": state.connected,
                "since_ns": state.since_ns,
                "reconnects": max(0, state.connects - 1),
                "reason": "; ".join(map(str, troubles)) or None,
                "refused": [] if thread is None else thread.refused,
                "published": 0 if thread is None else thread.published,
                "unconfirmed": 0 if thread is None else thread.unconfirmed,
                "dropped": dict(self.counters.dropped),
                "outbox": self._outbox.status(),
            }

    def faults(self) -> list[str]:
        """Return why there is no connection, or which messages the broker refuses now. Callable from any thread."""
        thread = self._thread
        if thread is None:
            return []
        return [str(trouble) for trouble in (thread.refusals if self._state.connected else thread.troubles)]

    def retained(self) -> dict[str, bytes]:
        """Return the latest value of each retained topic of the node, by what follows `perceptd/<node>/`."""
        base = self._topics.base
        with self._state.changed:
            retained = self._state.send_queue.retained
        return {topic.removeprefix(base): value for topic, value in retained.items() if topic.startswith(base)}

    @property
    def last_sequence(self) -> int:
        """The number of the latest event that was added to the outbox."""
        return self._outbox.last_sequence

    def publish(
        self, topic_suffix: str, payload: bytes, *, retain: bool = False, qos: int = 0, wait_s: float = 0.0
    ) -> bool:
        """Queue a message for `perceptd/<node>/<topic_suffix>`; return False when it was dropped and counted.

        Never blocks while `wait_s` is 0. Otherwise it waits up to that long for a connection, room and its turn.
        Messages that one thread publishes with a wait are sent in their order, whatever their topics are.
        """
        if retain and (listener := self.listener) is not None:
            listener.hear_topic(topic_suffix, payload)
        expiry_s = None if retain or qos else EXPIRY_S
        message = Outbound(self._topics.base + topic_suffix, payload, qos, retain, expiry_s=expiry_s)
        state = self._state
        with state.changed:
            if wait_s > 0:
                state.changed.wait_for(partial(self._is_wait_over, message), wait_s)
            return self._queue(message)

    def publish_event(self, topic_suffix: str, payload: EventPayload, *, wait_s: float = 0.0) -> bool:
        """Add an event to the outbox, which sends events in order; return False when it was dropped and counted.

        `wait_s` as for `publish`.
        """
        if (listener := self.listener) is not None:
            listener.hear_event(topic_suffix, payload)
        state = self._state
        with state.changed:
            if wait_s > 0:
                state.changed.wait_for(self._is_event_wait_over, wait_s)
            if state.stop.is_set():
                self.counters.drop("event_stopped")
                return False
        return self._outbox.add(topic_suffix, payload)

    def publish_answer(self, request: Request, answer: AnswerPayload) -> bool:
        """Queue the answer to a command; return False when it was dropped and counted. Never blocks.

        The answer to a command of this machine does not go to the broker.
        """
        if request.reply is not None:
            request.reply.take(answer)
            return True
        return self._queue(answer_message(request, answer, self._topics.base, self._reserved))

    def announce(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish under a topic outside of the node's own. Never blocks.

        A retained message is published again at every connect and at every start of Home Assistant. An empty one is
        published until the broker has taken it. A topic that the broker refuses waits for a start of Home Assistant.
        """
        message = Outbound(topic, payload, qos=1, retain=retain, counted_as="announcement")
        with self._state.changed:
            self._state.announcing[topic, retain] = message
            if retain or not self._state.send_queue.is_held(topic):
                self._queue(message)

    @property
    def announcing(self) -> frozenset[str]:
        """The topics whose latest announcement the broker has not taken."""
        with self._state.changed:
            return frozenset(topic for topic, _ in self._state.announcing)

    @property
    def connects(self) -> int:
        """How often the session has connected."""
        return self._state.connects

    @property
    def births(self) -> int:
        """How many starts of Home Assistant were heard live."""
        return self._state.births

    @property
    def is_home_assistant_up(self) -> bool:
        """Whether the latest start of Home Assistant was heard live, and no end since."""
        return self._state.is_home_assistant_up

    def stop(self, deadline_s: float) -> None:
        """Send what is queued, then a retained "offline", disconnect and join, all within `deadline_s`.

        Half of that time is for events of the outbox; the rest of them waits there for the next start. Other messages
        that could not be sent are dropped and counted. A broker that does not answer publishes the last will.
        """
        thread, state = self._thread, self._state
        with state.changed:
            if thread is None or state.stop.is_set():
                return
            # the thread gives up a little before the join does, so that it can end by itself
            state.begin_stop(max(0.0, deadline_s - min(OUTBOX_CLOSE_S, deadline_s / 2)))
        if not thread.join(deadline_s):
            log.warning("the MQTT thread did not end within %.1f s and is abandoned", deadline_s)
        if not self._outbox.close(OUTBOX_CLOSE_S):
            log.warning("the outbox did not close within %.1f s and is abandoned: the disk is slow", OUTBOX_CLOSE_S)

    def _new_thread(
        self, text_sinks: Mapping[str, TextSink], commands: CommandSink | None, device: str | None = None
    ) -> SessionThread:
        return SessionThread(
            self._endpoint,
            self._topics,
            NamesakeWatch(self._topics.node, self.instance, device),
            self._state,
            self._outbox,
            MessageRouter(self._topics, self._state, text_sinks, commands),
            self._progress,
            self._waits,
        )

    def _queue(self, message: Outbound) -> bool:
        with self._state.changed:
            reason = self._state.queue(message)
            if reason is not None:
                self.counters.drop(f"{message.kind}_{reason}")
            self._state.wake()
            return reason is None

    def _is_wait_over(self, message: Outbound) -> bool:
        state = self._state
        keeps_order = state.connected and not self._outbox.is_behind and state.send_queue.keeps_order(message)
        return keeps_order or state.stop.is_set()

    def _is_event_wait_over(self) -> bool:
        state = self._state
        return (state.connected and state.send_queue.qos1_keeps_order) or state.stop.is_set()
