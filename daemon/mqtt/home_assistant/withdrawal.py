"""The messages that take entities back from Home Assistant, and those that announce them. Pure.

Home Assistant removes an entity that comes with its platform alone, or whose own topic is emptied. It removes only what
it has discovered since its start. Leaving an entity out removes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.mqtt.broker.limits import BrokerLimits, fits
from daemon.mqtt.home_assistant.announcements import component_messages
from daemon.mqtt.home_assistant.devices import Components, DiscoveryPayload, discovery_topic, node_object
from daemon.mqtt.home_assistant.entity import with_ids
from daemon.mqtt.home_assistant.ledger import Device, Entity, Ledger, device_of, entities_of, gone
from daemon.mqtt.send_queue import Outbound

Wanted = Mapping[str, DiscoveryPayload]
Leaving = Mapping[Device, tuple[Entity, ...]]

# unloads the entities of a topic, and keeps their registry entries for another topic
MIGRATE = b'{"migrate_discovery": true}'

# The keys without which Home Assistant refuses an entity, besides `unique_id`. Other platforms need a state topic.
NEEDS = {
    "button": ("command_topic",),
    "event": ("state_topic", "event_types"),
    "image": ("image_topic",),
    "notify": ("command_topic",),
    "switch": ("command_topic",),
    "text": ("command_topic",),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the broker. A live one changes what Home Assistant shows now, not what the broker stores."""

    topic: str
    payload: bytes
    retain: bool = True

    def fits(self, limits: BrokerLimits) -> bool:
        """Return whether the broker takes it."""
        return fits(Outbound(self.topic, self.payload, qos=1, retain=self.retain), limits)


def announced(wanted: Wanted, limits: BrokerLimits) -> dict[str, bytes]:
    """Return what each topic is to hold: a device, or an entity where the broker does not take the whole device."""
    messages: dict[str, bytes] = {}
    for topic, payload in wanted.items():
        whole = payload.to_json()
        messages |= {topic: whole} if Message(topic, whole).fits(limits) else component_messages(topic, payload)
    return messages


def moving_topics(ledger: Ledger, wanted: Wanted, topics: Mapping[str, bytes]) -> list[str]:
    """Return the topics to give up whose entities go on under another topic of the same device."""
    kept = {own for topic, payload in wanted.items() for own in (topic, *component_messages(topic, payload))}
    return [topic for topic in ledger.retained if topic not in topics and topic in kept]


def removals(
    ledger: Ledger, wanted: Wanted, topics: Mapping[str, bytes], batch: Leaving, prefix: str, limits: BrokerLimits
) -> list[Message]:
    """Return the messages that remove what is gone, and that empty topics which nothing else uses.

    `batch` are the entities that were announced once more with the least config.
    """
    moving = moving_topics(ledger, wanted, topics)
    emptied = [topic for topic in ledger.retained if topic not in topics and topic not in moving]
    messages = [Message(topic, b"") for topic in emptied]
    for device, entities in gone(ledger, wanted).items():
        whole = discovery_topic(prefix, device)
        if whole in ledger.retained or whole not in wanted or whole in topics:
            alone = [(key, {"platform": platform}) for platform, key in map(_parts, entities)]
            messages += _live(whole, wanted.get(whole), alone, limits)
        if whole in wanted and whole not in topics:
            live = map(_parts, batch.get(device, ()))
            single = (f"{prefix}/{platform}/{device}/{key}/config" for platform, key in live)
            messages += [Message(topic, b"", retain=False) for topic in single if topic not in emptied]
    return messages


def least(
    ledger: Ledger, wanted: Wanted, topics: Mapping[str, bytes], batch: Leaving, prefix: str, limits: BrokerLimits
) -> list[Message]:
    """Return live messages that announce entities with the least config, so that Home Assistant can remove them.

    An entity that was in the node's device and in a stream's is announced in one of them, or Home Assistant logs an
    error. It is the device of the present layout, where the entity most likely was last.
    """
    taken = {entity for payload in wanted.values() for entity in entities_of(payload)}
    node_device = node_object(ledger.node)
    messages: list[Message] = []
    for device in sorted(batch, key=lambda device: (device == node_device) is ledger.per_stream):
        whole = discovery_topic(prefix, device)
        components = [_least(ledger.node, *_parts(entity)) for entity in batch[device] if entity not in taken]
        taken |= set(batch[device])
        if whole in wanted and whole not in topics:
            single = [_payload(whole, wanted.get(whole), {key: config}) for key, config in components]
            messages += [
                Message(*sent, retain=False) for one in single for sent in component_messages(whole, one).items()
            ]
        elif components:
            messages += _live(whole, wanted.get(whole), components, limits)
    return messages


def _parts(entity: Entity) -> tuple[str, str]:
    platform, _, key = entity.partition("/")
    return platform, key


def _least(node: str, platform: str, key: str) -> tuple[str, dict[str, Any]]:
    topic = f"perceptd/{node}/withdrawn"  # nobody publishes there
    needs = {name: ["none"] if name == "event_types" else topic for name in NEEDS.get(platform, ("state_topic",))}
    return key, with_ids(node, key, {"platform": platform} | needs)


def _live(
    topic: str, payload: DiscoveryPayload | None, components: list[tuple[str, dict[str, Any]]], limits: BrokerLimits
) -> list[Message]:
    """Return live messages of a device with these entities alone, each small enough for the broker."""
    message = Message(topic, _payload(topic, payload, dict(components)).to_json(), retain=False)
    are_different = len(dict(components)) == len(components)  # not of two platforms with one key
    if len(components) == 1 or (are_different and message.fits(limits)):
        return [message]
    half = len(components) // 2
    return _live(topic, payload, components[:half], limits) + _live(topic, payload, components[half:], limits)


def _payload(topic: str, payload: DiscoveryPayload | None, components: Components) -> DiscoveryPayload:
    device = device_of(topic)
    shared = {"identifiers": [device], "name": device} if payload is None else payload.device
    return DiscoveryPayload(device=shared, origin={"name": "perceptd"}, components=components)
