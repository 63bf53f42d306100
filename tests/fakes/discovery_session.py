"""A session whose broker takes every announcement at once, or refuses every one."""

import json
from typing import Any

from daemon.mqtt.broker.limits import BrokerLimits


class FakeDiscoverySession:
    """Implements DiscoverySession. `retained` has what the topics hold, `live` the messages that were not retained."""

    def __init__(self) -> None:
        self.limits: BrokerLimits | None = BrokerLimits()
        self.connects, self.births, self.is_home_assistant_up = 1, 0, False
        self.announcing: frozenset[str] = frozenset()
        self.is_refusing = False
        self.retained: dict[str, bytes] = {}
        self.live: list[tuple[str, Any]] = []

    def announce(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Take an announcement."""
        if self.is_refusing:
            self.announcing |= {topic}
        elif retain:
            self.retained[topic] = payload
        else:
            self.live.append((topic, json.loads(payload)))

    def components(self) -> dict[str, dict[str, Any]]:
        """Return all announced entities by their keys."""
        payloads = [json.loads(payload) for payload in self.retained.values() if payload]
        return {key: component for payload in payloads for key, component in payload["components"].items()}
