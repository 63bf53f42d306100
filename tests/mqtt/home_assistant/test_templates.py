"""The templates, rendered as Home Assistant renders them, give the right values from real payloads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.commands import DeviceArguments, Request, parse_arguments
from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.devices import Label, object_id
from daemon.mqtt.home_assistant.label_entities import MAX_LABEL_SENSORS
from tests.helpers.home_assistant import rendered
from tests.mqtt.home_assistant.nodes import SHARES, components, node, state, status, step, stream
from tests.mqtt.home_assistant.test_keys import NAMES

PAYLOADS = ("payload_install", "payload_press", "payload_on", "payload_off")


def test_sensors_show_what_is_open() -> None:
    found = components(stream(labels=["7", "8"]))
    payloads = [state(), state("7", 0.914, ["7", "8"]), state("8", 0.5, ["8"])]
    keys = ("door_label", "door_label_7", "door_label_8", "door_score")
    values = [[rendered(found[key]["value_template"], payload) for key in keys] for payload in payloads]
    assert values == [["none", "OFF", "OFF", "None"], ["7", "ON", "ON", "91"], ["8", "OFF", "ON", "50"]]


def test_the_label_stays_while_its_event_is_open() -> None:
    label = components(stream(labels=["7", "8"]))["door_label"]
    stronger = state("8", 0.9, ["7", "8"])
    assert rendered(label["value_template"], stronger, state="7") == "7"
    assert rendered(label["value_template"], stronger, state="none") == "8"
    assert rendered(label["value_template"], state("8", 0.9, ["8"]), state="7") == "8"
    assert json.loads(rendered(label["json_attributes_template"], stronger)) == {"open": ["7", "8"]}


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (["7", "8"], ["7", "8", "none"]),
        (["none", "7"], ["none", "7", "no none"]),
        (["none", "no none"], ["none", "no none", "no no none"]),
        ([" dog ", "dog"], ["dog", "none"]),
    ],
)
def test_the_states_of_the_label_sensor_are_known_and_tell_idle_from_every_label(
    labels: list[str], options: list[str]
) -> None:
    label = components(stream(labels=labels))["door_label"]
    assert label["options"] == options
    assert rendered(label["value_template"], state()) == options[-1]
    for each in labels:
        assert rendered(label["value_template"], state(each, 1, [each])) == each.strip()


def test_an_event_is_fired_at_the_start_with_its_label() -> None:
    event = components(stream())["door_event"]
    assert event["event_types"] == ["dog", "7"]
    fields = json.loads(rendered(event["value_template"], step("start")))
    assert fields == {
        "event_type": "dog",
        "id": f"{1:032x}",
        "score": 0.9,
        "started": "2026-01-31T12:00:04.300110Z",
    }
    assert [rendered(event["value_template"], step(phase)) for phase in ("update", "end")] == ["", ""]


def test_the_figures_of_a_presence_come_with_its_end() -> None:
    last = components(stream())["door_last"]
    end = step("end", duration_s=3.25)
    assert rendered(last["value_template"], end) == "3.25"
    assert json.loads(rendered(last["json_attributes_template"], end)) == {
        "label": "dog",
        "id": f"{1:032x}",
        "started": "2026-01-31T12:00:04.300110Z",
        "duration_s": 3.25,
        "peak": 0.9,
        "shares": SHARES,
        "ended_by": "absent",
    }
    before = {"label": "cat", "peak": 0.8, "friendly_name": "Door last presence"}
    for phase in ("start", "update"):
        assert rendered(last["value_template"], step(phase)) == ""
        kept = rendered(last["json_attributes_template"], step(phase), attributes=before)
        assert json.loads(kept) == {"label": "cat", "peak": 0.8}


@pytest.mark.parametrize(("is_open", "shown"), [(True, "ON"), (False, "OFF"), (None, "OFF")])
def test_a_switch_shows_whether_the_device_is_open_and_asks_what_can_be_obeyed(
    is_open: bool | None, shown: str
) -> None:
    found = components(stream())
    for device in ("camera", "microphone"):
        switch = found[f"door_{device}"]
        assert rendered(switch["value_template"], status(**{device: is_open})) == shown
        assert switch["availability"] == found["models"]["availability"]
        for payload, on in ((switch["payload_on"], True), (switch["payload_off"], False)):
            order = parse_arguments(Request(switch["command_topic"].rpartition("/")[2], payload.encode()))
            assert order == DeviceArguments(stream="door", on=on)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(status(), "online"), (status(available=False), "offline"), (status(["yard"]), "offline")],
    ids=["available", "not available", "unknown"],
)
def test_a_stream_is_available_when_the_node_is_and_the_stream_is(payload: bytes, shown: str) -> None:
    sensor = components(stream())["door_label"]
    of_node, of_stream = sensor["availability"]
    words = {"payload_available": "online", "payload_not_available": "offline"}
    assert (of_node, sensor["availability_mode"]) == ({"topic": "perceptd/hall/availability"} | words, "all")
    assert of_stream["topic"] == "perceptd/hall/status"
    assert rendered(of_stream["value_template"], payload) == shown


def test_the_node_shows_its_status() -> None:
    found = components()
    of_node = {"status": "degraded", "reason": "door: camera 0: there is no /dev/video0", "models_problem": "timed out"}
    bad, well = status(of_node=of_node), status()
    health, problem = found["health"], found["models_problem"]
    assert rendered(health["value_template"], bad) == "degraded"
    attributes = json.loads(rendered(health["json_attributes_template"], bad))
    assert attributes == {"reason": of_node["reason"], "version": "1.0"}
    assert [rendered(problem["value_template"], payload) for payload in (bad, well)] == ["ON", "OFF"]
    assert json.loads(rendered(problem["json_attributes_template"], bad)) == {"reason": "timed out"}
    assert rendered(found["bundle"]["value_template"], well) == "digits@0.4.0"
    latency = [json.dumps({"latency_ms": {"p50": p50}}).encode() for p50 in (6.2, None)]
    assert [rendered(found["latency"]["value_template"], payload) for payload in latency] == ["6.2", "None"]


def test_home_assistant_reads_health_for_the_latency_alone() -> None:
    found = components(stream())
    readers = [key for key, component in found.items() if "/health" in json.dumps(component)]
    assert readers == ["latency"]
    assert found["latency"]["enabled_by_default"] is False


def test_what_is_enabled_by_default() -> None:
    found = components(stream(labels=[Label("dog", shown=True), Label("7")]))
    disabled = {key for key, component in found.items() if component.get("enabled_by_default") is False}
    assert disabled == {"bundle", "latency", "door_score", "door_label_7"}
    diagnostics = {key for key, component in found.items() if component.get("entity_category") == "diagnostic"}
    assert diagnostics - disabled == {"connectivity", "health"}


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (Label("dog"), {}),
        (Label("dog", kind="sound"), {"device_class": "sound"}),
        (Label("dog", kind="sight"), {"device_class": "occupancy"}),
        (Label("dog", kind="both", device_class="motion"), {"device_class": "motion"}),
        (Label("dog", kind="sound", device_class="unknown_class"), {}),
        (Label("dog", icon="mdi:dog"), {"icon": "mdi:dog"}),
    ],
)
def test_a_label_has_the_class_and_icon_of_the_bundle(label: Label, shown: dict[str, str]) -> None:
    sensor = components(stream(labels=[label]))["door_label_dog"]
    assert {key: sensor[key] for key in ("device_class", "icon") if key in sensor} == shown


def test_labels_are_shown_under_their_names_and_known_by_themselves() -> None:
    found = components(stream(labels=[Label("dog", "Hund")]), per_stream=True)
    assert found["door_label_dog"]["name"] == "Hund"
    assert found["door_event"]["event_types"] == ["dog"]
    assert found["door_label"]["options"] == ["dog", "none"]
    assert rendered(found["door_label_dog"]["value_template"], state("dog", 1, ["dog"])) == "ON"


def test_a_stream_that_takes_text_has_a_text_entity_that_sends_some() -> None:
    text = components(stream())["door_text"]
    assert (text["command_topic"], text["min"], text["max"]) == ("perceptd/hall/door/text", 1, 255)
    assert "door_text" not in components(stream(takes_text=False))


def test_commands_are_never_empty_and_expire() -> None:
    found = components(stream())
    senders = {key: component for key, component in found.items() if "command_topic" in component}
    assert set(senders) == {
        *("models", "models_check", "models_rollback", "models_pin"),
        *("door_camera", "door_microphone", "door_text", "door_teach", "door_teach_wrong", "door_teach_missed"),
        *("teaching_next", "answer_right", "answer_wrong", "answer_was"),
    }
    for component in senders.values():
        assert (component["message_expiry_interval"], component["qos"]) == (30, 1)
        payloads = [component[key] for key in PAYLOADS if key in component]
        assert all(payloads)
        assert payloads or component["min"] > 0 or "command_template" in component


@given(NAMES, NAMES, NAMES)
def test_names_of_any_kind_reach_templates_and_commands_unharmed(name: str, of_stream: str, label: str) -> None:
    found = components(stream(of_stream, [label]), name=name)
    key = object_id(of_stream)
    payload = state(label, 1, [label])
    assert rendered(found[f"{key}_label_{object_id(label)}"]["value_template"], payload) == "ON"
    assert rendered(found[f"{key}_label"]["value_template"], payload) == label.strip()
    switch = found[f"{key}_camera"]
    assert rendered(switch["value_template"], status([of_stream])) == "ON"
    assert parse_arguments(Request("camera", switch["payload_on"].encode())) == DeviceArguments(
        stream=of_stream, on=True
    )
    available = found[f"{key}_label"]["availability"][1]["value_template"]
    assert rendered(available, status([of_stream])) == "online"


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=64))
def test_labels_of_any_kind_are_event_types(label: str) -> None:
    event = components(stream(labels=[label]))["door_event"]
    assert json.loads(rendered(event["value_template"], step("start", label)))["event_type"] == event["event_types"][0]


def test_a_bundle_of_many_labels_gets_no_sensor_for_each() -> None:
    many = [f"{number}" for number in range(MAX_LABEL_SENSORS + 1)]
    counts = [
        len([key for key in components(stream(labels=labels)) if "_label_" in key]) for labels in (many, many[:-1])
    ]
    assert counts == [0, MAX_LABEL_SENSORS]


def test_every_entity_has_another_id() -> None:
    payloads = announcements(node(), [stream(), stream("yard", ["7"])], per_stream=True).values()
    ids = [component["unique_id"] for payload in payloads for component in payload.components.values()]
    assert len(set(ids)) == len(ids)
