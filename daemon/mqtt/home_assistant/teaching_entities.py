"""The entities that teach a node labels: a text, buttons, and sensors of what was taught and is asked. Pure."""

from typing import Any

from daemon.bundle.taught import MAX_NAME
from daemon.mqtt.home_assistant.devices import Components, StreamDevice, object_id
from daemon.mqtt.home_assistant.entity import (
    available_while,
    available_with_node,
    available_with_stream,
    command,
    entity_name,
    quoted,
)

# Home Assistant's limit of a state
MAX_STATE = 255

# Home Assistant's recorder drops attributes of more than 16 kB, and there may be 100 labels.
MAX_LABEL_TEXT = 100

# No counts that grow for ever: the recorder would store each change of them.
TEACHING_ATTRIBUTES = (
    "{% set found = namespace(labels={}, places={}) %}"
    "{% for each in value_json.labels %}"
    f"{{% set found.labels = dict(found.labels, **{{each.label: each.text[:{MAX_LABEL_TEXT}]}}) %}}"
    "{% endfor %}"
    "{% for name, place in value_json.places.items() %}"
    "{% set known = 'known' if place.background >= place.needed else place.background ~ ' of ' ~ place.needed %}"
    "{% set found.places = dict(found.places, **{name: known}) %}"
    "{% endfor %}"
    "{{ {'labels': found.labels, 'places': found.places, 'bundle': value_json.bundle} | tojson }}"
)

QUESTION_ATTRIBUTES = (
    "{% set q = value_json.question or {} %}"
    "{{ {'question': q.get('id'), 'label': q.get('label'), 'stream': q.get('stream'), 'time': q.get('time'), "
    "'why': q.get('why')} | tojson }}"
)

# the question that is open, which the answers of these entities name
QUESTION_ID = "{{ {'question': (value_json.question or {}).get('id')} | tojson }}"


def teaching_components(node: str) -> Components:
    """Return the entities of a node by key."""
    topic = f"perceptd/{node}/teaching"
    common = available_with_node(node)
    return {
        "teaching_next": common
        | command(node, "teach_label")
        | {
            "platform": "text",
            "name": "Label to teach",
            "icon": "mdi:school",
            "command_template": "{{ {'label': value} | tojson }}",
            "state_topic": topic,
            "value_template": "{{ value_json.next_label or '' }}",
            "min": 0,  # there may be no label yet, and Home Assistant logs an error for a state that is too short
            "max": MAX_NAME,
        },
        "teaching": common
        | {
            "platform": "sensor",
            "name": "Teaching",
            "icon": "mdi:school",
            "state_topic": topic,
            "value_template": f"{{{{ value_json.text[:{MAX_STATE}] }}}}",
            "json_attributes_topic": topic,
            "json_attributes_template": TEACHING_ATTRIBUTES,
        },
        "question": common
        | {
            "platform": "sensor",
            "name": "Question",
            "icon": "mdi:help-circle",
            "state_topic": topic,
            "value_template": f"{{{{ (value_json.question.text if value_json.question else 'none')[:{MAX_STATE}] }}}}",
            "json_attributes_topic": topic,
            "json_attributes_template": QUESTION_ATTRIBUTES,
        },
        "answer_right": _answer(node, "right")
        | {"platform": "button", "name": "Answer: right", "icon": "mdi:check", "payload_press": "right"},
        "answer_wrong": _answer(node, "wrong")
        | {"platform": "button", "name": "Answer: wrong", "icon": "mdi:close", "payload_press": "wrong"},
        "answer_was": _answer(node, "was", "'label': value, ")
        | {"platform": "text", "name": "Answer: it was", "icon": "mdi:pencil", "min": 1, "max": MAX_NAME},
    }


def teaching_buttons(node: str, stream: StreamDevice, per_stream: bool) -> Components:
    """Return the buttons of a stream by key. Each sends a command about this stream."""
    key, payload = object_id(stream.name), f'{{"stream": {quoted(stream.name)}}}'
    buttons = (
        ("teach", "teach", "mdi:school"),
        ("teach_wrong", "that was wrong", "mdi:thumb-down"),
        ("teach_missed", "you missed it", "mdi:eye-off"),
    )
    return {
        f"{key}_{name}": available_with_stream(node, stream.name)
        | command(node, name)
        | {
            "platform": "button",
            "name": entity_name(stream, text, per_stream),
            "icon": icon,
            "payload_press": payload,
        }
        for name, text, icon in buttons
    }


def _answer(node: str, answer: str, more: str = "") -> dict[str, Any]:
    """Return the keys of an entity that answers the question that is shown, and is available while there is one."""
    topic = f"perceptd/{node}/teaching"
    template = f"{{{{ {{'question': this.attributes.get('question'), {more}'answer': '{answer}'}} | tojson }}}}"
    return (
        available_while(node, topic, "value_json.question")
        | command(node, "teach_answer")
        | {
            "command_template": template,
            "json_attributes_topic": topic,
            "json_attributes_template": QUESTION_ID,
        }
    )
