"""The sensors of a stream's states: one for each group, such as a garage that is open, half open or closed. Pure."""

from typing import Any

from daemon.bundle.taught import UNKNOWN
from daemon.mqtt.home_assistant.devices import Components, StreamDevice, object_id
from daemon.mqtt.home_assistant.entity import available_with_stream, entity_name, quoted


def state_components(node: str, stream: StreamDevice, *, per_stream: bool) -> Components:
    """Return the sensors of a stream's groups by key."""
    return {
        f"{object_id(stream.name)}_states_{object_id(group)}": _component(node, stream, group, per_stream)
        for group in stream.states
    }


def _component(node: str, stream: StreamDevice, group: str, per_stream: bool) -> dict[str, Any]:
    # Home Assistant shows "None" as unknown, and strips the rendered state
    read = f"(value_json.states.get({quoted(group)}) or {{}})"
    state = f"{{% set state = {read}.get('state') %}}"
    return available_with_stream(node, stream.name) | {
        "platform": "sensor",
        "name": entity_name(stream, group, per_stream),
        "icon": "mdi:state-machine",
        "device_class": "enum",
        "options": [name.strip() for name in stream.states[group]],
        "state_topic": f"perceptd/{node}/{stream.name}/states",
        "value_template": f"{state}{{{{ none if state in (none, '{UNKNOWN}') else state }}}}",
        "json_attributes_topic": f"perceptd/{node}/{stream.name}/states",
        "json_attributes_template": (
            f"{{% set group = {read} %}}{{{{ {{'since': group.get('since'), 'score': group.get('score')}} | tojson }}}}"
        ),
    }
