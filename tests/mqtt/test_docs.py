"""docs/mqtt.md describes what the daemon sends."""

import re
from pathlib import Path
from typing import get_args

import pytest
from contracts import CHANNELS
from pydantic import BaseModel

from daemon.core.records import UPDATE_STAGES
from daemon.mqtt.commands import ARGUMENTS, TeachArguments
from daemon.mqtt.outbox.inbox import MAX_UNWRITTEN
from daemon.mqtt.payloads import EventPayload, LabelPart, Payload, RecognitionPayload, StatePayload
from daemon.mqtt.send_queue import MAX_QOS0
from daemon.mqtt.status_payload import StatusPayload
from daemon.mqtt.subscriber import Malformed, parse
from daemon.mqtt.teaching_payloads import QuestionPart, TaughtState, TeachingPayload
from daemon.mqtt.update_payloads import MAX_AVAILABLE, MAX_REASON, ModelsPayload
from daemon.node.health import Health
from tests.docs.pages import rows, sections

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "mqtt.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in TEXT.split("\n## ")[1:]}


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("availability", "perceptd/demo/availability"),
        ("recognition", "perceptd/demo/demo/recognition"),
        ("event", "perceptd/demo/demo/event"),
        ("state", "perceptd/demo/demo/state"),
        ("status", "perceptd/demo/status"),
        ("health", "perceptd/demo/health"),
        ("models", "perceptd/demo/models"),
        ("teaching", "perceptd/demo/teaching"),
    ],
)
def test_each_example_is_what_its_topic_promises(name, topic):
    examples = re.findall(r"```(?:json)?\n(.*?)\n```", SECTIONS[name], re.DOTALL)
    assert examples
    for example in examples:
        received = parse(topic, example.encode(), False, 0)
        assert received is not None
        assert not isinstance(received.content, Malformed), received.content
        if isinstance(received.content, Payload) and name != "health":
            assert received.content.to_json() == example.encode(), "every field, in order"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("recognition", RecognitionPayload),
        ("event", EventPayload),
        ("state", StatePayload),
        ("models", ModelsPayload),
    ],
)
def test_each_field_is_described(name, model):
    described = set(
        re.findall(r"`([\w\[\].]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", SECTIONS[name], re.MULTILINE)))
    )
    fields = {field.alias or key for key, field in model.model_fields.items()}
    if model is RecognitionPayload:
        fields |= {f"labels[].{key}" for key in LabelPart.model_fields}
    if model is ModelsPayload:
        fields |= {"stage", *UPDATE_STAGES}
    assert described == fields


def test_each_field_of_health_status_and_teaching_is_described():
    for name, model in (("health", Health), ("status", StatusPayload), ("teaching", TeachingPayload)):
        section = TEXT.split(f"\n## {name}\n")[1].split("\n## ")[0]
        described = set(re.findall(r"[\w]+", " ".join(re.findall(r"`([^`]+)`", section))))
        assert fields_of(model) <= described


def test_the_states_of_labels_and_the_reasons_of_questions_are_described():
    first = {row[0].strip("`") for row in rows(sections("mqtt.md")["teaching"])}
    assert first >= set(get_args(TaughtState))
    (why,) = [row[1] for row in rows(sections("mqtt.md")["teaching"]) if row[0] == "`why`"]
    assert set(re.findall(r"`(\w+)`", why)) == set(get_args(QuestionPart.model_fields["why"].annotation))


def test_the_arguments_of_teach_are_described():
    assert {row[0].strip("`") for row in rows(sections("mqtt.md")["teach"])} >= set(TeachArguments.model_fields)


def fields_of(model: type[BaseModel]) -> set[str]:
    """Return the names of a model's fields and of those of its parts."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


def test_the_tables_list_every_topic_with_its_qos_and_whether_it_is_retained():
    tables = sections("mqtt.md")
    listed = {}
    for topic, direction, qos, retained, _payload in (
        *rows(tables["MQTT: topics and payloads"]),
        *(row for row in rows(tables["Home Assistant"]) if len(row) == 5),
    ):
        how = (int(qos), retained == "yes") if direction == "out" else ()
        listed[re.sub(r"<\w+>", "+", topic.strip("`"))] = (direction, *how)
    expected = {}
    for channel in CHANNELS:
        address = re.sub(r"command/\w+$", "command/+", re.sub(r"{\w+}", "+", channel.address))
        is_sent = channel.action == "send"
        expected[address] = ("out", channel.qos, channel.retained) if is_sent else ("in",)
    assert listed == expected


def test_each_command_is_described():
    described = re.findall(
        r"`(\w+)`", "\n".join(re.findall(r"^\| (`[a-z_`, ]+) \| ", SECTIONS["command"], re.MULTILINE))
    )
    assert [name for name in described if name in ARGUMENTS] == list(ARGUMENTS)


def test_the_bounds_are_those_of_the_code():
    assert f"more than {MAX_UNWRITTEN} waited" in TEXT
    assert f"more than {MAX_QOS0} waited" in TEXT
    assert f"at most {MAX_REASON} characters" in SECTIONS["models"]
    assert f"the newest {MAX_AVAILABLE} bundles" in SECTIONS["models"]
