"""A node that announces itself by the real state machine, a fake broker, and a fake Home Assistant, on one clock."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from daemon.core.timing import NS_PER_S
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.announcer import Heard, State, look
from daemon.mqtt.home_assistant.devices import DiscoveryPayload, Label, NodeDevice, StreamDevice
from daemon.mqtt.home_assistant.ledger import Ledger, parse
from daemon.mqtt.home_assistant.withdrawal import Message
from tests.fakes.home_assistant import Entry, FakeBroker, FakeHomeAssistant

LOOK_S = 0.5
LARGE, SMALL = BrokerLimits(), BrokerLimits(max_packet_bytes=1500)


@dataclass(frozen=True)
class Setup:
    """What the config and the bundle say."""

    streams: tuple[str, ...] = ("door",)
    labels: tuple[str, ...] = ("dog",)
    per_stream: bool = True
    discovery: bool = True
    prefix: str = "homeassistant"
    node: str = "hall"

    @cache  # noqa: B019 - there are a few different ones
    def wanted(self) -> dict[str, DiscoveryPayload]:
        """Return the payloads of this setup."""
        if not self.discovery:
            return {}
        node = NodeDevice(self.node, "1.0.0", self.prefix, has_updates=False, teachable=False)
        labels = [Label(name) for name in self.labels]
        streams = [
            StreamDevice(name, None, None, labels, frozenset({"camera"}), takes_text=True) for name in self.streams
        ]
        return announcements(node, streams, per_stream=self.per_stream)

    def entries(self) -> dict[Entry, str]:
        """Return the entities that Home Assistant is to show, each with its device."""
        return {
            (component["platform"], component["unique_id"]): payload.device["identifiers"][0]
            for payload in self.wanted().values()
            for component in payload.components.values()
        }


class World:
    """The node's session keeps the latest value of each retained topic, and resends it as the real one does."""

    def __init__(self, setup: Setup, seed: int = 0, *, ledger: bytes | None = None) -> None:
        self.broker = FakeBroker()
        self.home_assistant = FakeHomeAssistant(self.broker, chance=random.Random(seed))
        self.setup = setup
        self.now_s = 0.0
        self.file = ledger
        self.is_disk_full = self.is_refusing = False
        self.limits = LARGE
        self.lost: set[Entry] = set()
        self.lost_topics: set[str] = set()
        self.sent: list[tuple[float, Message]] = []
        self.is_connected = False
        self._begin()
        self.connect()

    def _begin(self) -> None:
        setup = self.setup
        ledger = Ledger(node=setup.node) if self.file is None else parse(self.file, setup.node, setup.prefix)
        self.state = State(ledger.model_copy(update={"per_stream": setup.per_stream}))
        self.births, self.is_up, self.connects = 0, False, 0
        self.retained_s: dict[str, float] = {}
        self.retained: dict[str, Message] = {}
        self.live: list[Message] = []
        self.announcing: dict[tuple[str, bool], Message] = {}

    def restart(self, setup: Setup) -> None:
        """Kill the node, and start it with a setup."""
        was_connected = self.is_connected
        self.disconnect()
        stored = Ledger(node="") if self.file is None else parse(self.file, self.setup.node, self.setup.prefix)
        self.lost_topics |= set(self.state.ledger.retained) - set(stored.retained)
        for device, entities in self.state.ledger.entities.items():
            for entity in set(entities) - set(stored.entities.get(device, ())):
                platform, _, key = entity.partition("/")
                self.lost.add((platform, f"perceptd_{self.setup.node}_{key}"))
        self.setup = setup
        self._begin()
        if was_connected:
            self.connect()

    def connect(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            self.connects += 1
            self.broker.listeners.append(self._hear)
            for message in [*self.retained.values(), *self.live]:
                self._send(message)
            self.live = []

    def disconnect(self) -> None:
        if self.is_connected:
            self.is_connected = False
            self.broker.listeners.remove(self._hear)

    def advance(self, seconds: float) -> None:
        """Let time pass for all."""
        for _ in range(round(seconds / LOOK_S)):
            self.now_s += LOOK_S
            self.home_assistant.advance(self.now_s)
            if self.is_connected:
                self._look()

    def until(self, condition: Callable[[], bool], what: str, at_most_s: float = 600) -> None:
        """Let time pass until the condition holds."""
        end_s = self.now_s + at_most_s
        while not condition():
            assert self.now_s < end_s, what
            self.advance(LOOK_S)

    def _look(self) -> None:
        heard = Heard(
            self.limits, self.connects, self.births, self.is_up, frozenset(topic for topic, _ in self.announcing)
        )
        before = self.state
        self.state, messages = look(before, self.setup.prefix, self.setup.wanted(), heard, round(self.now_s * NS_PER_S))
        if not self.is_disk_full:
            self.file = self.state.ledger.to_json()
        for message in messages:
            self.announcing[message.topic, message.retain] = message
            if message.retain:
                last = self.retained.get(message.topic)
                assert last in (None, message) or self.now_s - self.retained_s[message.topic] >= 5, (
                    "too close to another payload"
                )
                self.retained[message.topic], self.retained_s[message.topic] = message, self.now_s
            self._send(message)

    def _send(self, message: Message) -> None:
        if self.is_refusing or not message.fits(self.limits):
            return
        self.sent.append((self.now_s, message))
        for key in ((message.topic, True), (message.topic, False)):
            if key in self.announcing and self.announcing[key].payload == message.payload:
                del self.announcing[key]
                if not message.payload and message.topic in self.retained:
                    del self.retained[message.topic]
        self.broker.publish(message.topic, message.payload, retain=message.retain)

    def _hear(self, topic: str, payload: bytes) -> None:
        if topic == "homeassistant/status":
            self.is_up = payload == b"online"
            if self.is_up:
                self.births += 1
                for message in list(self.retained.values()):
                    self._send(message)

    def shown(self) -> dict[Entry, str]:
        """Return the entities that Home Assistant shows, each with its device."""
        return self.home_assistant.registry
