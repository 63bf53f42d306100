"""Asks a node or a broker: sends a command, reads the retained health, tries the login."""

import logging
import queue
import threading
import time
import uuid

from pydantic import ValidationError

from daemon.config.mqtt import MqttConfig
from daemon.core.errors import PerceptdError
from daemon.mqtt.broker.background import BackgroundClient
from daemon.mqtt.broker.callbacks import BrokerReason, Inbound
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.health_report import HealthReport
from daemon.mqtt.send_queue import Outbound
from daemon.mqtt.silence import unanswered
from daemon.mqtt.subscriber import Watcher

log = logging.getLogger(__name__)

# How long `try_broker` waits. A connection reports a broker that does not answer CONNECT after 10 s.
LOGIN_S = 20.0

# After a first trouble: the connection tries again within a second, maybe with the broker's other protocol version.
SECOND_ATTEMPT_S = 3.0

POLL_S = 0.05

# Until the connection for a retained message is there, and then until the message comes.
CONNECT_S, RETAINED_S = 5.0, 1.0


class NoAnswer(PerceptdError):
    """A node or its broker sends nothing, or nothing that can be read."""


class CommandRefused(NoAnswer):
    """The broker has refused a command, so no answer can come."""


class NoBroker(NoAnswer):
    """There was no connection to the broker in time."""


def send_request(config: MqttConfig, node: str, command: str, payload: bytes, deadline_s: float) -> AnswerPayload:
    """Send a command to a node; return the answer.

    Raises NoAnswer with the likely cause when none comes in time, NoBroker when there is no connection, and
    CommandRefused when the broker refuses the command.

    In MQTT 5 the answer comes under a response topic. In 3.1.1 it comes under the command's own result topic.
    """
    request = _PendingRequest(config, node, command, payload)
    try:
        answer = request.answers.get(timeout=deadline_s)
    except queue.Empty:
        text = f"{command}: no answer from node {node} at {config.addresses} in {deadline_s:g} s"
        if not request.is_sent:
            raise NoBroker(f"{text}: no connection to the broker") from None
        raise NoAnswer(f"{text}; {request.silence()}") from None
    finally:
        request.close()
    if isinstance(answer, NoAnswer):
        raise answer
    return answer


def try_broker(config: MqttConfig) -> list[Trouble]:
    """Connect and log in once; return the troubles that prevented it, or an empty list.

    Raises Refused when the password or a certificate that the config names cannot be used.
    """
    probe = _LoginProbe(config)
    try:
        return probe.wait()
    finally:
        probe.close()


def retained_health(config: MqttConfig, node: str) -> HealthReport | None:
    """Return the health that a broker retains of a node; None where there is none, or none that may be read.

    Raises Refused when the password or a certificate that the config names cannot be used.
    """
    watcher = Watcher(config, [f"perceptd/{node}/health"])
    try:
        connect_until = time.monotonic() + CONNECT_S
        while not watcher.is_connected and time.monotonic() < connect_until:
            time.sleep(POLL_S)
        content = watcher.inbox.get(timeout=RETAINED_S).content
        return content if isinstance(content, HealthReport) else None
    except queue.Empty:
        return None
    finally:
        watcher.close()


class _PendingRequest(BackgroundClient):
    """One command, sent as soon as there is a connection; its answers, or a refusal, come into `answers`."""

    def __init__(self, config: MqttConfig, node: str, command: str, payload: bytes) -> None:
        request_id = uuid.uuid4().hex
        super().__init__(config, f"perceptd-send-{request_id[:8]}", "mqtt-send")
        self.answers: queue.Queue[AnswerPayload | NoAnswer] = queue.Queue()
        self._node, self._command, self._username = node, command, config.username
        self._topic = f"perceptd/{node}/command/{command}"
        self._response_topic, self._result_topic = f"perceptd-send/{request_id}", f"{self._topic}/result"
        self._availability_topic = f"perceptd/{node}/availability"
        self._availability: bytes | None = None
        self._message = Outbound(
            self._topic, payload, qos=1, response_topic=self._response_topic, correlation=request_id.encode()
        )
        self._message_id: int | None = None
        self.start()

    @property
    def is_sent(self) -> bool:
        """Whether the command was handed to a broker."""
        return self._message_id is not None

    def silence(self) -> str:
        """Return the likely cause of a missing answer to a command that was sent."""
        return unanswered(self._node, self._command, self._availability, self._username)

    def on_connected(self) -> None:
        """Subscribe to both topics on which the answer may come, and to what explains its absence."""
        for topic in (self._response_topic, self._result_topic, self._availability_topic):
            self.connection.subscribe(topic)

    def on_message(self, message: Inbound) -> None:
        """Take an answer, unless it is an old one or for somebody else."""
        if message.topic == self._availability_topic:
            self._availability = message.payload
            return
        if message.topic == self._result_topic and (message.retained or message.correlation is not None):
            return
        try:
            self.answers.put(AnswerPayload.model_validate_json(message.payload))
        except ValidationError:
            log.warning("%s: ignored an answer that does not have the format of answers", message.topic)

    def on_acknowledged(self, message_id: int, refusal: BrokerReason | None) -> None:
        """End the wait when the broker has refused the command."""
        if refusal is not None and message_id == self._message_id:
            trouble = Trouble(
                f"the MQTT broker refused {self._topic}: {refusal.name}",
                refusal.remedy_for("write", self._topic, self._username),
            )
            self.answers.put(CommandRefused(str(trouble)))

    def on_turn(self) -> None:
        """Send the command once."""
        super().on_turn()
        if self.connection.is_ready and self._message_id is None:
            # a broker handles the packets of one client in order: the subscriptions come first
            self._message_id = self.connection.publish(self._message)


class _LoginProbe(BackgroundClient):
    def __init__(self, config: MqttConfig) -> None:
        super().__init__(config, f"perceptd-doctor-{uuid.uuid4().hex[:8]}", "mqtt-doctor")
        self._is_connected = threading.Event()
        self._address = config.addresses
        self.start()

    def on_connected(self) -> None:
        self._is_connected.set()

    def wait(self) -> list[Trouble]:
        """Wait for the login; return the troubles, see `try_broker`."""
        remaining_s = LOGIN_S
        while remaining_s > 0 and not self._is_connected.wait(POLL_S):
            remaining_s -= POLL_S
            if self.connection.troubles:
                self._is_connected.wait(SECOND_ATTEMPT_S)
                break
        if self._is_connected.is_set():
            return []
        silence = Trouble(f"the MQTT broker at {self._address} has not answered for {LOGIN_S:g} s")
        return self.connection.troubles or [silence]
