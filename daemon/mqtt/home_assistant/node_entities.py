"""The entities of a node: its connection and health, its bundles, and what it is taught. Pure."""

from typing import Any

from daemon.mqtt.home_assistant.devices import Components, NodeDevice
from daemon.mqtt.home_assistant.entity import DIAGNOSTIC, DISABLED, available_with_node, command
from daemon.mqtt.home_assistant.teaching_entities import teaching_components

STATUSES = ["ok", "degraded", "failed", "stopped"]

# The state of the update entity, see https://www.home-assistant.io/integrations/update.mqtt/.
# Home Assistant drops a state with any other key, and accepts null for the percentage alone.
# It takes at most 255 characters of summary. A bundle on probation is installed already. What is taught on the node is
# no update. A bundle may wait for it for days.
MODELS_STATE = (
    "{% set m, a, c = value_json, value_json.active, value_json.candidate %}"
    "{% set loads = c is not none and c.stage == 'download' and c.bytes_total > 0 %}"
    "{{ {'installed_version': a.version, 'latest_version': m.latest, 'title': a.name, "
    "'in_progress': c is not none and c.stage != 'probation' and not c.taught and not c.waits, "
    "'update_percentage': [100 * c.bytes_done // c.bytes_total, 100] | min if loads else none, "
    "'release_summary': ('' if m.latest == a.version else "
    "a.name ~ ' ' ~ m.latest ~ ' is offered by ' ~ m.source)[:255]} | tojson }}"
)

MODELS_ATTRIBUTES = (
    "{{ {'last_check': value_json.last_check, 'last_result': value_json.last_result, "
    "'previous': value_json.previous.id if value_json.previous else none} | tojson }}"
)


def node_components(node: NodeDevice) -> Components:
    """Return the entities of a node by key; those about other bundles and taught labels only where it can have some."""
    return (
        _health_components(node.name)
        | (_models_components(node.name) if node.has_updates else {})
        | (teaching_components(node.name) if node.teachable else {})
    )


def _health_components(node: str) -> Components:
    base = f"perceptd/{node}"
    status = DIAGNOSTIC | available_with_node(node) | {"platform": "sensor", "state_topic": f"{base}/status"}
    return {
        "connectivity": DIAGNOSTIC
        | {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "state_topic": f"{base}/availability",
            "payload_on": "online",
            "payload_off": "offline",
        },
        "health": status
        | {
            "name": "Health",
            "device_class": "enum",
            "options": STATUSES,
            "value_template": "{{ value_json.status }}",
            "json_attributes_topic": f"{base}/status",
            "json_attributes_template": "{{ {'reason': value_json.reason, 'version': value_json.version} | tojson }}",
        },
        "bundle": status | DISABLED | {"name": "Bundle", "value_template": "{{ value_json.bundle }}"},
        # the only entity that reads the whole health, and only if somebody enables it
        "latency": status
        | DISABLED
        | {
            "name": "Latency",
            "state_topic": f"{base}/health",
            "value_template": "{{ value_json.latency_ms.p50 }}",
            "unit_of_measurement": "ms",
            "device_class": "duration",
            "state_class": "measurement",
        },
    }


def _models_components(node: str) -> Components:
    """Return the entities that show and change which bundle runs."""
    base = f"perceptd/{node}"
    return {
        "models": _models_entity(node, "models_install")
        | {
            "platform": "update",
            "name": "Models",
            "device_class": "firmware",
            "state_topic": f"{base}/models",
            "value_template": MODELS_STATE,
            "json_attributes_topic": f"{base}/models",
            "json_attributes_template": MODELS_ATTRIBUTES,
            "payload_install": "{}",
        },
        "models_check": _models_entity(node, "models_check")
        | {"platform": "button", "name": "Look for new models", "icon": "mdi:update", "payload_press": "{}"},
        "models_rollback": _models_entity(node, "models_rollback")
        | {"platform": "button", "name": "Roll back models", "icon": "mdi:backup-restore", "payload_press": "{}"},
        "models_pin": _models_entity(node, "models_pin")
        | {
            "platform": "switch",
            "name": "Pin models",
            "icon": "mdi:pin",
            "state_topic": f"{base}/models",
            "value_template": "{{ 'ON' if value_json.pinned else 'OFF' }}",
            "payload_on": '{"on": true}',
            "payload_off": '{"on": false}',
            "state_on": "ON",
            "state_off": "OFF",
        },
        "models_problem": available_with_node(node)
        | {
            "platform": "binary_sensor",
            "name": "Models source",
            "device_class": "problem",
            "state_topic": f"{base}/status",
            "value_template": "{{ 'ON' if value_json.models_problem else 'OFF' }}",
            "json_attributes_topic": f"{base}/status",
            "json_attributes_template": "{{ {'reason': value_json.models_problem} | tojson }}",
        },
    }


def _models_entity(node: str, name: str) -> dict[str, Any]:
    return available_with_node(node) | command(node, name) | {"entity_category": "config"}
