"""The blueprints of Home Assistant are valid for 2025.4 to 2026.11, and match the entities that a node announces.

Keys are those of homeassistant/components/blueprint/schemas.py, helpers/config_validation.py and helpers/selector.py.
"""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from daemon.mqtt.home_assistant.devices import Label
from tests.docs.pages import DOCS
from tests.helpers.home_assistant import TEMPLATES, rendered
from tests.mqtt.home_assistant.nodes import components, step, stream

FOLDER = DOCS / "home-assistant"
FILES = sorted(FOLDER.iterdir())
AUTOMATION = {"blueprint", "triggers", "variables", "conditions", "actions", "mode", "max", "max_exceeded"}
ABOUT = {"name", "description", "domain", "homeassistant", "input", "author", "source_url"}
INPUT = {"name", "description", "default", "selector"}
STATE_TRIGGER = {"trigger", "entity_id", "from", "to", "not_from", "not_to", "for", "attribute"}
SELECTORS = {
    "action": set[str](),
    "entity": {"filter", "multiple"},
    "number": {"min", "max", "step", "unit_of_measurement", "mode"},
    "target": {"entity", "device"},
    "text": {"multiline", "multiple", "prefix", "suffix", "type"},
}
ACTIONS = ({"action", "data", "target"}, {"wait_template", "timeout"}, {"delay"})

ENTITIES = components(stream(labels=[Label("dog", shown=True), Label("7")]))


class Input(str):
    """The name of an input that stands in place of a value."""


class Loader(yaml.SafeLoader):
    """Reads the YAML of Home Assistant, with its tag !input."""

    def construct_input(self, node: yaml.ScalarNode) -> Input:
        return Input(self.construct_scalar(node))


Loader.add_constructor("!input", Loader.construct_input)


def blueprint(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((FOLDER / name).read_text(encoding="utf-8"), Loader)
    return loaded


def inputs_in(value: Any) -> Iterator[str]:
    """Yield the inputs that stand anywhere in a value."""
    if isinstance(value, Input):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from inputs_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from inputs_in(inner)


def templates_in(value: Any) -> Iterator[str]:
    """Yield every template in a value."""
    if isinstance(value, str) and "{{" in value:
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from templates_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from templates_in(inner)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_blueprint_has_known_keys_and_uses_every_input(file: Any) -> None:
    loaded = blueprint(file.name)
    about, inputs = loaded["blueprint"], loaded["blueprint"]["input"]
    assert set(loaded) <= AUTOMATION
    assert set(about) <= ABOUT
    assert about["domain"] == "automation"
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["homeassistant"]["min_version"])
    rest = {key: value for key, value in loaded.items() if key != "blueprint"}
    assert set(inputs_in(rest)) == set(inputs)
    for each in inputs.values():
        assert set(each) <= INPUT
        ((selector, settings),) = each["selector"].items()
        assert set(settings) <= SELECTORS[selector]
    for trigger in loaded["triggers"]:
        assert set(trigger) <= STATE_TRIGGER
        assert trigger["trigger"] == "state"
    actions = loaded["actions"] if isinstance(loaded["actions"], list) else inputs[loaded["actions"]]["default"]
    for action in actions:
        assert any(set(action) <= known for known in ACTIONS), action
    for template in templates_in(loaded):
        TEMPLATES.parse(template)


@pytest.mark.parametrize(
    ("file", "entity_input", "announced"),
    [
        ("notify-on-label.yaml", "event_entity", "door_event"),
        ("light-while-label.yaml", "label_entity", "door_label_dog"),
    ],
)
def test_the_selector_offers_the_entity_that_the_trigger_waits_for(
    file: str, entity_input: str, announced: str
) -> None:
    loaded = blueprint(file)
    (offered,) = loaded["blueprint"]["input"][entity_input]["selector"]["entity"]["filter"]
    assert offered == {"integration": "mqtt", "domain": ENTITIES[announced]["platform"]}
    (trigger,) = loaded["triggers"]
    assert trigger["entity_id"] == Input(entity_input)


@pytest.mark.parametrize(
    ("labels", "label", "passes"),
    [([], "dog", True), (["dog"], "dog", True), (["7"], "7", True), (["dog"], "7", False), (["Dog"], "dog", False)],
)
def test_a_notification_is_of_the_chosen_labels_alone(labels: list[str], label: str, passes: bool) -> None:
    loaded = blueprint("notify-on-label.yaml")
    fired = json.loads(rendered(ENTITIES["door_event"]["value_template"], step("start", label, score=0.914)))
    trigger = SimpleNamespace(to_state=SimpleNamespace(state="2026-01-31T12:00:04Z", attributes=fired))
    (condition,) = loaded["conditions"]
    assert TEMPLATES.from_string(condition["value_template"]).render(trigger=trigger, labels=labels) == f"{passes}"
    variables = loaded["variables"]
    values = {key: TEMPLATES.from_string(variables[key]).render(trigger=trigger) for key in ("label", "score")}
    assert values == {"label": label, "score": "91"}
    (action,) = loaded["blueprint"]["input"]["notify"]["default"]
    message = TEMPLATES.from_string(action["data"]["message"]).render(values)
    assert message == f"{label}, with a score of 91 %."


def test_nothing_is_notified_when_the_event_entity_is_removed() -> None:
    loaded = blueprint("notify-on-label.yaml")
    removed = SimpleNamespace(to_state=None)
    (condition,) = loaded["conditions"]
    assert TEMPLATES.from_string(condition["value_template"]).render(trigger=removed, labels=[]) == "False"
    # Home Assistant renders the variables before it looks at the condition, and logs an error where that fails
    for name in ("label", "score"):
        TEMPLATES.from_string(loaded["variables"][name]).render(trigger=removed)


def test_an_event_of_before_is_not_notified_again() -> None:
    (trigger,) = blueprint("notify-on-label.yaml")["triggers"]
    assert "unavailable" in trigger["not_from"]
    assert {"unavailable", "unknown"} <= set(trigger["not_to"])
    # the entity is unknown before its first event
    assert "unknown" not in trigger["not_from"]


def test_the_light_waits_for_the_states_of_a_binary_sensor() -> None:
    loaded = blueprint("light-while-label.yaml")
    assert loaded["triggers"][0]["to"] == "on"
    waits = [action["wait_template"] for action in loaded["actions"] if "wait_template" in action]
    assert waits == ["{{ not is_state(label_entity, 'on') }}"]
    assert [action["action"] for action in loaded["actions"] if "action" in action] == [
        "light.turn_on",
        "light.turn_off",
    ]


def test_the_page_names_every_blueprint() -> None:
    page = (DOCS / "home-assistant.md").read_text(encoding="utf-8")
    assert all(f"(home-assistant/{file.name})" in page for file in FILES)
