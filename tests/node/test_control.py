"""Commands: how they change a stream's switch, which are refused, and which go to the updater."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.core.ports import Updates
from daemon.mqtt.commands import AnswerPayload, Arguments, InvalidCommand, Request, TeachingSink
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
def test_a_device_command_opens_or_closes_only_that_device(
    before: Switch, device: str, on: bool, after: Switch
) -> None:
    assert _device_turned(device, on, before) == after


class FakeStream:
    """Stands in for a stream: stores its switch."""

    def __init__(self, name: str, *, is_live: bool = True) -> None:
        self.name, self.is_live = name, is_live
        self.devices = frozenset({"camera", "microphone"})
        self.switch = Switch()

    def turn(self, switch: Switch) -> None:
        assert self.is_live
        self.switch = switch


class Node:
    """A `Control` with two streams, one of which is replayed as fast as possible."""

    def __init__(
        self,
        directory: Path,
        forbidden: list[str],
        updates: Updates | None = None,
        teaching: TeachingSink | None = None,
        **more: object,
    ) -> None:
        """`more` are further keys of the stream `door`."""
        self.path = directory / "switches.json"
        self.door = FakeStream("door")
        self.streams = {"door": self.door, "tape": FakeStream("tape", is_live=False)}
        settings = {
            "node": "n",
            "bundle": "b",
            "streams": {"door": {"camera": "http://cam/v.mjpg?user=admin&pwd=hunter2"} | more},
            "mqtt": {"commands": {"forbidden": forbidden}, "websocket_path": "/mqtt?token=hunter2"},
        }
        active = SimpleNamespace(bundle=SimpleNamespace(view=SimpleNamespace(id="b@1")))
        self.control = Control(
            Config.model_validate(settings), self.streams, SwitchFile(self.path), active, updates, teaching
        )  # type: ignore[arg-type]

    def send(self, name: str, /, **arguments: object) -> AnswerPayload | None:
        return self.control.obey(Request(name, json.dumps(arguments).encode()))


@pytest.mark.parametrize(
    ("forbidden", "name", "arguments", "allowed"),
    [
        (["unmute"], "microphone", {"stream": "door", "on": True}, False),
        (["unmute"], "camera", {"stream": "door", "on": True}, True),
        (["resume"], "microphone", {"stream": "door", "on": True}, False),
        (["resume"], "camera", {"stream": "door", "on": True}, False),
        (["mute"], "microphone", {"stream": "door", "on": False}, False),
        (["pause"], "camera", {"stream": "door", "on": False}, False),
        (["pause"], "microphone", {"stream": "door", "on": False}, True),
        (["camera"], "camera", {"stream": "door", "on": False}, False),
        (["teach"], "teach_missed", {"label": "kettle"}, False),
        (["teach"], "teach_answer", {"answer": "right"}, False),
        (["teach"], "teach_answer", {"answer": "was", "label": "kettle"}, False),
        (["teach_wrong"], "teach_answer", {"answer": "wrong"}, False),
        # where no event started, right and wrong do the opposite
        (["teach"], "teach_answer", {"answer": "wrong"}, False),
        (["teach_wrong"], "teach_answer", {"answer": "right"}, False),
    ],
)
def test_a_forbidden_command_is_forbidden_under_every_name(
    tmp_path: Path, forbidden: list[str], name: str, arguments: dict, allowed: bool
) -> None:
    answer = Node(tmp_path, forbidden).send(name, **arguments)
    assert answer.ok is allowed
    assert ("mqtt.commands.forbidden" in str(answer.reason)) is not allowed


def test_mute_without_a_stream_mutes_all_live_streams_and_is_stored(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    assert node.send("mute").ok
    assert node.door.switch == Switch(muted=True)
    assert SwitchFile(node.path).load(["door"]) == {"door": Switch(muted=True)}
    refused = node.send("mute", stream="tape")
    assert not refused.ok
    assert "cannot be paused" in str(refused.reason)


@pytest.mark.parametrize(("stream", "who"), [(None, "the node"), ("door", "stream door")])
def test_mute_of_what_has_no_sound_is_stored_and_the_answer_says_so(
    stream: str | None, who: str, tmp_path: Path
) -> None:
    node = Node(tmp_path, [])
    answer = node.send("mute", stream=stream)
    assert (answer.ok, answer.reason) == (True, f"{who} has no sound at present")
    assert node.send("mute", stream=stream).reason == answer.reason
    assert SwitchFile(node.path).load(["door"]) == {"door": Switch(muted=True)}
    assert node.send("pause", stream=stream).reason is None
    assert Node(tmp_path, [], microphone="camera").send("mute", stream=stream).reason is None


@pytest.mark.parametrize("command", ["pause", "resume", "mute", "unmute"])
def test_a_node_with_fast_replays_alone_says_that_nothing_can_be_paused(tmp_path: Path, command: str) -> None:
    node = Node(tmp_path, [])
    del node.streams["door"]
    answer = node.send(command)
    reason = f"there is nothing to {command}: every stream is replayed as fast as possible, which cannot be paused"
    assert (answer.ok, answer.reason) == (False, f"{reason} or muted")


@pytest.mark.parametrize("device", ["camera", "microphone"])
def test_a_device_of_a_fast_replay_is_refused(tmp_path: Path, device: str) -> None:
    answer = Node(tmp_path, []).send(device, stream="tape", on=False)
    assert (answer.ok, answer.reason) == (
        False,
        "stream tape is replayed as fast as possible, which cannot be paused or muted",
    )


def test_resume_opens_a_closed_camera_but_not_a_muted_microphone(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    for name, arguments in (("mute", {}), ("camera", {"stream": "door", "on": False}), ("pause", {}), ("resume", {})):
        assert node.send(name, **arguments).ok
    assert node.door.switch == Switch(muted=True)


def test_a_command_that_changes_nothing_writes_no_file(tmp_path: Path) -> None:
    node = Node(tmp_path, [])
    assert node.send("resume").ok
    assert not node.path.exists()


def test_a_switch_that_cannot_be_stored_still_works_and_the_answer_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = Node(tmp_path / "file", [])
    answer = node.send("pause")
    assert answer.ok
    assert "forgotten at the next start" in str(answer.reason)
    assert node.door.switch.paused


def test_describe_shows_no_secret(tmp_path: Path) -> None:
    described = Node(tmp_path, []).send("describe").to_json().decode()
    assert "hunter2" not in described
    assert "http://cam/***" in described
    assert MqttConfig.model_fields.keys() <= json.loads(described)["result"]["config"]["mqtt"].keys()


class FakeUpdates:
    """Implements `Updates`: records the requests, and refuses them if it has a reason to."""

    def __init__(self, refusal: str | None = None) -> None:
        self.requests: list[tuple[object, ...]] = []
        self._refusal = refusal

    def check(self) -> str | None:
        return self._take("check")

    def install(self, name: str | None, version: str | None) -> str | None:
        return self._take("install", name, version)

    def rollback(self) -> str | None:
        return self._take("rollback")

    def pin(self, on: bool) -> str | None:
        return self._take("pin", on)

    def _take(self, *request: object) -> str | None:
        self.requests.append(request)
        return self._refusal


UPDATE_COMMANDS: list[tuple[str, dict[str, object], tuple[object, ...]]] = [
    ("models_check", {}, ("check",)),
    ("models_install", {}, ("install", None, None)),
    ("models_install", {"name": "digits", "version": "0.5.0"}, ("install", "digits", "0.5.0")),
    ("models_rollback", {}, ("rollback",)),
    ("models_pin", {"on": True}, ("pin", True)),
    ("models_pin", {"on": False}, ("pin", False)),
]


@pytest.mark.parametrize(("name", "arguments", "request_made"), UPDATE_COMMANDS)
def test_commands_about_bundles_go_to_the_updater_and_are_answered_at_once(
    tmp_path: Path, name: str, arguments: dict[str, object], request_made: tuple[object, ...]
) -> None:
    updates = FakeUpdates()
    answer = Node(tmp_path, [], updates).send(name, **arguments)
    begun = None if name == "models_pin" else "it has begun; the topic models shows the rest"
    assert (answer.ok, answer.reason) == (True, begun)
    assert updates.requests == [request_made]
    refused = Node(tmp_path, [], FakeUpdates("digits@0.5.0 is being installed (download)")).send(name, **arguments)
    assert (refused.ok, refused.reason) == (False, "digits@0.5.0 is being installed (download)")


@pytest.mark.parametrize(("name", "arguments", "request_made"), UPDATE_COMMANDS)
def test_commands_about_bundles_are_refused_without_a_source_and_where_forbidden(
    tmp_path: Path, name: str, arguments: dict[str, object], request_made: tuple[object, ...]
) -> None:
    answer = Node(tmp_path, []).send(name, **arguments)
    assert (answer.ok, answer.reason) == (False, "models.source in config.yaml is not set")
    updates = FakeUpdates()
    forbidden = Node(tmp_path, [name], updates).send(name, **arguments)
    assert not forbidden.ok
    assert "mqtt.commands.forbidden" in str(forbidden.reason)
    assert updates.requests == []


class Taught:
    """Implements TeachingSink: keeps what it has taken, or refuses it."""

    def __init__(self, refusal: str | None = None) -> None:
        self.taken: list[tuple[str, Arguments]] = []
        self._refusal = refusal

    def take(self, request: Request, arguments: Arguments) -> None:
        if self._refusal is not None:
            raise InvalidCommand(self._refusal)
        self.taken.append((request.name, arguments))


def test_commands_to_teach_are_handed_on_and_answered_later(tmp_path: Path) -> None:
    taught = Taught()
    node = Node(tmp_path, ["teach_forget"], teaching=taught)
    assert node.send("teach", label="kettle boils") is None
    assert [(name, arguments.label) for name, arguments in taught.taken] == [("teach", "kettle boils")]
    assert node.send("teach", label="a/b").reason == "label: expected printable text without / + #"
    assert "forbids it" in node.send("teach_forget", label="kettle boils").reason
    assert len(taught.taken) == 1


def test_a_command_to_teach_is_refused_where_nobody_takes_it(tmp_path: Path) -> None:
    assert Node(tmp_path, []).send("teach").reason == "this node cannot be taught"
    assert Node(tmp_path, [], teaching=Taught("it is full")).send("teach_list").reason == "it is full"
