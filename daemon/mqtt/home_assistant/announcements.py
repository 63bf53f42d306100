"""The messages that announce a node and its streams to Home Assistant (MQTT discovery). Pure.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, "device discovery payload".
"""

import json
from collections.abc import Sequence

from daemon.mqtt.home_assistant.devices import DiscoveryPayload, NodeDevice, StreamDevice, discovery_topic, node_object


def announcements(
    node: NodeDevice, streams: Sequence[StreamDevice], *, per_stream: bool
) -> dict[str, DiscoveryPayload]:
    """Return the payload of each discovery topic, the node's first.

    With `per_stream`, each stream is a device of its own below the node; else the node is one device with all entities.
    """
    device = node_object(node.name)
    payload = DiscoveryPayload(
        device={
            "identifiers": [device],
            "name": f"perceptd {node.name}",
            "manufacturer": "perceptd",
            "sw_version": node.version,
        },
        origin={"name": "perceptd", "sw_version": node.version},
        components={},
    )
    return {discovery_topic(node.prefix, device): payload}


def component_messages(topic: str, payload: DiscoveryPayload) -> dict[str, bytes]:
    """Return the payload of one device as one message per entity, by topic, for brokers that take small packets only.

    `topic` is the topic of the whole payload. A component with its platform alone gives an empty message, which
    removes it.
    """
    prefix, _, device, _ = topic.rsplit("/", 3)
    return {
        f"{prefix}/{component['platform']}/{device}/{key}/config": json.dumps(
            component | {"device": payload.device, "origin": payload.origin}
        ).encode()
        for key, component in payload.components.items()
    }
