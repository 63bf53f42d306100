"""MQTT discovery for Home Assistant: the message that announces a node as one device with its entities. Pure.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, "device discovery payload".
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

Components = dict[str, dict[str, Any]]

# Every label gets a binary sensor in bundles of at most this many labels.
MAX_LABEL_SENSORS = 50

# The state of the update entity, see https://www.home-assistant.io/integrations/update.mqtt/.
# Home Assistant accepts at most 255 characters of summary, and null for the percentage alone.
# A bundle on probation is installed already.
MODELS_STATE = (
    "{% set candidate, result, check = value_json.candidate, value_json.last_result, value_json.last_check %}"
    "{% set fetching = candidate is not none and candidate.stage == 'download' and candidate.bytes_total > 0 %}"
    "{{ {'installed_version': value_json.active.version, 'latest_version': value_json.latest, "
    "'title': value_json.active.name, "
    "'in_progress': candidate is not none and candidate.stage != 'probation', "
    "'update_percentage': [100 * candidate.bytes_done // candidate.bytes_total, 100] | min if fetching else none, "
    "'release_summary': ("
    "result.bundle ~ ' was given up in ' ~ result.stage ~ (': ' ~ result.reason if result.reason else '') "
    "if result is not none and not result.ok else "
    "'The source could not be looked at' ~ (': ' ~ check.reason if check.reason else '') "
    "if check is not none and not check.ok else '')[:255]} | tojson }}"
)

MODELS_ATTRIBUTES = (
    "{{ {'last_check': value_json.last_check, 'last_result': value_json.last_result, "
    "'previous': value_json.previous.id if value_json.previous else none} | tojson }}"
)


@dataclass(frozen=True, slots=True)
class StreamEntities:
    """A stream as Home Assistant shows it: the labels that make events, and the devices that can be closed."""

    name: str
    labels: Sequence[str]
    devices: frozenset[str]


class DiscoveryPayload(BaseModel):
    """The retained payload under `<prefix>/device/<object>/config`; Home Assistant defines the names of its fields."""

    model_config = ConfigDict(frozen=True)

    device: dict[str, Any]
    origin: dict[str, str]
    components: dict[str, dict[str, Any]]

    def to_json(self) -> bytes:
        """Return the payload as it is sent to the broker."""
        return self.model_dump_json().encode()


def object_id(name: str) -> str:
    """Return a name in the characters of discovery topics and entity ids; different names give different ids."""
    safe = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    return safe if safe == name else f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def discovery_topic(prefix: str, node: str) -> str:
    """Return the topic under which a node is announced."""
    return f"{prefix}/device/perceptd_{object_id(node)}/config"


def discovery_payload(
    node: str, version: str, streams: Sequence[StreamEntities], announced: Mapping[str, str], *, has_updates: bool
) -> DiscoveryPayload:
    """Return the device of a node with all its entities; those about bundles only where `has_updates`.

    `announced` has the platform of every component that was announced before. Home Assistant removes a component that
    comes with its platform alone, so components that no longer exist are listed that way.
    """
    components = _node_components(node)
    if has_updates:
        components |= _models_components(node)
    for stream in streams:
        components |= _stream_components(node, stream)
    removed = {key: {"platform": platform} for key, platform in announced.items() if key not in components}
    return DiscoveryPayload(
        device={
            "identifiers": [f"perceptd_{object_id(node)}"],
            "name": f"perceptd {node}",
            "manufacturer": "perceptd",
            "sw_version": version,
        },
        origin={"name": "perceptd", "sw_version": version},
        components=removed | {key: _with_id(node, key, component) for key, component in components.items()},
    )


def platforms(payload: DiscoveryPayload) -> dict[str, str]:
    """Return the platform of every component of a payload, including removed ones."""
    return {key: component["platform"] for key, component in payload.components.items()}


def _with_id(node: str, key: str, component: dict[str, Any]) -> dict[str, Any]:
    unique = f"perceptd_{object_id(node)}_{key}"
    return component | {"unique_id": unique, "object_id": unique}


def _node_components(node: str) -> Components:
    base = f"perceptd/{node}"
    health = {
        "state_topic": f"{base}/health",
        "availability": [_node_availability(node)],
        "entity_category": "diagnostic",
    }
    return {
        "connectivity": {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "state_topic": f"{base}/availability",
            "payload_on": "online",
            "payload_off": "offline",
            "entity_category": "diagnostic",
        },
        "health": health
        | {
            "platform": "sensor",
            "name": "Health",
            "value_template": "{{ value_json.status }}",
            "json_attributes_topic": f"{base}/health",
        },
        "latency": health
        | {
            "platform": "sensor",
            "name": "Latency",
            "value_template": "{{ value_json.latency_ms.p50 }}",
            "unit_of_measurement": "ms",
            "device_class": "duration",
            "state_class": "measurement",
        },
        "bundle": health | {"platform": "sensor", "name": "Bundle", "value_template": "{{ value_json.bundle }}"},
    }


def _models_components(node: str) -> Components:
    """Return an update entity of the active bundle, a button that looks at the source, and a switch that pins."""
    base = f"perceptd/{node}"
    common = {"availability": [_node_availability(node)], "entity_category": "config", "qos": 1}
    return {
        "models": common
        | {
            "platform": "update",
            "name": "Models",
            "state_topic": f"{base}/models",
            "value_template": MODELS_STATE,
            "json_attributes_topic": f"{base}/models",
            "json_attributes_template": MODELS_ATTRIBUTES,
            "command_topic": f"{base}/command/models_install",
            "payload_install": "{}",
        },
        "models_check": common
        | {
            "platform": "button",
            "name": "Look for new models",
            "icon": "mdi:update",
            "command_topic": f"{base}/command/models_check",
            "payload_press": "{}",
        },
        "models_pin": common
        | {
            "platform": "switch",
            "name": "Pin models",
            "icon": "mdi:pin",
            "state_topic": f"{base}/models",
            "value_template": "{{ 'ON' if value_json.pinned else 'OFF' }}",
            "command_topic": f"{base}/command/models_pin",
            "payload_on": '{"on": true}',
            "payload_off": '{"on": false}',
            "state_on": "ON",
            "state_off": "OFF",
        },
    }


def _stream_components(node: str, stream: StreamEntities) -> Components:
    base, key = f"perceptd/{node}/{stream.name}", object_id(stream.name)
    availability = [_node_availability(node), _stream_availability(node, stream.name)]
    common = {"availability": availability, "availability_mode": "all"}
    state = common | {"state_topic": f"{base}/state"}
    components: Components = {
        f"{key}_label": state
        | {
            "platform": "sensor",
            "name": stream.name,
            "value_template": "{{ value_json.label if value_json.label is not none else 'none' }}",
            "json_attributes_topic": f"{base}/state",
        },
        f"{key}_score": state
        | {
            "platform": "sensor",
            "name": f"{stream.name} score",
            "value_template": "{{ (value_json.score or 0) * 100 }}",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
        },
        f"{key}_event": common
        | {
            "platform": "event",
            "name": f"{stream.name} event",
            "state_topic": f"{base}/event",
            "event_types": ["start", "update", "end"],
            "value_template": "{{ {'event_type': value_json.phase, 'label': value_json.label, "
            "'score': value_json.score, 'duration_s': value_json.duration_s, 'ended_by': value_json.ended_by, "
            "'id': value_json.id} | tojson }}",
        },
    }
    if len(stream.labels) <= MAX_LABEL_SENSORS:
        for label in stream.labels:
            components[f"{key}_label_{object_id(label)}"] = state | {
                "platform": "binary_sensor",
                "name": f"{stream.name} {label}",
                "value_template": f"{{{{ 'ON' if {_quoted(label)} in value_json.open else 'OFF' }}}}",
            }
    for device in sorted(stream.devices):
        components[f"{key}_{device}"] = _switch(node, stream.name, device)
    return components


def _switch(node: str, stream: str, device: str) -> dict[str, Any]:
    """Return a switch that shows whether the device is really open. It also works while the stream is paused."""
    command = f'{{"stream": {_quoted(stream)}, "on": %s}}'
    return {
        "platform": "switch",
        "name": f"{stream} {device}",
        "icon": "mdi:video" if device == "camera" else "mdi:microphone",
        "state_topic": f"perceptd/{node}/health",
        "value_template": f"{{{{ 'ON' if value_json.streams[{_quoted(stream)}].{device} else 'OFF' }}}}",
        "command_topic": f"perceptd/{node}/command/{device}",
        "payload_on": command % "true",
        "payload_off": command % "false",
        "state_on": "ON",
        "state_off": "OFF",
        "qos": 1,
        "availability": [_node_availability(node)],
    }


def _node_availability(node: str) -> dict[str, str]:
    return {"topic": f"perceptd/{node}/availability"}


def _stream_availability(node: str, stream: str) -> dict[str, str]:
    template = f"{{{{ 'online' if value_json.streams[{_quoted(stream)}].available else 'offline' }}}}"
    return {"topic": f"perceptd/{node}/health", "value_template": template}


def _quoted(text: str) -> str:
    """Return a name as a string literal that templates and JSON read alike: special characters are escaped."""
    return re.sub(r"[{}%#'<>&]", _escape, json.dumps(text, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
