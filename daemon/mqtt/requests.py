"""Sends one command to a node and waits for its answer."""

import logging
import queue
import uuid

from pydantic import ValidationError

from daemon.mqtt.background import BackgroundLink
from daemon.mqtt.client import Inbound
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.link import Hooks
from daemon.mqtt.outgoing import Outbound
from daemon.mqtt_config import MqttConfig

log = logging.getLogger(__name__)


def ask(config: MqttConfig, node: str, command: str, payload: bytes, deadline_s: float) -> AnswerPayload | None:
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
        topic, own = f"perceptd/{node}/command/{command}", f"perceptd-send/{self._id}"
        self._topics = (own, f"{topic}/result")
        self._message = Outbound(topic, payload, qos=1, response_topic=own, correlation=self._id.encode())
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
