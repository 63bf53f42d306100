"""The entities of a stream: what is recognised in it, its devices, its text inlet, and its buttons to teach. Pure."""

from collections.abc import Sequence
from typing import Any

from daemon.mqtt.home_assistant.devices import Components, NodeDevice, StreamDevice, object_id
from daemon.mqtt.home_assistant.entity import (
    DISABLED,
    available_with_node,
    available_with_stream,
    command,
    entity_name,
    quoted,
    sends_to,
    stream_status,
    stream_title,
)
from daemon.mqtt.home_assistant.label_entities import label_components
from daemon.mqtt.home_assistant.state_entities import state_components
from daemon.mqtt.home_assistant.teaching_entities import teaching_buttons

# Home Assistant's limit of a state. Each character takes at most 4 bytes, so that every text fits an inlet.
MAX_TEXT = 255

# The attributes that describe the latest presence, which stay until the next one ends. A start or an update gives the
# old ones again: Home Assistant would log an error for an empty text, and store a change for other attributes.
LAST_ATTRIBUTES = (
    "{% set keys = ['label', 'id', 'started', 'duration_s', 'peak', 'shares', 'ended_by'] %}"
    "{% set last = value_json if value_json.phase == 'end' else (this | default({'attributes': {}})).attributes %}"
    "{{ dict(last.items() | selectattr(0, 'in', keys)) | tojson }}"
)

# One event for each presence, at its start. Home Assistant ignores an empty text.
# A start that the broker delivers twice has the id of the one before.
EVENT = (
    "{% set last = (this | default({'attributes': {}})).attributes %}"
    "{% if value_json.phase == 'start' and value_json.id != last.get('id') %}"
    "{{ {'event_type': value_json.label, 'id': value_json.id, 'score': value_json.score, "
    "'started': value_json.started} | tojson }}{% endif %}"
)


def stream_components(node: NodeDevice, streams: Sequence[StreamDevice], *, per_stream: bool) -> list[Components]:
    """Return the entities of each stream by key. No two keys of a node are the same.

    Without `per_stream`, the name of each entity begins with that of its stream.
    """
    found = [
        _main_components(node.name, stream, per_stream)
        | _device_components(node.name, stream, per_stream)
        | state_components(node.name, stream, per_stream=per_stream)
        | (teaching_buttons(node.name, stream, per_stream) if node.teachable else {})
        for stream in streams
    ]
    taken = {key for components in found for key in components}
    for stream, components in zip(streams, found, strict=True):
        components |= label_components(node.name, stream, taken, per_stream=per_stream)
        taken |= set(components)
    return found


def idle_state(labels: Sequence[str]) -> str:
    """Return the state of the label sensor while nothing goes on: `none`, unless a label is called so."""
    idle = "none"
    while idle in labels:
        idle = f"no {idle}"
    return idle


def _main_components(node: str, stream: StreamDevice, per_stream: bool) -> Components:
    base, key = f"perceptd/{node}/{stream.name}", object_id(stream.name)
    common = available_with_stream(node, stream.name)
    state, event = common | {"state_topic": f"{base}/state"}, common | {"state_topic": f"{base}/event", "qos": 1}
    labels = [label.name for label in stream.labels]
    # Home Assistant strips the rendered state
    states = [label.strip() for label in labels]
    options = [*dict.fromkeys(states), idle_state(states)]
    return {
        f"{key}_event": event
        | {
            "platform": "event",
            "name": entity_name(stream, "event", per_stream),
            "icon": "mdi:motion-sensor",
            "event_types": labels,
            "value_template": EVENT,
        },
        f"{key}_label": state
        | {
            "platform": "sensor",
            "name": "Label" if per_stream else stream_title(stream),
            "icon": "mdi:label",
            "device_class": "enum",
            "options": options,
            "value_template": _label_template(options[-1]),
            "json_attributes_topic": f"{base}/state",
            "json_attributes_template": "{{ {'open': value_json.open} | tojson }}",
        },
        f"{key}_last": event
        | {
            "platform": "sensor",
            "name": entity_name(stream, "last presence", per_stream),
            "device_class": "duration",
            "unit_of_measurement": "s",
            "suggested_display_precision": 0,
            "value_template": "{{ value_json.duration_s if value_json.phase == 'end' }}",
            "json_attributes_topic": f"{base}/event",
            "json_attributes_template": LAST_ATTRIBUTES,
        },
        f"{key}_score": state
        | DISABLED
        | {
            "platform": "sensor",
            "name": entity_name(stream, "score", per_stream),
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "value_template": "{{ (100 * value_json.score) | round | int if value_json.score is not none else none }}",
        },
    }


def _label_template(idle: str) -> str:
    """Return the template of the label sensor: it shows a label as long as its event is open.

    So it changes at starts and ends alone, and not whenever the scores of two open events cross.
    """
    return (
        "{% set shown = (this | default({'state': none})).state %}"
        f"{{{{ shown if shown in value_json.open else value_json.label or {quoted(idle)} }}}}"
    )


def _device_components(node: str, stream: StreamDevice, per_stream: bool) -> Components:
    key = object_id(stream.name)
    components = {f"{key}_{device}": _switch(node, stream, device, per_stream) for device in sorted(stream.devices)}
    if stream.has_snapshots:
        components[f"{key}_snapshot"] = available_with_node(node) | {
            "platform": "image",
            "name": entity_name(stream, "snapshot", per_stream),
            "icon": "mdi:image-outline",
            "image_topic": f"perceptd/{node}/{stream.name}/snapshot",
            "content_type": "image/jpeg",
        }
    if stream.takes_text:
        components[f"{key}_text"] = (
            available_with_stream(node, stream.name)
            | sends_to(f"perceptd/{node}/{stream.name}/text")
            | {
                "platform": "text",
                "name": entity_name(stream, "text", per_stream),
                "icon": "mdi:text-recognition",
                "min": 1,
                "max": MAX_TEXT,
            }
        )
    return components


def _switch(node: str, stream: StreamDevice, device: str, per_stream: bool) -> dict[str, Any]:
    """Return a switch that shows whether the device is really open. It also works while the stream is paused."""
    payload = f'{{"stream": {quoted(stream.name)}, "on": %s}}'
    return (
        available_with_node(node)
        | command(node, device)
        | {
            "platform": "switch",
            "name": entity_name(stream, device, per_stream),
            "icon": "mdi:video" if device == "camera" else "mdi:microphone",
            "state_topic": f"perceptd/{node}/status",
            "value_template": f"{{{{ 'ON' if {stream_status(stream.name, device)} else 'OFF' }}}}",
            "payload_on": payload % "true",
            "payload_off": payload % "false",
            "state_on": "ON",
            "state_off": "OFF",
        }
    )
