"""Home Assistant as its MQTT integration treats entities: states, attributes, changes and lines in the logbook.

It follows homeassistant/components/mqtt of 2026.11: `entity.py`, `models.py` and the modules of the platforms.
What Home Assistant would warn of is an AssertionError here.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from daemon.mqtt.home_assistant.devices import DiscoveryPayload

TEMPLATES = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
compiled = functools.cache(TEMPLATES.from_string)
UPDATE_KEYS = {"installed_version", "latest_version", "title", "release_summary", "in_progress", "update_percentage"}


def rendered(template: str, payload: bytes, *, state: str = "unknown", attributes: Mapping[str, Any] = {}) -> str:
    """Return what an entity with this state and these attributes gets from a template and a payload."""
    this = SimpleNamespace(state=state, attributes=dict(attributes))
    return compiled(template).render(value=payload.decode(), value_json=json.loads(payload), this=this).strip()


@dataclass
class Entity:
    """One entity with its present state and attributes."""

    config: dict[str, Any]
    value: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    available: dict[int, bool] = field(default_factory=dict)
    seen: tuple[str, dict[str, Any]] = ("unknown", {})

    @property
    def platform(self) -> str:
        return str(self.config["platform"])

    @property
    def state(self) -> str:
        return self.seen[0]

    def take(self, topic: str, payload: bytes, *, retained: bool, at: int) -> bool:
        """Take a message, and return whether state or attributes have changed."""
        for index, availability in enumerate(self.config.get("availability", [])):
            if availability["topic"] == topic:
                self._take_availability(index, availability, payload)
        if self.config.get("json_attributes_topic") == topic:
            self.attributes = json.loads(self._rendered("json_attributes_template", payload))
            assert isinstance(self.attributes, dict)
        if self.config.get("state_topic") == topic and not (retained and self.platform == "event"):
            self._take_state(self._rendered("value_template", payload), at)
        before, self.seen = self.seen, self._present()
        return self.seen != before

    def _present(self) -> tuple[str, dict[str, Any]]:
        topics = range(len(self.config.get("availability", [])))
        if not all(self.available.get(index, False) for index in topics):
            return "unavailable", {}
        return self.value or "unknown", self.attributes

    def _rendered(self, key: str, payload: bytes) -> str:
        if key not in self.config:
            return payload.decode()
        return rendered(self.config[key], payload, state=self.seen[0], attributes=self.seen[1])

    def _take_availability(self, index: int, availability: dict[str, str], payload: bytes) -> None:
        template = availability.get("value_template")
        value = payload.decode() if template is None else rendered(template, payload)
        assert value in (availability["payload_available"], availability["payload_not_available"]), value
        self.available[index] = value == availability["payload_available"]

    def _take_state(self, value: str, at: int) -> None:
        if self.platform == "event":
            if value:
                fields = json.loads(value)
                assert fields["event_type"] in self.config["event_types"], fields
                self.value, self.attributes = f"{at}", fields
        elif self.platform == "sensor":
            self._take_sensor(value)
        elif self.platform == "text":
            assert self.config["min"] <= len(value) <= self.config["max"], value
            self.value = value
        elif self.platform == "update":
            fields = json.loads(value)
            assert set(fields) <= UPDATE_KEYS, fields
            assert None not in {fields[key] for key in fields if key != "update_percentage"}, fields
            self.value = "on" if fields["installed_version"] != fields["latest_version"] else "off"
        else:
            on = self.config.get("state_on", self.config.get("payload_on", "ON"))
            off = self.config.get("state_off", self.config.get("payload_off", "OFF"))
            self.value = {on: "on", off: "off"}[value]

    def _take_sensor(self, value: str) -> None:
        if value == "None":
            self.value = None
        elif "unit_of_measurement" in self.config:
            self.value = f"{float(value)}" if value else self.value
        else:
            options = self.config.get("options", [value])
            assert value in options, f"{value!r} is none of {options}"
            assert len(value) <= 255
            self.value = value


@dataclass(frozen=True)
class Change:
    """A `state_changed` event of an entity; `in_logbook` says whether it makes a line there."""

    entity: str
    state: str
    attributes: dict[str, Any]
    in_logbook: bool


class HomeAssistant:
    """Holds the entities of some announcements by entity id, and records every change of theirs."""

    def __init__(self, payloads: Iterable[DiscoveryPayload], *, disabled_too: bool = False) -> None:
        """Without `disabled_too`, only entities that are enabled by default exist."""
        self.changes: list[Change] = []
        self.entities: dict[str, Entity] = {}
        self._messages = 0
        for payload in payloads:
            for component in payload.components.values():
                if disabled_too or component.get("enabled_by_default", True):
                    self.entities[component["default_entity_id"]] = Entity(component)

    def receive(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Give a message to every entity. An entity changes at most once for one message."""
        self._messages += 1
        for entity_id, entity in self.entities.items():
            before = entity.state
            if entity.take(topic, payload, retained=retained, at=self._messages):
                # the logbook leaves out changes of attributes alone, and sensors with a unit
                in_logbook = entity.state != before and "unit_of_measurement" not in entity.config
                self.changes.append(Change(entity_id, *entity.seen, in_logbook))
