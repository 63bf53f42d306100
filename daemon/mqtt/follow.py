"""Follows what one node says of its bundles."""

import queue
import time
from types import TracebackType

from daemon.errors import PerceptdError
from daemon.mqtt.models_payload import ModelsPayload
from daemon.mqtt.received import NODE_KINDS, Malformed
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
        while (remaining_s := deadline - time.monotonic()) > 0:
            if (payload := self._take(remaining_s)) is not None:
                return payload
        raise NotHeard(f"{self.where} has said nothing of its models in {within_s:g} s")

    def following(self, silence_s: float) -> ModelsPayload:
        """What it says next. Raises NotHeard when nothing at all comes of it for so long, neither its health."""
        while True:
            if (payload := self._take(silence_s)) is not None:
                return payload

    def _take(self, within_s: float) -> ModelsPayload | None:
        """The next message if it is of bundles; None if it is another. Raises NotHeard when there is none."""
        try:
            received = self._watcher.inbox.get(timeout=within_s)
        except queue.Empty:
            raise NotHeard(f"nothing was heard of {self.where} for {within_s:.0f} s") from None
        content = received.content
        if received.kind == "models" and isinstance(content, Malformed):
            raise NotHeard(f"{self.where} says of its models what this version cannot read: {content.reason[:200]}")
        if received.kind == "availability":
            self.is_offline = content == "offline"
        if not isinstance(content, ModelsPayload):
            return None
        self.raw = received.payload
        return content
