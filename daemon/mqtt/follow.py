"""Follows what one node says of its bundles."""

import queue
import time
from types import TracebackType

from daemon.errors import PerceptdError
from daemon.mqtt.clean import clean
from daemon.mqtt.models_payload import ModelsPayload
from daemon.mqtt.received import NODE_KINDS, Malformed, Received
from daemon.mqtt.watch import Watcher
from daemon.mqtt_config import MqttConfig


class NotHeard(PerceptdError):
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
        raise NotHeard(f"{self.where} has said nothing of its models in {within_s:g} s")

    def following(self, silence_s: float) -> ModelsPayload:
        """What it says next. Raises NotHeard when nothing at all comes of it for so long, not even its health."""
        while (received := self._next(silence_s)) is not None:
            if (payload := self._read(received)) is not None:
                return payload
        raise NotHeard(f"{self.where} has said nothing for {silence_s:g} s")

    def _next(self, within_s: float) -> Received | None:
        try:
            return self._watcher.inbox.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return None

    def _read(self, received: Received) -> ModelsPayload | None:
        """What a message says of bundles; None if it is about something else. Raises NotHeard."""
        content = received.content
        if received.kind == "models" and isinstance(content, Malformed):
            raise NotHeard(f"{self.where} says of its models what cannot be read here: {clean(content.reason)}")
        if received.kind == "availability":
            self.is_offline = content == "offline"
        if not isinstance(content, ModelsPayload):
            return None
        self.raw = received.payload
        return content
