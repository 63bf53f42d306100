"""Entities that teach a node: what they show and send, and what is asked of Home Assistant's recorder."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.taught import MAX_TAUGHT
from daemon.mqtt.commands import (
    Arguments,
    InvalidCommand,
    Request,
    TeachAnswerArguments,
    TeachArguments,
    TeachLabelArguments,
    TeachWrongArguments,
    parse_arguments,
)
from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.devices import Label
from daemon.mqtt.home_assistant.label_entities import MAX_LABEL_SENSORS
from daemon.mqtt.teaching_payloads import PlacePart, TeachingPayload
from tests.fakes.teaching import question, taught, teaching
from tests.helpers.home_assistant import HomeAssistant, compiled, rendered
from tests.mqtt.home_assistant.nodes import components, node, payloads_of, stream
from tests.mqtt.home_assistant.test_keys import NAMES

ENTITIES = components(stream())
TOPIC = "perceptd/hall/teaching"

# Home Assistant's recorder leaves out the attributes of a state beyond this size.
MAX_ATTRIBUTES = 16_384


def sent(key: str, value: str, asked: TeachingPayload | None = None) -> Arguments:
    """Return the command that an entity with a command template sends, after it has received a payload."""
    entity = ENTITIES[key]
    attributes = {} if asked is None else json.loads(rendered(entity["json_attributes_template"], asked.to_json()))
    payload = compiled(entity["command_template"]).render(value=value, this=SimpleNamespace(attributes=attributes))
    return parse_arguments(Request(entity["command_topic"].rpartition("/")[2], payload.encode()))


def shown(key: str, payload: TeachingPayload, template: str = "value_template") -> str:
    return rendered(ENTITIES[key][template], payload.to_json())


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/+#"), min_size=1, max_size=64))
def test_what_is_typed_becomes_the_label_of_the_next_teach(text: str) -> None:
    try:
        expected = TeachLabelArguments(label=text)
    except ValueError:  # such as blanks alone
        with pytest.raises(InvalidCommand):
            sent("teaching_next", text)
    else:
        assert sent("teaching_next", text) == expected


def test_the_text_shows_the_label_of_the_next_teach_and_is_empty_before() -> None:
    payloads = (teaching(), teaching(next_label="kettle boils"))
    assert [shown("teaching_next", payload) for payload in payloads] == ["", "kettle boils"]
    assert (ENTITIES["teaching_next"]["min"], ENTITIES["teaching_next"]["max"]) == (0, 64)


@given(NAMES)
def test_the_buttons_of_a_stream_send_what_can_be_obeyed(name: str) -> None:
    found = announcements(node(), [stream(name)], per_stream=True)
    buttons = [
        component
        for payload in found.values()
        for component in payload.components.values()
        if component["platform"] == "button" and "payload_press" in component and "availability_mode" in component
    ]
    commands = [
        parse_arguments(Request(button["command_topic"].rpartition("/")[2], button["payload_press"].encode()))
        for button in buttons
        if "command_template" not in button
    ]
    assert commands == [TeachArguments(stream=name), TeachWrongArguments(stream=name), TeachArguments(stream=name)]


def test_the_sensor_says_in_words_what_was_taught() -> None:
    places = {"kitchen": PlacePart(background=12, needed=30), "yard": PlacePart(background=30, needed=30)}
    payload = teaching(taught(), taught('a "b" {{', text="x" * 200), text="y" * 500, places=places)
    assert shown("teaching", payload) == "y" * 255
    assert json.loads(shown("teaching", payload, "json_attributes_template")) == {
        "labels": {"kettle boils": "5 presses, ready, heard in 5 of 5", 'a "b" {{': "x" * 100},
        "places": {"kitchen": "12 of 30", "yard": "known"},
        "bundle": "home@1.0.0+taught.3",
    }


def test_the_attributes_of_as_many_labels_as_there_can_be_are_recorded() -> None:
    labels = [taught(f"{number:03d}" + "x" * 40, text="y" * 500) for number in range(MAX_TAUGHT)]
    assert len(shown("teaching", teaching(*labels), "json_attributes_template")) < MAX_ATTRIBUTES


def test_growing_background_of_a_known_place_changes_nothing() -> None:
    home = HomeAssistant(payloads_of(stream()), disabled_too=True)
    home.receive("perceptd/hall/availability", b"online", retained=True)
    changed = []
    for count in (29, 30, 31, 2000):
        home.changes.clear()
        payload = teaching(taught(), places={"door": PlacePart(background=count, needed=30)}, question=question())
        home.receive(TOPIC, payload.to_json(), retained=True)
        changed.append({change.entity for change in home.changes})
    assert changed[1:] == [{"sensor.perceptd_hall_teaching"}, set(), set()]
    assert home.entities["sensor.perceptd_hall_question"].state == question().text


def test_a_question_is_shown_and_answered_by_its_id() -> None:
    asked = teaching(taught(), question=question())
    assert [shown("question", payload) for payload in (teaching(), asked)] == ["none", question().text]
    attributes = json.loads(shown("question", asked, "json_attributes_template"))
    assert attributes == {
        "question": "q1",
        "label": "kettle boils",
        "stream": "kitchen",
        "time": question().time,
        "why": "near_threshold",
    }
    assert sent("answer_right", "right", asked) == TeachAnswerArguments(question="q1", answer="right")
    assert sent("answer_wrong", "wrong", asked) == TeachAnswerArguments(question="q1", answer="wrong")
    was = TeachAnswerArguments(question="q1", answer="was", label='the "tap"')
    assert sent("answer_was", 'the "tap"', asked) == was


@pytest.mark.parametrize("key", ["answer_right", "answer_wrong", "answer_was"])
def test_answers_are_available_while_there_is_a_question(key: str) -> None:
    of_node, of_question = ENTITIES[key]["availability"]
    assert (of_node["topic"], of_question["topic"]) == ("perceptd/hall/availability", TOPIC)
    asked = teaching(question=question())
    states = [rendered(of_question["value_template"], payload.to_json()) for payload in (teaching(), asked)]
    assert (states, ENTITIES[key]["availability_mode"]) == (["offline", "online"], "all")


def test_a_node_that_cannot_be_taught_has_none_of_them() -> None:
    assert set(ENTITIES) - set(components(stream(), teachable=False)) == {
        *("teaching", "teaching_next", "question", "answer_right", "answer_wrong", "answer_was"),
        *("door_teach", "door_teach_wrong", "door_teach_missed"),
    }


def test_no_name_of_a_stream_gives_the_key_of_an_entity_of_the_node() -> None:
    ends = {key.removeprefix("door") for key in ENTITIES if key.startswith("door_") and "_label_" not in key}
    of_node = [key for key in ENTITIES if not key.startswith("door_")]
    assert not [key for key in of_node if any(key.endswith(end) for end in ends)]


def test_labels_that_were_taught_have_a_sensor_beside_any_number_of_others() -> None:
    many = [f"{number}" for number in range(MAX_LABEL_SENSORS + 1)]
    found: dict[str, Any] = components(stream(labels=[*many, Label("kettle boils", shown=True, taught=True)]))
    sensors = [each for each in found.values() if "_label_" in each["unique_id"]]
    assert [sensor["name"] for sensor in sensors] == ["door kettle boils"]
    assert "enabled_by_default" not in sensors[0]
