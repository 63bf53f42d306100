"""What commands do to the switch of a stream: a table."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.core.ports import Updates
from daemon.mqtt.commands import AnswerPayload, Request
from daemon.node.control import Control, _device_turned
from daemon.node.switches import Switch, SwitchFile

OPEN, PAUSED = Switch(), Switch(paused=True)


@pytest.mark.parametrize(
    ("before", "device", "on", "after"),
    [
        (OPEN, "camera", False, Switch(blind=True)),
        (OPEN, "camera", True, OPEN),
        (OPEN, "microphone", False, Switch(muted=True)),
        (Switch(blind=True), "microphone", False, Switch(blind=True, muted=True)),
        (Switch(blind=True, muted=True), "camera", True, Switch(muted=True)),
        (PAUSED, "camera", False, PAUSED),
        # opening one device of a paused stream opens that one alone
        (PAUSED, "camera", True, Switch(muted=True)),
        (PAUSED, "microphone", True, Switch(blind=True)),
        (Switch(paused=True, muted=True), "microphone", True, Switch(blind=True)),
    ],
)
def test_a_device_is_opened_and_closed_alone(before: Switch, device: str, on: bool, after: Switch) -> None:
    assert _device_turned(device, on, before) == after


class FakeStream:
    """What `Control` needs of a stream."""

    def __init__(self, name: str, *, is_live: bool = True) -> None:
        self.name, self.is_live = name, is_live
        self.devices = frozenset({"camera", "microphone"})
        self.switch = Switch()

    def turn(self, switch: Switch) -> None:
        assert self.is_live
        self.switch = switch


class Node:
    """A control with two streams, one of which is replayed as fast as possible."""

    def __init__(self, directory: Path, forbidden: list[str], updates: Updates | None = None) -> None:
        self.path = directory / "switches.json"
        self.door = FakeStream("door")
        self.streams = {"door": self.door, "tape": FakeStream("tape", is_live=False)}
        settings = {
            "node": "n",
            "bundle": "b",
            "streams": {"door": {"camera": "http://cam/v.mjpg?user=admin&pwd=hunter2"}},
            "mqtt": {"commands": {"forbidden": forbidden}, "websocket_path": "/mqtt?token=hunter2"},
        }
        active = SimpleNamespace(bundle=SimpleNamespace(id="b@1"))
        self.control = Control(Config.model_validate(settings), self.streams, SwitchFile(self.path), active, updates)  # type: ignore[arg-type]

    def tell(self, name: str, /, **order: object) -> AnswerPayload:
        return self.control.obey(Request(name, json.dumps(order).encode()))


@pytest.mark.parametrize(
    ("forbidden", "name", "order", "allowed"),
    [
        (["unmute"], "microphone", {"stream": "door", "on": True}, False),
        (["unmute"], "camera", {"stream": "door", "on": True}, True),
        (["resume"], "microphone", {"stream": "door", "on": True}, False),
        (["resume"], "camera", {"stream": "door", "on": True}, False),
        (["mute"], "microphone", {"stream": "door", "on": False}, False),
        (["pause"], "camera", {"stream": "door", "on": False}, False),
        (["pause"], "microphone", {"stream": "door", "on": False}, True),
        (["camera"], "camera", {"stream": "door", "on": False}, False),
    ],
)
def test_what_is_forbidden_is_so_by_every_name(
    tmp_path: Path, forbidden: list[str], name: str, order: dict, allowed: bool
) -> None:
    assert Node(tmp_path, forbidden).tell(name, **order).ok is allowed


def test_a_command_for_all_streams_is_one_for_those_that_can_and_is_kept(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    assert node.tell("mute").ok
    assert node.door.switch == Switch(muted=True)
    assert SwitchFile(node.path).load(["door"]) == {"door": Switch(muted=True)}
    refused = node.tell("mute", stream="tape")
    assert not refused.ok
    assert "cannot be paused" in str(refused.reason)


def test_resume_opens_the_camera_too_and_leaves_what_is_muted(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    for name, order in (("mute", {}), ("camera", {"stream": "door", "on": False}), ("pause", {}), ("resume", {})):
        assert node.tell(name, **order).ok
    assert node.door.switch == Switch(muted=True)


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    assert node.tell("resume").ok
    assert not node.path.exists()


def test_a_switch_that_cannot_be_kept_is_turned_and_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = Node(tmp_path / "file", [])
    answer = node.tell("pause")
    assert answer.ok
    assert "forgotten at the next start" in str(answer.reason)
    assert node.door.switch.paused


def test_describe_shows_no_secret_wherever_it_stands(tmp_path: Path) -> None:
    described = Node(tmp_path, []).tell("describe").to_json().decode()
    assert "hunter2" not in described
    assert "http://cam/***" in described
    assert MqttConfig.model_fields.keys() <= json.loads(described)["result"]["config"]["mqtt"].keys()


class Asked:
    """The port `Updates`: keeps what was asked, and takes it unless told why not."""

    def __init__(self, refusal: str | None = None) -> None:
        self.asked: list[tuple[object, ...]] = []
        self._refusal = refusal

    def check(self) -> str | None:
        return self._take("check")

    def install(self, name: str | None, version: str | None) -> str | None:
        return self._take("install", name, version)

    def rollback(self) -> str | None:
        return self._take("rollback")

    def pin(self, on: bool) -> str | None:
        return self._take("pin", on)

    def _take(self, *asked: object) -> str | None:
        self.asked.append(asked)
        return self._refusal


ASKING: list[tuple[str, dict[str, object], tuple[object, ...]]] = [
    ("models_check", {}, ("check",)),
    ("models_install", {}, ("install", None, None)),
    ("models_install", {"name": "digits", "version": "0.5.0"}, ("install", "digits", "0.5.0")),
    ("models_rollback", {}, ("rollback",)),
    ("models_pin", {"on": True}, ("pin", True)),
    ("models_pin", {"on": False}, ("pin", False)),
]


@pytest.mark.parametrize(("name", "order", "asked"), ASKING)
def test_what_is_asked_of_bundles_is_passed_on_and_answered_at_once(
    tmp_path: Path, name: str, order: dict[str, object], asked: tuple[object, ...]
) -> None:
    updates = Asked()
    answer = Node(tmp_path, [], updates).tell(name, **order)
    begun = None if name == "models_pin" else "it has begun; the topic models shows the rest"
    assert (answer.ok, answer.reason) == (True, begun)
    assert updates.asked == [asked]
    refused = Node(tmp_path, [], Asked("digits@0.5.0 is being installed (download)")).tell(name, **order)
    assert (refused.ok, refused.reason) == (False, "digits@0.5.0 is being installed (download)")


@pytest.mark.parametrize(("name", "order", "asked"), ASKING)
def test_bundles_are_left_alone_without_a_source_and_where_it_is_forbidden(
    tmp_path: Path, name: str, order: dict[str, object], asked: tuple[object, ...]
) -> None:
    answer = Node(tmp_path, []).tell(name, **order)
    assert (answer.ok, answer.reason) == (False, "models.source in config.yaml is not set")
    updates = Asked()
    forbidden = Node(tmp_path, [name], updates).tell(name, **order)
    assert not forbidden.ok
    assert "mqtt.commands.forbidden" in str(forbidden.reason)
    assert updates.asked == []
