"""What Home Assistant is told of a node's bundles: an update entity, a button and a switch. Pure."""

from typing import Any

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
