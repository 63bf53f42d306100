"""The devices that Home Assistant shows: what is known about a node, its streams and their labels. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

Components = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Label:
    """A label that makes events. `name` is the label itself, `shown_name` the text that people read.

    `shown` says whether its binary sensor is enabled by default. All but `name` and `taught` come from the bundle's
    `label_info`. `taught` says that somebody has taught the label to this node.
    """

    name: str
    shown_name: str | None = None
    kind: Literal["sound", "sight", "both"] | None = None
    device_class: str | None = None
    icon: str | None = None
    shown: bool = False
    taught: bool = False


@dataclass(frozen=True, slots=True)
class StreamDevice:
    """A stream as Home Assistant shows it. `devices` are `camera` and `microphone`, if they can be switched.

    `states` has the states of each group by its name. `has_snapshots`: snapshots of its events are published.
    """

    name: str
    shown_name: str | None
    area: str | None
    labels: Sequence[Label]
    devices: frozenset[str]
    takes_text: bool
    states: Mapping[str, Sequence[str]] = field(default_factory=dict)
    has_snapshots: bool = False


@dataclass(frozen=True, slots=True)
class NodeDevice:
    """A node as Home Assistant shows it. `prefix` is the topic prefix of discovery.

    `has_updates` says that its bundle can be replaced, `teachable` that it can be taught labels.
    """

    name: str
    version: str
    prefix: str
    has_updates: bool
    teachable: bool


class DiscoveryPayload(BaseModel):
    """The retained payload under `<prefix>/device/<object>/config`; Home Assistant defines the names of its fields."""

    model_config = ConfigDict(frozen=True)

    device: dict[str, Any]
    origin: dict[str, str]
    components: Components

    def to_json(self) -> bytes:
        """Return the payload as it is sent to the broker."""
        return self.model_dump_json().encode()


class ComponentPayload(RootModel[dict[str, Any]]):
    """The retained payload under `<prefix>/<platform>/<object>/<component>/config`: one entity, for small packets."""

    def to_json(self) -> bytes:
        """Return the payload as it is sent to the broker."""
        return self.model_dump_json().encode()


def object_id(name: str) -> str:
    """Return a name in the characters of discovery topics and entity ids; different names give different ids."""
    safe = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    return safe if safe == name else f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def node_object(node: str) -> str:
    """Return the identifier of a node's device, which is also the object id of its discovery topic."""
    return f"perceptd_{object_id(node)}"


def stream_object(node: str, stream: str) -> str:
    """Return the identifier of a stream's own device, which is also the object id of its discovery topic."""
    # no name has a slash, so that node `a_b` with stream `c` differs from node `a` with stream `b_c`
    return f"perceptd_{object_id(f'{node}/{stream}')}"


def discovery_topic(prefix: str, device: str) -> str:
    """Return the topic under which a device is announced; `device` is its object id."""
    return f"{prefix}/device/{device}/config"
