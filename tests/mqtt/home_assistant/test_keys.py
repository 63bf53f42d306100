"""Every payload has only keys and values that Home Assistant takes, in every release from 2025.4 to 2026.11."""

import json
from typing import Any

import pytest
from contracts import PLATFORMS
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.home_assistant.announcements import announcements, component_messages
from daemon.mqtt.home_assistant.devices import DiscoveryPayload, Label, StreamDevice, object_id
from daemon.mqtt.home_assistant.label_entities import MAX_LABEL_SENSORS
from tests.mqtt.home_assistant.checking import component_faults, device_faults, message_faults, shared_faults
from tests.mqtt.home_assistant.nodes import BOTH, node, stream

INFO = Label("dog bark", "Hundegebell", "sound", "sound", "mdi:dog", shown=True)
ODD = ['"', "'", "}}", "{% raw %}", "\\", "ü", "犬", "a\u2028b", "<b>&", "none", " x ", "~", "🐕" * 64]
HEADER = 12  # bytes of a PUBLISH packet besides topic and payload, at most
LAYOUTS = pytest.mark.parametrize("per_stream", [True, False])

STREAMS: dict[str, list[StreamDevice]] = {
    "none": [],
    "one": [stream()],
    "shown": [stream(labels=[INFO, "7"], shown_name="Front “door”", area="Entrance")],
    "bare": [stream(labels=["7"], devices=frozenset(), takes_text=False)],
    "odd": [stream(name, [Label(label, label) for label in ODD]) for name in ("'", '"', "ü", "a{b}", "\\")],
    "many streams": [stream(f"s{number}") for number in range(64)],
    "many labels": [stream(labels=[f"l{number}" for number in range(MAX_LABEL_SENSORS + 1)])],
    "wrong class": [stream(labels=[Label("a", device_class="no_such_class"), Label("b", device_class="glass_break")])],
}


def checked(payloads: dict[str, DiscoveryPayload]) -> list[str]:
    """Return the faults of all payloads, whole and as one message per entity, and of ids that are there twice."""
    faults: list[str] = []
    for topic, payload in payloads.items():
        faults += device_faults(topic, payload.to_json())
        for component_topic, message in component_messages(topic, payload).items():
            faults += message_faults(component_topic, message)
    ids = [component["unique_id"] for payload in payloads.values() for component in payload.components.values()]
    return faults + [f"{unique} is there twice" for unique in {unique for unique in ids if ids.count(unique) > 1}]


@LAYOUTS
@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
def test_every_payload_has_todays_keys(streams: list[StreamDevice], per_stream: bool) -> None:
    assert not checked(announcements(node("Küche 7"), streams, per_stream=per_stream))


def test_a_label_without_a_name_to_show_is_read_as_words() -> None:
    labels = [Label("baby_crying"), Label("fire_alarm", "Rauchmelder"), Label("_")]
    payloads = announcements(node("hall"), [stream(labels=labels)], per_stream=True).values()
    components = [component for payload in payloads for component in payload.components.values()]
    names = [component["name"] for component in components if component["platform"] == "binary_sensor"]
    assert {"Baby crying", "Rauchmelder", "_"} <= set(names)


@LAYOUTS
def test_the_longest_names_make_payloads_that_are_taken(per_stream: bool) -> None:
    longest = "ü" * 64
    streams = [stream(longest, [longest], shown_name=longest, area=longest)]
    assert not checked(announcements(node(longest), streams, per_stream=per_stream))


NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="+#/$"), min_size=1, max_size=20
)
LABELS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=64)


@LAYOUTS
@given(NAMES, st.lists(NAMES, unique=True, max_size=3), st.lists(LABELS, unique=True, min_size=1, max_size=4))
def test_names_of_any_kind_make_payloads_that_are_taken(
    per_stream: bool, name: str, names: list[str], labels: list[str]
) -> None:
    streams = [stream(each, labels, shown_name=name, area=name) for each in names]
    assert not checked(announcements(node(name), streams, per_stream=per_stream))


def test_ids_of_labels_that_are_those_of_other_entities_get_another_end() -> None:
    streams = [stream("door", ["label", "score", "7"]), stream("door_label", ["7"]), stream("door_label_label", ["7"])]
    payloads = announcements(node(), streams, per_stream=True)
    assert not checked(payloads)
    assert "door_label_7" in payloads[list(payloads)[1]].components


def test_devices_of_different_nodes_and_streams_differ() -> None:
    found = [announcements(node(name), [stream(each)], per_stream=True) for name, each in (("a_b", "c"), ("a", "b_c"))]
    assert not set(found[0]) & set(found[1])


def component(**fields: Any) -> dict[str, Any]:
    ids = {"unique_id": "u", "object_id": "u", "default_entity_id": "sensor.u", "platform": "sensor"}
    return ids | {"state_topic": "perceptd/hall/door/state"} | fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"value_tmplate": "x"},
        {"entity_category": "config"},
        {"device_class": "motion"},
        {"options": ["a"]},
        {"options": ["a"], "device_class": "enum", "unit_of_measurement": "s"},
        {"options": ["a"], "device_class": "enum", "state_class": "measurement"},
        {"options": [], "device_class": "enum"},
        {"device_class": "duration", "unit_of_measurement": "%"},
        {"state_topic": "perceptd/+/state"},
        {"qos": 3},
        {"icon": "dog"},
        {"enabled_by_default": "no"},
        {"default_entity_id": "u"},
        {"availability": [{"topic": "t", "payload_on": "online"}]},
    ],
)
def test_the_check_finds_what_home_assistant_refuses_or_ignores(wrong: dict[str, Any]) -> None:
    assert not component_faults(component())
    assert component_faults(component(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": {"identifiers": ["d"], "child_devices": []}},
        {"device": {"identifiers": []}},
        {"device": {"identifiers": ["d"], "configuration_url": "perceptd"}},
        {"origin": {"sw_version": "1"}},
        {"origin": {"name": "perceptd", "url": "https://perceptd.example"}},
    ],
)
def test_the_check_finds_keys_that_make_home_assistant_refuse_everything(wrong: dict[str, Any]) -> None:
    shared = {"device": {"identifiers": ["d"]}, "origin": {"name": "perceptd"}}
    assert not shared_faults(shared)
    assert shared_faults(shared | wrong)


def test_small_packets_hold_every_entity_of_a_stream() -> None:
    streams = [stream("front_door", [str(number) for number in range(10)], shown_name="Front door", area="Entrance")]
    for topic, payload in announcements(node("living_room"), streams, per_stream=True).items():
        messages = component_messages(topic, payload)
        assert len(messages) == len(payload.components)
        assert max(HEADER + len(topic) + len(message) for topic, message in messages.items()) <= 1500
        for key, entity in payload.components.items():
            message = json.loads(messages[f"homeassistant/{entity['platform']}/{topic.split('/')[2]}/{key}/config"])
            assert (message["unique_id"], message["dev"]) == (entity["unique_id"], payload.device)


def test_a_component_that_goes_is_an_empty_message_in_small_packets() -> None:
    topic, payload = next(iter(announcements(node(), [], per_stream=True).items()))
    gone = payload.model_copy(update={"components": {"door_text": {"platform": "text"}}})
    assert component_messages(topic, gone) == {"homeassistant/text/perceptd_hall/door_text/config": b""}


@given(st.lists(NAMES, unique=True, min_size=2, max_size=8))
def test_different_names_have_different_ids(names: list[str]) -> None:
    assert len({object_id(name) for name in names}) == len(names)


def test_nothing_is_announced_that_has_no_use() -> None:
    bare = stream(devices=frozenset(), takes_text=False, has_snapshots=False)
    assert set(
        announcements(node(has_updates=False, teachable=False), [bare], per_stream=False).popitem()[1].components
    ) == {
        *("connectivity", "health", "bundle", "latency"),
        *("door_event", "door_label", "door_last", "door_score", "door_label_dog", "door_label_7"),
    }
    assert {"door_camera", "door_microphone", "door_text", "door_snapshot"} <= set(
        announcements(node(), [stream(devices=BOTH)], per_stream=False).popitem()[1].components
    )


def test_the_documents_of_docs_mqtt_know_every_platform() -> None:
    payloads = announcements(node(), [stream()], per_stream=True).values()
    found = {component["platform"] for payload in payloads for component in payload.components.values()}
    assert sorted(found) == PLATFORMS
