"""The local socket of a real daemon, which recognises the digits of the demo and has no broker."""

import json
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.core.errors import LocalError
from daemon.runtime.local import LocalClient
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.promised import within

# one daemon for all of these tests
pytestmark = pytest.mark.xdist_group("local daemon")

LEFT_HALF = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
PASSWORD = "hunter2-of-the-broker"
READY_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    directory = tmp_path_factory.mktemp("local")
    demo = {"file": str(ROOT / "models/digits/demo/clip.mp4"), "masks": [LEFT_HALF]}
    config: dict[str, Any] = {
        "node": "node",
        "bundle": str(ROOT / "models/digits"),
        # nothing listens there
        "mqtt": {"port": 9, "username": "node", "password": PASSWORD, "commands": {"forbidden": ["pause"]}},
        "history": {},
        "streams": {"demo": {"name": "Demo", "replay": demo, "gates": {"sound": {}}}},
    }
    with DaemonProcess(config, directory) as daemon:
        within(READY_S, partial(is_answered, LocalClient(daemon_socket(daemon))), "the daemon answers")
        yield daemon


@pytest.fixture
def client(running: DaemonProcess) -> LocalClient:
    return LocalClient(daemon_socket(running))


def daemon_socket(daemon: DaemonProcess) -> Path:
    return daemon.config_path.parent / "state" / "local.sock"


def command(client: LocalClient, name: str, **arguments: object) -> dict[str, Any]:
    return client.ask("command", name=name, arguments=arguments).result["answer"]


def test_only_the_user_of_the_daemon_may_connect(running: DaemonProcess) -> None:
    assert stat.S_IMODE(daemon_socket(running).stat().st_mode) == 0o600


def test_it_describes_the_node(client: LocalClient) -> None:
    found = client.ask("describe").result
    assert (found["node"], found["bundle"].partition("@")[0]) == ("node", "digits")
    assert found["history"]["quota_mb"] == 2000.0
    demo = found["streams"]["demo"]
    assert demo["name"] == "Demo"
    assert (demo["camera"], demo["sound"], demo["text"], demo["view_of"]) == (True, True, True, None)
    assert demo["masks"] == [LEFT_HALF]
    assert demo["gates"] == {"motion": False, "sound": True}
    assert "7" in demo["labels"]
    assert demo["taught"] == []


def test_the_latest_topics_are_there_without_a_broker(client: LocalClient) -> None:
    within(READY_S, lambda: {"health", "teaching"} <= set(topics(client)), "they are published")
    found = topics(client)
    assert found["health"]["node"] == "node"
    assert found["health"]["mqtt"]["connected"] is False
    assert {"models", "teaching", "demo/state", "demo/states"} <= set(found)


def topics(client: LocalClient) -> dict[str, Any]:
    found: dict[str, Any] = client.ask("topics").result["topics"]
    return found


def test_a_follower_hears_scores_and_events_and_topics(client: LocalClient) -> None:
    heard: dict[str, dict[str, Any]] = {}
    with closing(client.follow()) as followed:
        for message in followed:
            if message["kind"] != "scores" or message["labels"]:
                heard.setdefault(message["kind"], message)
            if {"scores", "event", "topic"} <= set(heard):
                break
    scores = heard["scores"]
    assert scores["stream"] == "demo"
    assert len(scores["labels"]) == 5
    assert [each["score"] for each in scores["labels"]] == sorted(
        (each["score"] for each in scores["labels"]), reverse=True
    )
    for label in scores["labels"]:
        assert sum(label["shares"].values()) == pytest.approx(1) or not any(label["shares"].values())
    assert scores["gates"].keys() == {"motion", "sound"}
    assert scores["gates"]["motion"] is None
    assert heard["event"]["payload"]["stream"] == heard["event"]["stream"] == "demo"
    assert heard["event"]["payload"]["phase"] in ("start", "update", "end")
    assert heard["topic"]["topic"].startswith(("demo/", "health", "teaching", "models"))


def test_a_picture_shows_the_masks_and_cannot_be_written(client: LocalClient) -> None:
    answer = client.ask("picture", stream="demo", width=320)
    assert answer.descriptor is not None
    with os.fdopen(answer.descriptor, "rb") as file:
        with pytest.raises(PermissionError):
            os.write(file.fileno(), b"x")
        jpeg = file.read()
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    assert (answer.result["width"], answer.result["height"]) == (width, height)
    assert answer.result["masked"] is True
    assert picture[:, : width // 2 - 8].max() < 40
    assert picture[:, width // 2 + 8 :].max() > 100
    assert client.ask("picture", stream="demo", after=answer.result["sequence"]).result["sequence"] > 0


def test_a_closed_camera_shows_no_picture(client: LocalClient) -> None:
    assert command(client, "pause", stream="demo")["ok"]  # which is forbidden over MQTT alone
    with pytest.raises(LocalError, match="the camera of stream demo is closed"):
        client.ask("picture", stream="demo")
    assert command(client, "resume", stream="demo")["ok"]
    assert client.ask("picture", stream="demo").descriptor is not None
    with pytest.raises(LocalError, match="no stream 'x'; there are demo"):
        client.ask("picture", stream="x")


def test_what_is_taught_is_listed_and_its_picture_can_be_seen(client: LocalClient) -> None:
    within(READY_S, lambda: topics(client)["teaching"]["places"], "teaching has begun")
    taught = command(client, "teach", label="a demo", seconds=1)
    assert taught["ok"], taught
    listed = command(client, "teach_list")["result"]["examples"]
    assert [each["label"] for each in listed] == ["a demo"]
    answer = client.ask("example_file", example=listed[0]["id"], file="picture")
    assert answer.result == {"media_type": "image/jpeg"}
    assert answer.descriptor is not None
    with os.fdopen(answer.descriptor, "rb") as file:
        assert file.read(2) == b"\xff\xd8"
    with pytest.raises(LocalError):
        client.ask("example_file", example="none", file="sound")


def test_the_config_is_shown_without_its_password_and_checked_by_a_start(
    client: LocalClient, running: DaemonProcess
) -> None:
    shown = client.ask("config").result
    assert PASSWORD not in json.dumps(shown)
    assert "password: '***'" in shown["text"]
    assert shown["problems"] == []
    text = running.config_path.read_text()
    assert client.ask("config_check", text=text).result == {"problems": []}
    wrong = client.ask("config_check", text=text.replace("masks:", "mask:")).result["problems"]
    assert [each["line"] for each in wrong] == [text.split("masks:")[0].count("\n") + 1]
    assert "did you mean 'masks'?" in wrong[0]["text"]


def test_the_log_is_told_from_a_line_on(client: LocalClient) -> None:
    lines = client.ask("log").result["lines"]
    assert [line["number"] for line in lines] == list(range(lines[0]["number"], lines[0]["number"] + len(lines)))
    assert {"number", "time", "level", "module", "text"} == set(lines[0])
    assert all(
        line["number"] > lines[-1]["number"] for line in client.ask("log", after=lines[-1]["number"]).result["lines"]
    )


def test_a_verdict_about_an_unknown_event_says_why(client: LocalClient) -> None:
    with pytest.raises(LocalError, match="no event 'x' is known"):
        client.ask("judge", event="x", answer="wrong")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"do": "nothing"}, "unknown request 'nothing'; there are follow, command"),
        ({"do": 5}, "unknown request '5'"),
        ({"do": "picture"}, "picture: stream: field required"),
        ({"do": "picture", "stream": "demo", "width": 10**9}, "less than or equal to 1920"),
        ({"do": "history_list", "before": 2**70}, "before"),
        ({"do": "judge", "event": "x", "answer": "was"}, "expected a label with the answer was"),
        ({"do": "command", "name": "x" * 1000}, "at most 256 characters"),
        ({"do": "history_file", "event": "../../x", "file": "clip"}, "no event"),
    ],
)
def test_a_request_that_is_wrong_is_refused_in_words(client: LocalClient, content: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalError) as raised:
        client.ask(content.pop("do"), **content)
    assert raised.value.kind == "refused"
    assert reason in str(raised.value)


def test_hostile_clients_leave_the_daemon_untouched(client: LocalClient, running: DaemonProcess) -> None:
    path = str(daemon_socket(running))
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, struct.pack("!I", 2**31), struct.pack("!I", 4) + b"null"):
        with connected(path) as hostile:
            hostile.sendall(sent)
            answer = hostile.recv(1000)
            assert b'"ok":false' in answer
    silent = [connected(path) for _ in range(40)]
    try:
        with pytest.raises(LocalError, match="busy"):
            client.ask("describe")
    finally:
        for each in silent:
            each.close()
    for _ in range(1000):
        with suppress(BlockingIOError):  # as many wait already as may wait
            connected(path).close()
    within(READY_S, lambda: is_answered(client), "the daemon answers again")
    assert running.process.poll() is None


def connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(60)
    made.connect(path)
    return made


def is_answered(client: LocalClient) -> bool:
    try:
        client.ask("describe")
    except LocalError:
        return False
    return True


def test_a_follower_that_does_not_read_holds_up_nobody(client: LocalClient, running: DaemonProcess) -> None:
    with connected(str(daemon_socket(running))) as slow:
        content = b'{"do":"follow"}'
        slow.sendall(struct.pack("!I", len(content)) + content)
        with closing(client.follow()) as followed:
            kinds = {next(followed)["kind"] for _ in range(5)}
    assert kinds <= {"scores", "topic", "event", "kept", "alive"}


def test_a_reload_keeps_the_socket(client: LocalClient, running: DaemonProcess) -> None:
    before = running.config_path.read_text()
    running.config_path.write_text(before.replace("name: Demo", "name: Other"))
    client.ask("reload")
    within(READY_S, lambda: name_of_demo(client) == "Other", "the config is read")


def name_of_demo(client: LocalClient) -> str | None:
    try:
        return client.ask("describe").result["streams"]["demo"]["name"]
    except LocalError:  # one node ends, and the next one begins
        return None


def test_the_daemon_stops_in_time_while_somebody_follows(client: LocalClient, running: DaemonProcess) -> None:
    ended = threading.Event()
    reader = threading.Thread(target=follow_until_end, args=(client, ended))
    reader.start()
    assert running.stop() == 0
    reader.join(60)
    assert ended.is_set()
    assert not daemon_socket(running).exists()


def follow_until_end(client: LocalClient, ended: threading.Event) -> None:
    try:
        for _ in client.follow():
            pass
    except LocalError:
        ended.set()
