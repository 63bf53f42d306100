"""The messages that announce a node and its streams to Home Assistant (MQTT discovery). Pure.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, "device discovery payload".
Home Assistant refuses a payload with a key that it does not know at the top, in `device` or in `origin`.
"""

from collections.abc import Sequence
from typing import Any

from daemon.mqtt.home_assistant.devices import (
    ComponentPayload,
    Components,
    DiscoveryPayload,
    NodeDevice,
    StreamDevice,
    discovery_topic,
    node_object,
    stream_object,
)
from daemon.mqtt.home_assistant.entity import with_ids
from daemon.mqtt.home_assistant.node_entities import node_components
from daemon.mqtt.home_assistant.stream_entities import stream_components

# Home Assistant's own short names of long keys, for messages that must be small
SHORT = {
    "availability": "avty",
    "availability_mode": "avty_mode",
    "command_topic": "cmd_t",
    "device": "dev",
    "json_attributes_template": "json_attr_tpl",
    "json_attributes_topic": "json_attr_t",
    "origin": "o",
    "payload_available": "pl_avail",
    "payload_not_available": "pl_not_avail",
    "state_topic": "stat_t",
    "value_template": "val_tpl",
}


def announcements(
    node: NodeDevice, streams: Sequence[StreamDevice], *, per_stream: bool
) -> dict[str, DiscoveryPayload]:
    """Return the payload of each discovery topic, the node's first.

    With `per_stream`, each stream is a device of its own below the node; else the node is one device with all entities.
    """
    of_node = node_components(node)
    of_streams = stream_components(node, streams, per_stream=per_stream)
    if not per_stream:
        of_node |= {key: component for components in of_streams for key, component in components.items()}
    payloads = {node_object(node.name): _payload(node, _node_device(node), of_node)}
    if per_stream:
        for stream, components in zip(streams, of_streams, strict=True):
            payloads[stream_object(node.name, stream.name)] = _payload(node, _stream_device(node, stream), components)
    return {discovery_topic(node.prefix, device): payload for device, payload in payloads.items()}


def component_messages(topic: str, payload: DiscoveryPayload) -> dict[str, bytes]:
    """Return the payload of one device as one message per entity, by topic, for brokers that take small packets only.

    `topic` is the topic of the whole payload. A component with its platform alone gives an empty message, which
    removes it. Each message describes the device, because a broker sends retained messages in any order.
    """
    prefix, _, device, _ = topic.rsplit("/", 3)
    shared = {"device": payload.device, "origin": payload.origin}
    return {
        f"{prefix}/{component['platform']}/{device}/{key}/config": _component_json(component, shared)
        for key, component in payload.components.items()
    }


def _component_json(component: dict[str, Any], shared: dict[str, Any]) -> bytes:
    own = {key: value for key, value in component.items() if key != "platform"}
    if not own:
        return b""
    if "availability" in own:
        own["availability"] = [_shortened(topic) for topic in own["availability"]]
    return ComponentPayload(_shortened(own | shared)).to_json()


def _shortened(keys: dict[str, Any]) -> dict[str, Any]:
    return {SHORT.get(key, key): value for key, value in keys.items()}


def _payload(node: NodeDevice, device: dict[str, Any], components: Components) -> DiscoveryPayload:
    return DiscoveryPayload(
        device={"manufacturer": "perceptd", "sw_version": node.version} | device,
        origin={"name": "perceptd", "sw_version": node.version},
        components={key: with_ids(node.name, key, component) for key, component in components.items()},
    )


def _node_device(node: NodeDevice) -> dict[str, Any]:
    return {"identifiers": [node_object(node.name)], "name": f"perceptd {node.name}", "model": "Node"}


def _stream_device(node: NodeDevice, stream: StreamDevice) -> dict[str, Any]:
    device = {
        "identifiers": [stream_object(node.name, stream.name)],
        "name": stream.shown_name or f"{node.name} {stream.name}",
        "model": "Stream",
        "via_device": node_object(node.name),
    }
    return device if stream.area is None else device | {"suggested_area": stream.area}
