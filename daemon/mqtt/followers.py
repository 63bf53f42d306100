"""Follows a retained topic of a node, for a command that waits until the node has done something."""

import queue
import time
from types import TracebackType
from typing import Generic, TypeVar

from daemon.config.mqtt import MqttConfig
from daemon.core.text import clean
from daemon.mqtt.payloads import Payload
from daemon.mqtt.requests import NoAnswer, NoBroker
from daemon.mqtt.silence import nothing_heard
from daemon.mqtt.subscriber import EXPECTED_KINDS, Kind, Malformed, Received, Watcher
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.mqtt.update_payloads import ModelsPayload

PayloadT = TypeVar("PayloadT", bound=Payload)


class Follower(Generic[PayloadT]):
    """Follows one retained topic of a node. A context manager.

    `raw` is the latest payload as it was received; `is_offline` says whether the node was reported offline.
    """

    def __init__(self, config: MqttConfig, node: str, kind: Kind, model: type[PayloadT]) -> None:
        self.where = f"node {node} at {config.addresses}"
        self.is_offline = False
        self.raw = b""
        self._kind, self._model = kind, model
        self._username = config.username
        self._unheard = {each: f"perceptd/{node}/{each}" for each in (*EXPECTED_KINDS, kind)}
        self._watcher = Watcher(config, list(self._unheard.values()))

    def __enter__(self) -> "Follower[PayloadT]":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._watcher.close()

    def first(self, within_s: float) -> PayloadT:
        """Return the retained payload, or the first that comes within the time. Raises NoAnswer and NoBroker."""
        deadline = time.monotonic() + within_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            if (payload := self.next(remaining_s)) is not None:
                return payload
        text = f"{self.where} has not published its {self._kind} within {within_s:g} s"
        if not self._watcher.is_connected:
            raise NoBroker(f"{text}: no connection to the broker")
        raise NoAnswer(f"{text}; {nothing_heard(list(self._unheard.values()), self._username)}")

    def next(self, within_s: float) -> PayloadT | None:
        """Wait for one message; return the payload in it. None: it is about something else, or none came in time.

        Raises NoAnswer for a payload of the topic that this version cannot read.
        """
        received = self._next(within_s)
        return None if received is None else self._payload_of(received)

    def _next(self, within_s: float) -> Received | None:
        try:
            received = self._watcher.inbox.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return None
        self._unheard.pop(received.kind, None)
        return received

    def _payload_of(self, received: Received) -> PayloadT | None:
        content = received.content
        if received.kind == self._kind and isinstance(content, Malformed):
            raise NoAnswer(f"this version cannot read the {self._kind} of {self.where}: {clean(content.reason)}")
        if received.kind == "availability":
            self.is_offline = content == "offline"
        if not isinstance(content, self._model):
            return None
        self.raw = received.payload
        return content


class ModelsFollower(Follower[ModelsPayload]):
    """Follows the topic `models` of a node."""

    def __init__(self, config: MqttConfig, node: str) -> None:
        super().__init__(config, node, "models", ModelsPayload)


class TeachingFollower(Follower[TeachingPayload]):
    """Follows the topic `teaching` of a node."""

    def __init__(self, config: MqttConfig, node: str) -> None:
        super().__init__(config, node, "teaching", TeachingPayload)
