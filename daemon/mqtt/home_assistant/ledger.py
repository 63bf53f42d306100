"""The ledger: what a node has announced to Home Assistant, until it is known to be gone. Pure."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from daemon.mqtt.home_assistant.devices import DiscoveryPayload, discovery_topic, node_object

# in the state directory of the node
FILE_NAME = "announced.json"

# A node of 64 streams with 50 labels has 4,000 entities. With the longest names each has 170 bytes, and a topic of 400
# bytes where the broker takes small packets only. There are twice as many while all of them change.
MAX_BYTES = 8_000_000

# More entities that are gone are not remembered. A bundle has at most 50 for each stream.
MAX_GONE = 4_000

# Home Assistant refuses a whole message for one platform that it does not know.
PLATFORM = "(binary_sensor|button|event|image|sensor|switch|text|update)"
ENTITY = rf"{PLATFORM}/[A-Za-z0-9_-]{{1,300}}"
DEVICE = r"perceptd_[A-Za-z0-9_-]{1,200}"
TOPIC = rf"^[^+#/\x00-\x20]{{1,64}}/(device/{DEVICE}|{PLATFORM}/{DEVICE}/[A-Za-z0-9_-]{{1,300}})/config$"

Device = Annotated[str, Field(pattern=f"^{DEVICE}$")]
# the platform and the key of an entity, which make its unique id
Entity = Annotated[str, Field(pattern=f"^{ENTITY}$")]
Topic = Annotated[str, Field(pattern=TOPIC)]

# the file of perceptd 0.3.0: the platform of each key of the one device
_OldKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,300}$")]
_OldFile = RootModel[dict[_OldKey, Annotated[str, Field(pattern=f"^{PLATFORM}$")]]]


class Ledger(BaseModel):
    """What may be in Home Assistant, and at the broker.

    `entities` has those of each device, `retained` the topics that may hold an announcement. `per_stream` says whether
    each stream is a device. `is_confirmed` says that the broker has taken an announcement at least once.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[2] = 2
    node: str
    per_stream: bool = True
    is_confirmed: bool = False
    entities: dict[Device, tuple[Entity, ...]] = {}
    retained: tuple[Topic, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to withdraw."""
        return not self.entities and not self.retained

    def to_json(self) -> bytes:
        """Return the content of the file."""
        return self.model_dump_json().encode()


def parse(content: bytes, node: str, prefix: str) -> Ledger:
    """Return what a file says about a node; `prefix` is where perceptd 0.3.0 announced it. Raises ValidationError."""
    try:
        ledger = Ledger.model_validate_json(content)
    except ValidationError as error:
        try:
            old = _OldFile.model_validate_json(content).root
        except ValidationError:
            raise error from None
        device = node_object(node)
        entities = {device: tuple(f"{platform}/{key}" for key, platform in old.items())}
        ledger = Ledger(
            node=node,
            per_stream=False,
            is_confirmed=True,
            entities=entities if old else {},
            retained=(discovery_topic(prefix, device),),
        )
    # the entities of another name are not withdrawn one by one: another device may have that name now
    return ledger if ledger.node == node else ledger.model_copy(update={"node": node, "entities": {}})


def entities_of(payload: DiscoveryPayload) -> tuple[Entity, ...]:
    """Return the entities of a device."""
    return tuple(f"{component['platform']}/{key}" for key, component in payload.components.items())


def device_of(topic: str) -> str:
    """Return the device whose announcement a device topic holds."""
    return topic.rsplit("/", 2)[1]


def with_wanted(ledger: Ledger, wanted: Mapping[str, DiscoveryPayload], topics: Iterable[str]) -> Ledger:
    """Return the ledger with what is about to be announced, by the topics of the devices; `topics` hold it."""
    entities = dict(ledger.entities)
    for topic, payload in wanted.items():
        device = device_of(topic)
        entities[device] = tuple(dict.fromkeys((*entities.get(device, ()), *entities_of(payload))))
    return ledger.model_copy(
        update={"entities": entities, "retained": tuple(dict.fromkeys((*ledger.retained, *topics)))}
    )


def gone(ledger: Ledger, wanted: Mapping[str, DiscoveryPayload]) -> dict[Device, tuple[Entity, ...]]:
    """Return the entities of each device that were announced for it and are not wanted there."""
    kept = {device_of(topic): frozenset(entities_of(payload)) for topic, payload in wanted.items()}
    found = {
        device: tuple(entity for entity in entities if entity not in kept.get(device, ()))
        for device, entities in ledger.entities.items()
    }
    return {device: entities for device, entities in found.items() if entities}


def without(ledger: Ledger, forgotten: Mapping[Device, Iterable[Entity]]) -> Ledger:
    """Return the ledger without entities that are known to be gone."""
    left = {
        device: tuple(entity for entity in entities if entity not in frozenset(forgotten.get(device, ())))
        for device, entities in ledger.entities.items()
    }
    return ledger.model_copy(update={"entities": {device: entities for device, entities in left.items() if entities}})


def bounded(ledger: Ledger, wanted: Mapping[str, DiscoveryPayload], most: int = MAX_GONE) -> tuple[Ledger, int]:
    """Return the ledger with at most this many unwanted entities, and how many of the oldest were dropped."""
    pairs = [(device, entity) for device, entities in gone(ledger, wanted).items() for entity in entities]
    excess: dict[Device, list[Entity]] = {}
    for device, entity in pairs[: max(0, len(pairs) - most)]:
        excess.setdefault(device, []).append(entity)
    return without(ledger, excess), sum(map(len, excess.values()))
