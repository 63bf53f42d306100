"""Sends one command to a node and waits for its answer."""

import logging
import queue
import threading
import time
import uuid
from types import TracebackType

from pydantic import ValidationError

from daemon.config.mqtt import MqttConfig
from daemon.core.errors import PerceptdError
from daemon.core.text import clean
from daemon.mqtt.client import Inbound
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.connection import Hooks
from daemon.mqtt.send_queue import Outbound
from daemon.mqtt.subscriber import NODE_KINDS, BackgroundLink, Malformed, Received, Watcher
from daemon.mqtt.update_payloads import ModelsPayload

log = logging.getLogger(__name__)


def send_request(
    config: MqttConfig, node: str, command: str, payload: bytes, deadline_s: float
) -> AnswerPayload | None:
    """The answer of the node, or None when none came in time.

    In MQTT 5 it comes under a topic of our own. In 3.1.1 it comes where all answers to this command go.
    """
    asked = _Question(config, node, command, payload)
    try:
        return asked.answers.get(timeout=deadline_s)
    except queue.Empty:
        return None
    finally:
        asked.close()


class _Question:
    def __init__(self, config: MqttConfig, node: str, command: str, payload: bytes) -> None:
        self.answers: queue.Queue[AnswerPayload] = queue.Queue()
        self._id = uuid.uuid4().hex
        topic, answer_topic = f"perceptd/{node}/command/{command}", f"perceptd-send/{self._id}"
        self._topics = (answer_topic, f"{topic}/result")
        self._message = Outbound(topic, payload, qos=1, response_topic=answer_topic, correlation=self._id.encode())
        self._sent = False
        hooks = Hooks(self._subscribe, lambda: None, self._take, lambda _mid, _refusal: None, self._turn)
        self._background = BackgroundLink(config, f"perceptd-send-{self._id[:8]}", hooks, "mqtt-send")
        self._link = self._background.link
        self.close = self._background.close
        self._background.start()

    def _subscribe(self) -> None:
        for topic in self._topics:
            self._link.subscribe(topic)

    def _turn(self) -> None:
        if self._background.is_closing:
            self._link.disconnect()
        elif self._link.ready and not self._sent:
            # a broker works off what one client sends in order: the subscriptions come first
            self._sent = True
            self._link.publish(self._message)

    def _take(self, message: Inbound) -> None:
        if message.topic == self._topics[1] and (message.retained or message.correlation is not None):
            return  # of some other time, or to somebody else
        try:
            self.answers.put(AnswerPayload.model_validate_json(message.payload))
        except ValidationError:
            log.warning("%s: an answer that makes no sense was ignored", message.topic)


class NoAnswer(PerceptdError):
    """A node, or its broker, says nothing, or nothing that can be read."""


class ModelsFollower:
    """A context manager. `raw` is the latest payload as it came; `is_offline` whether the node was said to be gone."""

    def __init__(self, config: MqttConfig, node: str) -> None:
        self.where = f"node {node} at {config.host}:{config.port}"
        self.is_offline = False
        self.raw = b""
        self._watcher = Watcher(config, [f"perceptd/{node}/{kind}" for kind in NODE_KINDS])

    def __enter__(self) -> "ModelsFollower":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._watcher.close()

    def first(self, within_s: float) -> ModelsPayload:
        """What the broker has kept, or what comes within that time. Raises NotHeard."""
        deadline = time.monotonic() + within_s
        while (received := self._next(deadline - time.monotonic())) is not None:
            if (payload := self._read(received)) is not None:
                return payload
        raise NoAnswer(f"{self.where} has said nothing of its models in {within_s:g} s")

    def following(self, silence_s: float) -> ModelsPayload:
        """What it says next. Raises NotHeard when nothing at all comes of it for so long, not even its health."""
        while (received := self._next(silence_s)) is not None:
            if (payload := self._read(received)) is not None:
                return payload
        raise NoAnswer(f"{self.where} has said nothing for {silence_s:g} s")

    def _next(self, within_s: float) -> Received | None:
        try:
            return self._watcher.inbox.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return None

    def _read(self, received: Received) -> ModelsPayload | None:
        """What a message says of bundles; None if it is about something else. Raises NotHeard."""
        content = received.content
        if received.kind == "models" and isinstance(content, Malformed):
            raise NoAnswer(f"{self.where} says of its models what cannot be read here: {clean(content.reason)}")
        if received.kind == "availability":
            self.is_offline = content == "offline"
        if not isinstance(content, ModelsPayload):
            return None
        self.raw = received.payload
        return content


ANSWER_S = 20.0
"""A broker that takes connections and says nothing is told after 10 s by the link."""

SECOND_TRY_S = 3.0
"""After a trouble the link tries again within a second, maybe in the broker's other protocol."""

LOOK_S = 0.05


def try_broker(config: MqttConfig) -> str | None:
    """What keeps a node from the broker, in words; None: it is reached, verified, and takes the login.

    Raises Refused when a password or a certificate that the config names is no good.
    """
    attempt = _Attempt(config)
    try:
        return attempt.wait()
    finally:
        attempt.close()


class _Attempt:
    def __init__(self, config: MqttConfig) -> None:
        self._connected = threading.Event()
        hooks = Hooks(self._connected.set, lambda: None, lambda _message: None, lambda _mid, _refusal: None, self._turn)
        self._background = BackgroundLink(config, f"perceptd-doctor-{uuid.uuid4().hex[:8]}", hooks, "mqtt-doctor")
        self._address = f"{config.host}:{config.port}"
        self.close = self._background.close
        self._background.start()

    def wait(self) -> str | None:
        """See `try_broker`."""
        left_s = ANSWER_S
        while left_s > 0 and not self._connected.wait(LOOK_S):
            left_s -= LOOK_S
            if self._background.link.trouble is not None:
                self._connected.wait(SECOND_TRY_S)
                break
        if self._connected.is_set():
            return None
        trouble = self._background.link.trouble
        return trouble or f"the MQTT broker at {self._address} has not answered for {ANSWER_S:g} s"

    def _turn(self) -> None:
        if self._background.is_closing:
            self._background.link.disconnect()
