"""Nodes and streams as they are announced, and the messages that such a node publishes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.devices import DiscoveryPayload, Label, NodeDevice, StreamDevice
from daemon.mqtt.payloads import EventPayload, state_payload
from tests.mqtt.records import event

TIME = "2026-01-31T12:00:04.300110Z"
SHARES = {"image": 0.6, "audio": 0.4}
BOTH = frozenset({"camera", "microphone"})


def node(
    name: str = "hall", *, has_updates: bool = True, prefix: str = "homeassistant", teachable: bool = True
) -> NodeDevice:
    return NodeDevice(name, "1.0", prefix, has_updates, teachable)


def stream(
    name: str = "door",
    labels: Iterable[Label | str] = ("dog", "7"),
    *,
    devices: frozenset[str] = BOTH,
    takes_text: bool = True,
    shown_name: str | None = None,
    area: str | None = None,
    has_snapshots: bool = True,
) -> StreamDevice:
    all_labels = [Label(label) if isinstance(label, str) else label for label in labels]
    return StreamDevice(name, shown_name, area, all_labels, devices, takes_text, has_snapshots=has_snapshots)


def components(*streams: StreamDevice, per_stream: bool = False, **of_node: Any) -> dict[str, dict[str, Any]]:
    """Return all entities of a node by their key."""
    payloads = announcements(node(**of_node), streams, per_stream=per_stream).values()
    return {key: component for payload in payloads for key, component in payload.components.items()}


def payloads_of(*streams: StreamDevice, per_stream: bool = True) -> list[DiscoveryPayload]:
    return list(announcements(node(), streams, per_stream=per_stream).values())


def status(streams: Sequence[str] = ("door",), *, of_node: dict[str, Any] | None = None, **of_stream: Any) -> bytes:
    """Return a status message in which every stream is well, but for these fields."""
    well = {"available": True, "paused": False, "reason": None, "camera": True, "microphone": True}
    payload = {
        "schema": 1,
        "node": "hall",
        "status": "ok",
        "reason": None,
        "version": "1.0",
        "bundle": "digits@0.4.0",
        "models_problem": None,
        "streams": dict.fromkeys(streams, well | of_stream),
    }
    return json.dumps(payload | (of_node or {})).encode()


def state(label: str | None = None, score: float | None = None, open_labels: Sequence[str] = ()) -> bytes:
    return state_payload(label=label, score=score, since=TIME, open_labels=open_labels).to_json()


def step(phase: str, label: str = "dog", number: int = 1, **fields: Any) -> bytes:
    """Return the message of one step of an event."""
    payload: EventPayload = event(number, phase).model_copy(update={"label": label, "stream": "door"} | fields)
    return json.dumps(json.loads(payload.to_json()) | {"shares": SHARES}).encode()
