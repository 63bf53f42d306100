"""Writes docs/mqtt: a JSON Schema for every payload, and the AsyncAPI document that lists the topic of each."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from daemon import __version__
from daemon.mqtt.commands import ARGUMENTS, AnswerPayload
from daemon.mqtt.home_assistant.devices import ComponentPayload, DiscoveryPayload
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload
from daemon.mqtt.status_payload import StatusPayload
from daemon.mqtt.teaching_payloads import StatesPayload, TeachingPayload
from daemon.mqtt.update_payloads import ModelsPayload
from daemon.node.health import Health

TARGET = Path(__file__).resolve().parents[1] / "docs" / "mqtt"
MEDIA_TYPE = "contentMediaType"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Channel:
    """One topic: who sends which payload, and how. `model` is None for plain text."""

    name: str
    address: str
    action: Literal["send", "receive"]
    model: type[BaseModel] | None
    qos: int
    retained: bool

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the payload."""
        if self.model is None:
            return PLAIN[self.name]
        mode: Literal["serialization", "validation"] = "serialization" if self.action == "send" else "validation"
        return {"$schema": DIALECT} | self.model.model_json_schema(by_alias=True, mode=mode)


PLAIN: dict[str, dict[str, Any]] = {
    "availability": {"$schema": DIALECT, "title": "Availability", "enum": ["online", "offline"]},
    "birth": {
        "$schema": DIALECT,
        "title": "Birth",
        "description": "Home Assistant has started, or has ended.",
        "enum": ["online", "offline"],
    },
    "snapshot": {
        "$schema": DIALECT,
        "title": "Snapshot",
        "description": "A JPEG of at most 100000 bytes.",
        "type": "string",
        MEDIA_TYPE: "image/jpeg",
    },
    "text": {
        "$schema": DIALECT,
        "title": "Text",
        "description": "A text, or a JSON object with a text; at most 4096 bytes of UTF-8.",
        "anyOf": [
            {"type": "string"},
            {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        ],
    },
}
CHANNELS = (
    Channel("availability", "perceptd/{node}/availability", "send", None, 1, True),
    Channel("health", "perceptd/{node}/health", "send", Health, 1, True),
    Channel("status", "perceptd/{node}/status", "send", StatusPayload, 1, True),
    Channel("models", "perceptd/{node}/models", "send", ModelsPayload, 1, True),
    Channel("teaching", "perceptd/{node}/teaching", "send", TeachingPayload, 1, True),
    Channel("state", "perceptd/{node}/{stream}/state", "send", StatePayload, 1, True),
    Channel("states", "perceptd/{node}/{stream}/states", "send", StatesPayload, 1, True),
    Channel("snapshot", "perceptd/{node}/{stream}/snapshot", "send", None, 1, True),
    Channel("recognition", "perceptd/{node}/{stream}/recognition", "send", RecognitionPayload, 0, False),
    Channel("event", "perceptd/{node}/{stream}/event", "send", EventPayload, 1, False),
    Channel("answer", "perceptd/{node}/command/{command}/result", "send", AnswerPayload, 1, False),
    Channel("discovery", "homeassistant/device/{object}/config", "send", DiscoveryPayload, 1, True),
    Channel("component", "homeassistant/{platform}/{object}/{component}/config", "send", ComponentPayload, 1, True),
    Channel("birth", "homeassistant/status", "receive", None, 1, False),
    Channel("text", "perceptd/{node}/{stream}/text", "receive", None, 1, False),
    *(
        Channel(f"command_{name}", f"perceptd/{{node}}/command/{name}", "receive", model, 1, False)
        for name, model in ARGUMENTS.items()
    ),
)
PLATFORMS = ["binary_sensor", "button", "event", "image", "sensor", "switch", "text", "update"]
PARAMETERS = {
    "node": {"description": "The name of the node in its config.yaml."},
    "stream": {"description": "The name of the stream in config.yaml."},
    "object": {"description": "perceptd_ and the name of the node, or of node and stream."},
    "platform": {"description": "The platform of one entity in Home Assistant.", "enum": PLATFORMS},
    "component": {"description": "The name of the entity in the payload of its device."},
    "command": {"description": "The command that is answered.", "enum": list(ARGUMENTS)},
}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every file in docs/mqtt."""
    for channel in CHANNELS:
        yield f"{channel.name}.schema.json", channel.schema
    yield "asyncapi.json", _asyncapi()


def _asyncapi() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "perceptd",
            "version": __version__,
            "description": "The messages that the daemon sends and receives over MQTT. docs/mqtt.md explains them.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {f"{channel.action}_{channel.name}": _operation(channel) for channel in CHANNELS},
        "components": {"messages": {channel.name: _message(channel) for channel in CHANNELS}},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    parameters = {name: description for name, description in PARAMETERS.items() if f"{{{name}}}" in channel.address}
    messages = {channel.name: {"$ref": f"#/components/messages/{channel.name}"}}
    return {"address": channel.address, "parameters": parameters, "messages": messages}


def _operation(channel: Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }
    if channel.name.startswith("command_"):
        operation["reply"] = {
            "address": {"location": "$message.header#/responseTopic"},
            "channel": {"$ref": "#/channels/answer"},
        }
    return operation


def _message(channel: Channel) -> dict[str, Any]:
    content = "application/json" if channel.model is not None else PLAIN[channel.name].get(MEDIA_TYPE, "text/plain")
    return {"name": channel.name, "contentType": content, "payload": {"$ref": f"./{channel.name}.schema.json"}}


def main() -> int:
    """Write all files."""
    TARGET.mkdir(exist_ok=True)
    for name, document in documents():
        (TARGET / name).write_text(rendered(document), encoding="utf-8")
        print(TARGET / name)
    return 0


def rendered(document: dict[str, Any]) -> str:
    """The document as text, as its file contains it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
