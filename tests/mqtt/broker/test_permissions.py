"""A missing right is named with the line of the access list that gives it."""

import subprocess
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.permissions import Action, access_line, lines_text, remedy
from daemon.mqtt.session import Session
from daemon.mqtt.silence import unanswered
from tests.helpers.mosquitto import Mosquitto, wait_until

LINES: list[tuple[Action, str, str]] = [
    # what a node publishes and reads
    ("write", "perceptd/hall/status", "topic write perceptd/hall/#"),
    ("write", "perceptd/hall/availability", "topic write perceptd/hall/#"),
    ("write", "perceptd/hall/door/event", "topic write perceptd/hall/#"),
    ("write", "perceptd/hall/command/pause/result", "topic write perceptd/hall/#"),
    ("write", "homeassistant/device/perceptd_hall/config", "topic write homeassistant/device/+/config"),
    ("write", "ha/sensor/perceptd_hall/door_label/config", "topic write ha/+/+/+/config"),
    ("write", "perceptd-send/1f", "topic write perceptd-send/+"),
    ("write", "replies/1", "topic write replies/1"),
    ("read", "perceptd/hall/health", "topic read perceptd/hall/health"),
    ("read", "perceptd/hall/+/text", "topic read perceptd/hall/+/text"),
    ("read", "perceptd/hall/command/+", "topic read perceptd/hall/command/+"),
    ("read", "homeassistant/status", "topic read homeassistant/status"),
    # what people and their programs publish and read
    ("write", "perceptd/hall/command/pause", "topic write perceptd/hall/command/+"),
    ("write", "perceptd/hall/door/text", "topic write perceptd/hall/door/text"),
    ("read", "perceptd-send/1f", "topic read perceptd-send/+"),
    ("read", "perceptd/hall/command/pause/result", "topic read perceptd/hall/command/+/result"),
    ("read", "perceptd/+/models", "topic read perceptd/+/models"),
    ("read", "perceptd/+/+/event", "topic read perceptd/+/+/event"),
]


@pytest.mark.parametrize(("action", "topic", "line"), LINES)
def test_the_line_that_gives_a_right(action: Action, topic: str, line: str) -> None:
    assert access_line(action, topic) == line


@pytest.mark.parametrize(
    ("action", "username", "text"),
    [
        (
            "write",
            "hall",
            "the account hall may not publish to perceptd/hall/health: "
            "add `topic write perceptd/hall/#` below `user hall` in the broker's access list",
        ),
        (
            "read",
            None,
            "this client may not read perceptd/hall/health: "
            "add `topic read perceptd/hall/health` to its rights in the broker's access list",
        ),
    ],
)
def test_a_remedy_names_account_topic_and_line(action: Action, username: str | None, text: str) -> None:
    assert remedy(action, "perceptd/hall/health", username) == text


def test_several_rights_are_named_once_each() -> None:
    rights: list[tuple[Action, str]] = [("write", "perceptd/hall/health"), ("write", "perceptd/hall/models")]
    assert lines_text([*rights, ("read", "replies/1")]) == "`topic write perceptd/hall/#`, `topic read replies/1`"


@pytest.mark.parametrize(
    ("availability", "texts"),
    [
        (b"offline", ["the node is offline"]),
        (
            b"online",
            [
                "the node is online, so probably the broker's access list drops the command or the answer: ",
                "the account sam needs `topic write perceptd/hall/command/+`, `topic read perceptd-send/+`, "
                "`topic read perceptd/hall/command/+/result`, and the account of the node "
                "`topic read perceptd/hall/command/+`, `topic write perceptd-send/+`",
            ],
        ),
        (
            None,
            [
                "either there is no node hall at this broker, or the account sam needs "
                "`topic read perceptd/hall/availability`"
            ],
        ),
    ],
)
def test_a_missing_answer_is_explained(availability: bytes | None, texts: list[str]) -> None:
    assert unanswered("hall", "pause", availability, "sam") == "".join(texts)


def test_bytes_from_outside_are_bounded_and_printable() -> None:
    text = remedy("write", "a\nb" + 1000 * "x", "eve\n")
    assert text.isprintable()
    assert len(text) < 600


def test_mosquitto_accepts_what_the_lines_allow(tmp_path: Path) -> None:
    writes = [(topic, line) for action, topic, line in LINES if action == "write"]
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    passwords.touch()
    for account in ("hall", "nobody"):
        subprocess.run(("mosquitto_passwd", "-b", passwords, account, "secret"), check=True)
    acl.write_text("\n".join(["user nobody", "topic read none", "user hall", *(line for _, line in writes)]) + "\n")
    with Mosquitto(more=[f"acl_file {acl}", f"password_file {passwords}"]) as broker:
        for account, is_refused in (("hall", False), ("nobody", True)):
            for topic, _ in writes:
                command = ("mosquitto_pub", "-p", str(broker.port), "-u", account, "-P", "secret", "-V", "5", "-q", "1")
                done = subprocess.run([*command, "-t", topic, "-m", "x"], capture_output=True, text=True, timeout=60)
                assert ("Not authorized" in done.stderr) == is_refused, (account, topic)


@pytest.mark.parametrize(("username", "place"), [("hall", "below `user hall` in"), (None, "to its rights in")])
def test_a_node_without_a_right_says_topic_account_and_line(tmp_path: Path, username: str | None, place: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read none\nuser hall\ntopic write perceptd/node/availability\n")
    with Mosquitto(more=[f"acl_file {acl}"]) as broker:
        session = Session(MqttConfig(port=broker.port, username=username), "node", tmp_path / "state")
        session.start({})
        session.publish("door/state", b"{}", retain=True, qos=1)
        topic = "perceptd/node/door/state" if username else "perceptd/node/availability"
        finding = f"the MQTT broker refused {topic}: Not authorized; "
        wait_until(lambda: finding in (session.status()["reason"] or ""), "the refusal is in health")
        reason = session.status()["reason"]
        session.stop(3.0)
    assert reason is not None
    assert f"may not publish to {topic}: add `topic write perceptd/node/#` {place} the broker's access list" in reason
