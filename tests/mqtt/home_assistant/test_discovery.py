"""Discovery: the templates, rendered as Home Assistant renders them, give the right values from real payloads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import pytest
from daemon.mqtt.home_assistant.discovery import (
    MAX_LABEL_SENSORS,
    DiscoveryPayload,
    StreamEntities,
    discovery_payload,
    discovery_topic,
    object_id,
    platforms,
)
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.commands import DeviceArguments, Request, parse_arguments
from daemon.mqtt.payloads import state_payload
from tests.mqtt.records import event

TIME = "2026-01-31T12:00:04.300110Z"
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="+#/$"), min_size=1, max_size=20
)


def rendered(template: str, payload: bytes) -> str:
    """The value that Home Assistant gets from a value_template."""
    return jinja2.Environment().from_string(template).render(value_json=json.loads(payload))


def discovery(
    streams: Sequence[StreamEntities], gone: Mapping[str, str] | None = None, node: str = "node", version: str = "1.0"
) -> DiscoveryPayload:
    return discovery_payload(node, version, streams, gone or {}, has_updates=False)


def entities(*streams: StreamEntities) -> dict[str, dict[str, Any]]:
    return discovery(streams).components


DOOR = StreamEntities("door", ["7", "8"], frozenset({"camera", "microphone"}))


def test_sensors_show_what_is_open() -> None:
    found = entities(DOOR)
    nothing = state_payload(label=None, score=None, since=TIME).to_json()
    both = state_payload(label="7", score=0.91, since=TIME, open_labels=["7", "8"]).to_json()
    one = state_payload(label="8", score=0.5, since=TIME, open_labels=["8"]).to_json()
    values = [
        [rendered(found[f"door_{key}"]["value_template"], payload) for key in ("label", "label_7", "label_8")]
        for payload in (nothing, both, one)
    ]
    assert values == [["none", "OFF", "OFF"], ["7", "ON", "ON"], ["8", "OFF", "ON"]]
    assert float(rendered(found["door_score"]["value_template"], both)) == pytest.approx(91)
    assert float(rendered(found["door_score"]["value_template"], nothing)) == 0


def test_the_event_entity_gets_one_of_its_types() -> None:
    entity = entities(DOOR)["door_event"]
    shown = json.loads(rendered(entity["value_template"], event(7).to_json()))
    assert shown["event_type"] in entity["event_types"]
    assert (shown["label"], shown["score"], shown["ended_by"]) == ("7", 0.9, None)


@pytest.mark.parametrize(("is_open", "shown"), [(True, "ON"), (False, "OFF"), (None, "OFF")])
def test_a_switch_shows_whether_the_device_is_open_and_asks_what_can_be_obeyed(
    is_open: bool | None, shown: str
) -> None:
    found = entities(DOOR)
    for device in ("camera", "microphone"):
        switch = found[f"door_{device}"]
        health = json.dumps({"streams": {"door": {device: is_open, "available": True}}}).encode()
        assert rendered(switch["value_template"], health) == shown
        for payload, on in ((switch["payload_on"], True), (switch["payload_off"], False)):
            order = parse_arguments(Request(switch["command_topic"].rpartition("/")[2], payload.encode()))
            assert order == DeviceArguments(stream="door", on=on)


@pytest.mark.parametrize(("available", "shown"), [(True, "online"), (False, "offline")])
def test_a_stream_is_available_when_the_node_is_and_the_stream_is(available: bool, shown: str) -> None:
    sensor = entities(DOOR)["door_label"]
    node, stream = sensor["availability"]
    assert (node["topic"], sensor["availability_mode"]) == ("perceptd/node/availability", "all")
    health = json.dumps({"streams": {"door": {"available": available}}}).encode()
    assert rendered(stream["value_template"], health) == shown


@given(NAMES, NAMES, NAMES)
def test_names_of_any_kind_reach_templates_and_commands_unharmed(node: str, stream: str, label: str) -> None:
    found = discovery([StreamEntities(stream, [label], frozenset({"camera"}))], node=node)
    key = object_id(stream)
    sensor = found.components[f"{key}_label_{object_id(label)}"]
    state = state_payload(label=label, score=1, since=TIME, open_labels=[label]).to_json()
    assert rendered(sensor["value_template"], state) == "ON"
    switch = found.components[f"{key}_camera"]
    assert rendered(switch["value_template"], json.dumps({"streams": {stream: {"camera": True}}}).encode()) == "ON"
    assert parse_arguments(Request("camera", switch["payload_on"].encode())) == DeviceArguments(stream=stream, on=True)
    for part in discovery_topic("homeassistant", node).split("/")[2:]:
        assert part.replace("_", "").replace("-", "").isascii()
        assert part.replace("_", "").replace("-", "").isalnum()


@given(st.lists(NAMES, unique=True, min_size=2, max_size=8))
def test_different_names_have_different_ids(names: list[str]) -> None:
    assert len({object_id(name) for name in names}) == len(names)


def test_a_removed_component_is_listed_with_its_platform_alone() -> None:
    before = discovery([DOOR, StreamEntities("yard", [], frozenset())])
    after = discovery([StreamEntities("door", ["7"], frozenset())], platforms(before), version="1.1")
    removed = {key for key, component in after.components.items() if set(component) == {"platform"}}
    assert removed == {"door_label_8", "door_camera", "door_microphone", "yard_label", "yard_score", "yard_event"}
    assert platforms(after) == platforms(before)
    again = discovery([DOOR], platforms(after), version="1.2")
    assert set(again.components["door_camera"]) > {"platform", "command_topic"}


def test_a_bundle_of_many_labels_gets_no_sensor_for_each() -> None:
    many = StreamEntities("s", [str(n) for n in range(MAX_LABEL_SENSORS + 1)], frozenset())
    assert not [key for key in entities(many) if "_label_" in key]
    assert (
        len([key for key in entities(StreamEntities("s", many.labels[:-1], frozenset())) if "_label_" in key])
        == MAX_LABEL_SENSORS
    )


def test_every_entity_has_another_id() -> None:
    ids = [component["unique_id"] for component in entities(DOOR, StreamEntities("yard", ["7"], frozenset())).values()]
    assert len(set(ids)) == len(ids)
