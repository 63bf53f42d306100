"""What Home Assistant is told of a node, so that it finds it by itself: MQTT discovery of one device. Pure.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, "device discovery payload".
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

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
"""The state of an update entity, which takes no more than 255 characters of summary, and no null but as percentage.

https://www.home-assistant.io/integrations/update.mqtt/. In probation a bundle runs already.
"""

MODELS_ATTRIBUTES = (
    "{{ {'last_check': value_json.last_check, 'last_result': value_json.last_result, "
    "'previous': value_json.previous.id if value_json.previous else none} | tojson }}"
)


def models_components(node: str, alive: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Which bundle runs, and which could be installed; a look at the source; whether the one that runs stays.

    `alive` says where it is told whether the node is there.
    """
    base = f"perceptd/{node}"
    ours = {"availability": [alive], "entity_category": "config", "qos": 1}
    return {
        "models": ours
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
        "models_check": ours
        | {
            "platform": "button",
            "name": "Look for new models",
            "icon": "mdi:update",
            "command_topic": f"{base}/command/models_check",
            "payload_press": "{}",
        },
        "models_pin": ours
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


MOST_LABELS = 50
"""Labels of a bundle that still get a sensor each; of more, only the one that is open shows."""

Components = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StreamEntities:
    """What a stream has to show: labels that make events, and which devices can be opened and closed."""

    name: str
    labels: Sequence[str]
    devices: frozenset[str]


class DiscoveryPayload(BaseModel):
    """The retained payload under `<prefix>/device/<object>/config`; names as Home Assistant has them."""

    model_config = ConfigDict(frozen=True)

    device: dict[str, Any]
    origin: dict[str, str]
    components: dict[str, dict[str, Any]]

    def to_json(self) -> bytes:
        """As it goes to the broker."""
        return self.model_dump_json().encode()


def object_id(name: str) -> str:
    """A name as topics of discovery and entity ids may have it; different for different names."""
    safe = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    return safe if safe == name else f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def discovery_topic(prefix: str, node: str) -> str:
    """Where the node is announced."""
    return f"{prefix}/device/perceptd_{object_id(node)}/config"


def discovery_payload(
    node: str, version: str, streams: Sequence[StreamEntities], gone: Mapping[str, str], *, has_updates: bool
) -> DiscoveryPayload:
    """The node's device with all its entities; those of its bundles only where these can be replaced.

    `gone` are components that were announced once and are not there any more, with their platforms: named with nothing
    else, they are removed.
    """
    components = _of_node(node)
    if has_updates:
        components |= models_components(node, _alive(node))
    for stream in streams:
        components |= _of_stream(node, stream)
    removed = {key: {"platform": platform} for key, platform in gone.items() if key not in components}
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
    """Every component of a payload, also removed ones, with its platform."""
    return {key: component["platform"] for key, component in payload.components.items()}


def _with_id(node: str, key: str, component: dict[str, Any]) -> dict[str, Any]:
    unique = f"perceptd_{object_id(node)}_{key}"
    return component | {"unique_id": unique, "object_id": unique}


def _of_node(node: str) -> Components:
    base = f"perceptd/{node}"
    health = {"state_topic": f"{base}/health", "availability": [_alive(node)], "entity_category": "diagnostic"}
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


def _of_stream(node: str, stream: StreamEntities) -> Components:
    base, key = f"perceptd/{node}/{stream.name}", object_id(stream.name)
    seen = {"availability": [_alive(node), _available(node, stream.name)], "availability_mode": "all"}
    state = seen | {"state_topic": f"{base}/state"}
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
        f"{key}_event": seen
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
    if len(stream.labels) <= MOST_LABELS:
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
    """Shows whether the device is really open; works while the stream is paused too."""
    order = f'{{"stream": {_quoted(stream)}, "on": %s}}'
    return {
        "platform": "switch",
        "name": f"{stream} {device}",
        "icon": "mdi:video" if device == "camera" else "mdi:microphone",
        "state_topic": f"perceptd/{node}/health",
        "value_template": f"{{{{ 'ON' if value_json.streams[{_quoted(stream)}].{device} else 'OFF' }}}}",
        "command_topic": f"perceptd/{node}/command/{device}",
        "payload_on": order % "true",
        "payload_off": order % "false",
        "state_on": "ON",
        "state_off": "OFF",
        "qos": 1,
        "availability": [_alive(node)],
    }


def _alive(node: str) -> dict[str, str]:
    return {"topic": f"perceptd/{node}/availability"}


def _available(node: str, stream: str) -> dict[str, str]:
    template = f"{{{{ 'online' if value_json.streams[{_quoted(stream)}].available else 'offline' }}}}"
    return {"topic": f"perceptd/{node}/health", "value_template": template}


def _quoted(text: str) -> str:
    """A name as a string of a template, of JSON, or of both: what is not plain is escaped, as both understand it."""
    return re.sub(r"[{}%#'<>&]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
