"""A Home Assistant that discovers entities as the real one does, on a clock of its own, and the broker between.

It follows homeassistant/components/mqtt/discovery.py of 2026.11. To set an entity up takes time. Meanwhile another
message for this entity waits, and the rest of that message is lost. Leaving an entity out removes nothing. Only what
was discovered since the start can be removed. Two loaded entities never share a unique id.
"""

import heapq
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daemon.mqtt.home_assistant.announcements import SHORT

LONG = {short: name for name, short in SHORT.items()}
TOP = {"device", "origin", "components"}
NEEDS = {"button": "command_topic", "switch": "command_topic", "text": "command_topic"}

# a domain and a discovery id, as in Home Assistant
Hash = tuple[str, str]
# a domain and a unique id
Entry = tuple[str, str]


class FakeBroker:
    """Stores retained messages and hands every message on to those who listen."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.listeners: list[Callable[[str, bytes], None]] = []
        self.retain_available = True

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Take one message."""
        if retain and self.retain_available:
            self.retained[topic] = payload
            if not payload:
                del self.retained[topic]
        for listener in list(self.listeners):
            listener(topic, payload)


@dataclass
class Config:
    """One entity's part of a discovery message."""

    topic: str
    keys: dict[str, Any]
    migrates: bool = False


@dataclass
class FakeHomeAssistant:
    """`registry` has the device of every entity that is shown; it survives a restart."""

    broker: FakeBroker
    prefix: str = "homeassistant"
    chance: random.Random = field(default_factory=random.Random)
    registry: dict[Entry, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    is_running: bool = False
    is_connected: bool = False
    _discovered: dict[Hash, Config] = field(default_factory=dict)
    _pending: dict[Hash, deque[Config]] = field(default_factory=dict)
    _jobs: list[tuple[float, int, Callable[[Hash, Config], None], Hash, Config]] = field(default_factory=list)
    _count: int = 0
    _now_s: float = 0.0
    _birth_s: float | None = None

    def start(self) -> None:
        """Start, with nothing discovered."""
        self._discovered, self._pending, self._jobs = {}, {}, []
        self.is_running = True
        self.connect()

    def connect(self) -> None:
        """Connect to the broker, and read what it has retained, in any order."""
        self.is_connected = True
        self.broker.listeners.append(self._take)
        found = list(self.broker.retained.items())
        self.chance.shuffle(found)
        for topic, payload in found:
            self._take(topic, payload)
        self._birth_s = self._now_s + 6

    def disconnect(self) -> None:
        """Lose the connection. The broker publishes the last will."""
        if self.is_connected:
            self.is_connected, self._birth_s = False, None
            self.broker.listeners.remove(self._take)
            self.broker.publish("homeassistant/status", b"offline", retain=False)

    def stop(self) -> None:
        """End, in whatever it was doing."""
        self.disconnect()
        self.is_running = False

    def advance(self, now_s: float) -> None:
        """Do what is due."""
        self._now_s = now_s
        while self.is_running and self._jobs and self._jobs[0][0] <= now_s:
            _, _, work, found, config = heapq.heappop(self._jobs)
            work(found, config)
        if self._birth_s is not None and now_s >= self._birth_s and not self._pending:
            self._birth_s = None
            self.broker.publish("homeassistant/status", b"online", retain=False)

    def _take(self, topic: str, payload: bytes) -> None:
        if not topic.startswith(f"{self.prefix}/") or not topic.endswith("/config"):
            return
        if self._birth_s is not None:
            self._birth_s = max(self._birth_s, self._now_s + 5)
        domain, *ids, _ = topic.removeprefix(f"{self.prefix}/").split("/")
        is_device = domain == "device"
        configs = self._device(topic, ids[0], payload) if is_device else self._single(topic, domain, ids, payload)
        for found, config in configs:
            if found in self._pending:
                self._pending[found].append(config)
                return
            self._process(found, config)

    def _device(self, topic: str, device: str, payload: bytes) -> list[tuple[Hash, Config]]:
        content = json.loads(payload) if payload else {}
        if content in ({}, {"migrate_discovery": True}):
            mine = [found for found in self._discovered if found[1].split(" ")[0] == device]
            if not mine:
                self.warnings.append(f"no components to clean up: {topic}")
            return [(found, Config(topic, {}, migrates=bool(content))) for found in mine]
        assert set(content) == TOP and content["device"]["identifiers"] and content["origin"]["name"], content
        configs = []
        for key, component in content["components"].items():
            keys = {name: value for name, value in component.items() if name != "platform"}
            assert not keys or "unique_id" in keys, "Home Assistant refuses the whole payload"
            shared = {"device": content["device"], "origin": content["origin"]} if keys else {}
            configs.append(((component["platform"], f"{device} {key}"), Config(topic, keys | shared)))
        return configs

    def _single(self, topic: str, domain: str, ids: list[str], payload: bytes) -> list[tuple[Hash, Config]]:
        content = json.loads(payload) if payload else {}
        migrates = content == {"migrate_discovery": True}
        keys = {} if migrates else {LONG.get(name, name): value for name, value in content.items()}
        return [((domain, " ".join(ids)), Config(topic, keys, migrates=migrates))]

    def _process(self, found: Hash, config: Config) -> None:
        loaded = self._discovered.get(found)
        if loaded is not None or config.keys:
            self._pending.setdefault(found, deque())
        if loaded is None and config.keys:
            self._later(4.0, self._added, found, config)
        elif loaded is not None and loaded.topic != config.topic:
            self.warnings.append(f"conflicting message for {found} on {config.topic}")
            self._done(found)
        elif loaded is not None:
            self._later(1.0, self._updated if config.keys else self._removed, found, config)

    def _later(self, longest_s: float, work: Callable[[Hash, Config], None], found: Hash, config: Config) -> None:
        self._count += 1
        due_s = self._now_s + self.chance.random() * longest_s
        heapq.heappush(self._jobs, (due_s, self._count, work, found, config))

    def _added(self, found: Hash, config: Config) -> None:
        assert NEEDS.get(found[0], "state_topic") in config.keys, (found, config)
        entry = (found[0], config.keys["unique_id"])
        if entry in {(domain, other.keys["unique_id"]) for (domain, _), other in self._discovered.items()}:
            self.warnings.append(f"unique id is used already: {entry}")
        else:
            self._discovered[found] = config
            self.registry[entry] = config.keys["device"]["identifiers"][0]
        self._done(found)

    def _updated(self, found: Hash, config: Config) -> None:
        self._discovered[found] = config
        self.registry[found[0], config.keys["unique_id"]] = config.keys["device"]["identifiers"][0]
        self._done(found)

    def _removed(self, found: Hash, config: Config) -> None:
        loaded = self._discovered.pop(found)
        if not config.migrates:
            del self.registry[found[0], loaded.keys["unique_id"]]
        self._done(found)

    def _done(self, found: Hash) -> None:
        if self._pending[found]:
            self._process_pending(found)
        else:
            del self._pending[found]

    def _process_pending(self, found: Hash) -> None:
        config = self._pending[found].popleft()
        if found in self._discovered or config.keys:
            self._process(found, config)
        else:
            self._done(found)
