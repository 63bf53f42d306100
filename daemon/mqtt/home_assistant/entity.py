"""The parts that entities share: ids, availability, commands, and names as literals in templates. Pure."""

import json
import re
from typing import Any

from daemon.mqtt.home_assistant.devices import StreamDevice, node_object

# Home Assistant 2026.6 and newer let a command expire at the broker, so that none is obeyed long after it was given
COMMAND_EXPIRY_S = 30

DIAGNOSTIC: dict[str, Any] = {"entity_category": "diagnostic"}
DISABLED: dict[str, Any] = {"enabled_by_default": False}


def with_ids(node: str, key: str, component: dict[str, Any]) -> dict[str, Any]:
    """Return a component with its ids. They depend on the names of node, stream and label alone.

    Home Assistant reads `object_id` until 2026.3, and `default_entity_id` since 2025.10.
    """
    unique = f"{node_object(node)}_{key}"
    ids = {"unique_id": unique, "object_id": unique, "default_entity_id": f"{component['platform']}.{unique}"}
    return component | ids


def available_with_node(node: str) -> dict[str, Any]:
    """Return the keys of an entity that is available while the node is connected."""
    return {"availability": [_availability(f"perceptd/{node}/availability")]}


def available_with_stream(node: str, stream: str) -> dict[str, Any]:
    """Return the keys of an entity that is available while the node is connected and the stream is available."""
    return available_while(node, f"perceptd/{node}/status", stream_status(stream, "available"))


def available_while(node: str, topic: str, condition: str) -> dict[str, Any]:
    """Return the keys of an entity that is available while the node is connected and an expression on a topic holds."""
    template = f"{{{{ 'online' if {condition} else 'offline' }}}}"
    of_topic = _availability(topic) | {"value_template": template}
    return {"availability": [*available_with_node(node)["availability"], of_topic], "availability_mode": "all"}


def stream_status(stream: str, field: str) -> str:
    """Return the expression that reads a field of a stream from the status message; none for an unknown stream."""
    return f"value_json.streams.get({quoted(stream)}, {{}}).get('{field}')"


def command(node: str, name: str) -> dict[str, Any]:
    """Return the keys of an entity that sends a command to the node."""
    return sends_to(f"perceptd/{node}/command/{name}")


def sends_to(topic: str) -> dict[str, Any]:
    """Return the keys of an entity that publishes under a topic."""
    return {"command_topic": topic, "qos": 1, "message_expiry_interval": COMMAND_EXPIRY_S}


def stream_title(stream: StreamDevice) -> str:
    """Return the name of a stream that people read."""
    return stream.shown_name or stream.name


def entity_name(stream: StreamDevice, text: str, per_stream: bool) -> str:
    """Return the name of a stream's entity; Home Assistant puts the name of the device in front."""
    return text[:1].upper() + text[1:] if per_stream else f"{stream_title(stream)} {text}"


def quoted(text: str) -> str:
    """Return a name as a string literal that templates and JSON read alike: special characters are escaped."""
    return re.sub(r"[{}%#'<>&]", _escape, json.dumps(text, ensure_ascii=False))


def _availability(topic: str) -> dict[str, str]:
    return {"topic": topic, "payload_available": "online", "payload_not_available": "offline"}


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
