"""The binary sensors of a stream: one for each label. Pure."""

import hashlib
from collections.abc import Set
from typing import Any

from daemon.mqtt.home_assistant.devices import Components, Label, StreamDevice, object_id
from daemon.mqtt.home_assistant.entity import DISABLED, available_with_stream, entity_name, quoted

# In bundles of at most this many labels each one gets a binary sensor. Labels that were taught always do.
MAX_LABEL_SENSORS = 50

# The classes of binary sensors that Home Assistant knows since 2025.4 or before. It refuses an entity of another class.
CLASS_NAMES = """
battery battery_charging carbon_monoxide cold connectivity door garage_door gas heat light lock moisture motion moving
occupancy opening plug power presence problem running safety smoke sound tamper update vibration window
"""
CLASSES = frozenset(CLASS_NAMES.split())
CLASS_OF_KIND = {"sound": "sound", "sight": "occupancy", "both": "occupancy", None: None}


def label_components(node: str, stream: StreamDevice, taken: Set[str], *, per_stream: bool) -> Components:
    """Return the binary sensors of a stream's labels by key. `taken` are the keys of the node's other entities."""
    components: Components = {}
    of_bundle = [label for label in stream.labels if not label.taught]
    for label in stream.labels:
        if label.taught or len(of_bundle) <= MAX_LABEL_SENSORS:
            key = _key(stream.name, label.name, taken | set(components))
            components[key] = _component(node, stream, label, per_stream)
    return components


def _key(stream: str, label: str, taken: Set[str]) -> str:
    key = f"{object_id(stream)}_label_{object_id(label)}"
    if key not in taken:
        return key
    # such as the label `label` of a stream `door`, beside the label sensor of a stream `door_label`
    return f"{key}_{hashlib.sha256(f'{stream}/{label}'.encode()).hexdigest()[:6]}"


def _component(node: str, stream: StreamDevice, label: Label, per_stream: bool) -> dict[str, Any]:
    # baby_crying is shown as "Baby crying"
    spaced = label.name.replace("_", " ").strip() or label.name
    component = available_with_stream(node, stream.name) | {
        "platform": "binary_sensor",
        "name": entity_name(stream, label.shown_name or spaced, per_stream),
        "state_topic": f"perceptd/{node}/{stream.name}/state",
        "value_template": f"{{{{ 'ON' if {quoted(label.name)} in value_json.open else 'OFF' }}}}",
    }
    if not label.shown:
        component |= DISABLED
    device_class = label.device_class or CLASS_OF_KIND[label.kind]
    if device_class in CLASSES:
        component["device_class"] = device_class
    if label.icon is not None:
        component["icon"] = label.icon
    return component
