"""A session whose broker takes every message at once, or none while it is away."""

from daemon.mqtt.broker.limits import BrokerLimits


class FakeSnapshotSession:
    """Implements SnapshotSession for a node named hall. `retained` has what the broker holds."""

    def __init__(self) -> None:
        self.limits: BrokerLimits | None = BrokerLimits()
        self.announcing: frozenset[str] = frozenset()
        self.retained: dict[str, bytes] = {}
        self.is_away = False

    def announce(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Take a message under a full topic."""
        if self.is_away:
            self.announcing |= {topic}
        elif payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)

    def publish(self, topic_suffix: str, payload: bytes, *, retain: bool = False, qos: int = 0) -> bool:
        """Take a message for a topic of the node."""
        self.retained[f"perceptd/hall/{topic_suffix}"] = payload
        return True
