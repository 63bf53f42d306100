"""Removes the retained messages of a node that is gone from the broker."""

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.background import BackgroundClient
from daemon.mqtt.broker.callbacks import BrokerReason, Inbound
from daemon.mqtt.broker.permissions import access_line
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.home_assistant.devices import discovery_topic, node_object, stream_object
from daemon.mqtt.home_assistant.ledger import parse
from daemon.mqtt.send_queue import Outbound

NODE_KINDS = ("availability", "health", "models", "status", "teaching")
STREAM_KINDS = ("state", "states", "snapshot")

# the retained topics of a node that are removed at the most: a broker may show any number
MAX_TOPICS = 10_000

# a broker that has not accepted the login by then is away
CONNECT_S = 10.0

# after a first trouble: the connection tries again within a second, maybe with the broker's other protocol version
SECOND_ATTEMPT_S = 3.0

POLL_S = 0.05

# retained messages come at once after a subscription
HEARING_S = 1.0


@dataclass(frozen=True, slots=True)
class Removal:
    """The topics whose retained messages were removed, those that may remain, and why they do."""

    removed: list[str]
    remaining: list[str]
    reasons: list[str]


def retained_topics(node: str, streams: Iterable[str], prefix: str, announced: bytes) -> list[str]:
    """Return the topics under which a node with this config may have retained messages.

    `announced` is the content of the node's file of announcements, or empty. A damaged file, and one with a topic that
    no node announces, names no topics.
    """
    topics = [f"perceptd/{node}/{kind}" for kind in NODE_KINDS]
    topics.append(discovery_topic(prefix, node_object(node)))
    for stream in streams:
        topics += [f"perceptd/{node}/{stream}/{kind}" for kind in STREAM_KINDS]
        topics.append(discovery_topic(prefix, stream_object(node, stream)))
    with suppress(ValidationError):
        topics += parse(announced, node, prefix).retained
    return list(dict.fromkeys(topics))


def remove_retained(config: MqttConfig, node: str, topics: Sequence[str], deadline_s: float) -> Removal:
    """Remove the retained messages of the topics, and of all topics of the node that the broker shows.

    Raises Refused when the password or a certificate that the config names cannot be used.
    """
    client = _Remover(config, node, topics)
    try:
        client.wait(deadline_s)
    finally:
        client.close()
    return client.result()


class _Remover(BackgroundClient):
    """Publishes an empty retained message under each topic, by which a broker forgets the stored one."""

    def __init__(self, config: MqttConfig, node: str, topics: Sequence[str]) -> None:
        super().__init__(config, f"perceptd-remove-{uuid.uuid4().hex[:8]}", "mqtt-remove")
        self._filter, self._username = f"perceptd/{node}/#", config.username
        self._known = set(topics)
        self._waiting = dict.fromkeys(topics)
        self._sent: dict[int, str] = {}
        self._removed: list[str] = []
        self._refused: list[str] = []
        self._refused_lines: dict[str, str] = {}
        self._silence = f"the MQTT broker at {config.addresses} has not answered in time"
        self._is_connected, self._is_idle = threading.Event(), threading.Event()
        self.start()

    def wait(self, deadline_s: float) -> None:
        """Wait until everything is removed, at most for the time."""
        give_up_at = time.monotonic() + deadline_s
        connect_until = time.monotonic() + min(deadline_s, CONNECT_S)
        while not self._is_connected.wait(POLL_S) and time.monotonic() < connect_until:
            if self.connection.troubles:
                connect_until = min(connect_until, time.monotonic() + SECOND_ATTEMPT_S)
                self._is_connected.wait(connect_until - time.monotonic())
        if self._is_connected.is_set():
            time.sleep(HEARING_S)
            self._is_idle.wait(give_up_at - time.monotonic())

    def result(self) -> Removal:
        """Return what was done. The connection must have been closed."""
        unsent = [*self._sent.values(), *self._waiting]
        reasons = list(self._refused_lines.values())
        if unsent:
            reasons += [trouble.finding for trouble in self.connection.troubles] or [self._silence]
        return Removal(self._removed, [*self._refused, *unsent], reasons)

    def on_connected(self) -> None:
        """Ask for what the broker retains of the node."""
        self.connection.subscribe(self._filter)
        self._is_connected.set()

    def on_disconnected(self) -> None:
        """Send again what was not acknowledged."""
        self._waiting = dict.fromkeys([*self._sent.values(), *self._waiting])
        self._sent.clear()

    def on_message(self, message: Inbound) -> None:
        """Remove a retained message that the config does not tell of, such as that of a stream of before."""
        is_new = message.retained and message.topic not in self._known
        if is_new and len(self._known) < MAX_TOPICS:
            self._is_idle.clear()
            self._known.add(message.topic)
            self._waiting[message.topic] = None

    def on_acknowledged(self, message_id: int, refusal: BrokerReason | None) -> None:
        """Remember whether the broker has removed a message."""
        topic = self._sent.pop(message_id, None)
        if topic is None:
            return
        if refusal is None:
            self._removed.append(topic)
        else:
            trouble = Trouble(
                f"the MQTT broker refused {topic}: {refusal.name}", refusal.remedy_for("write", topic, self._username)
            )
            self._refused.append(topic)
            self._refused_lines[access_line("write", topic)] = str(trouble)

    def on_turn(self) -> None:
        """Send the next message once the one before is acknowledged.

        mosquitto may cut the connection at a refusal. If it then leaves bytes of further messages unread, the system
        resets the connection, and the refusal is lost with it.
        """
        super().on_turn()
        while self._waiting and not self._sent and self.connection.is_ready:
            topic = next(iter(self._waiting))
            del self._waiting[topic]
            # what the same line of the access list allows is not tried again, since each refusal may cost a connection
            if access_line("write", topic) in self._refused_lines:
                self._refused.append(topic)
            else:
                self._sent[self.connection.publish(Outbound(topic, b"", qos=1, retain=True))] = topic
        if not self._waiting and not self._sent:
            self._is_idle.set()
