"""docs/mqtt.md describes what the daemon sends."""

import re
from pathlib import Path

import pytest

from daemon.core.records import UPDATE_STAGES
from daemon.mqtt.commands import ARGUMENTS
from daemon.mqtt.outbox.outbox import MAX_UNWRITTEN
from daemon.mqtt.payloads import EventPayload, LabelPart, Payload, RecognitionPayload, StatePayload
from daemon.mqtt.send_queue import MAX_QOS0
from daemon.mqtt.subscriber import Malformed, parse
from daemon.mqtt.update_payloads import MAX_AVAILABLE, MAX_REASON, ModelsPayload

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
