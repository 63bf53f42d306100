"""docs/home-assistant.md names entities that a node announces, and its examples are YAML."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from daemon.mqtt.home_assistant.devices import Label
from tests.docs.pages import DOCS, ROOT
from tests.helpers.home_assistant import TEMPLATES
from tests.mqtt.home_assistant.nodes import components, stream

PAGE = (DOCS / "home-assistant.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TAUGHT = replace(
    stream(labels=["3", Label("kettle boils", shown=True, taught=True)]), states={"garage": ["closed", "open"]}
)
ENTITIES = components(TAUGHT)


def test_every_entity_of_the_page_is_announced() -> None:
    named = set(re.findall(r"\b[a-z_]+\.perceptd_hall_\w+", PAGE))
    assert named <= {component["default_entity_id"] for component in ENTITIES.values()}
    of_stream = {component["default_entity_id"] for key, component in ENTITIES.items() if key.startswith("door")}
    assert of_stream <= named


def test_the_page_marks_entities_that_are_disabled_by_default() -> None:
    marked = set(re.findall(r"^\| \w+ \(disabled\) \| `([^`]+)`", PAGE, re.MULTILINE))
    disabled = {each["default_entity_id"] for each in ENTITIES.values() if each.get("enabled_by_default") is False}
    assert marked == disabled - {"binary_sensor.perceptd_hall_door_label_3"}


def test_the_page_names_the_labels_that_home_shows() -> None:
    labels = yaml.safe_load((ROOT / "models" / "home" / "recipe.yaml").read_text(encoding="utf-8"))["labels"]
    infos = {name: label.get("info", {}) for name, label in labels.items() if not label.get("background")}
    shown = [name for name, info in infos.items() if info.get("shown")]
    assert len(shown) == 12
    assert f"shows twelve labels: {', '.join(shown[:-1])} and {shown[-1]}." in " ".join(PAGE.split())
    assert {tuple(info["names"]) for info in infos.values()} == {("en", "de", "fr", "es", "nl", "it")}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_are_yaml_with_valid_templates(example: str) -> None:
    assert yaml.safe_load(example)
    TEMPLATES.parse(example)


@pytest.mark.parametrize(
    "example", [example for example in EXAMPLES if "conditions:\n  - condition: template" in example]
)
def test_the_condition_of_an_example_is_false_when_the_entity_is_removed(example: str) -> None:
    (condition,) = yaml.safe_load(example)["conditions"]
    trigger = SimpleNamespace(from_state=SimpleNamespace(state="1", attributes={}), to_state=None)
    assert TEMPLATES.from_string(condition["value_template"]).render(trigger=trigger) == "False"
