"""The add-on of Home Assistant: its options and Supervisor's broker become the config of a node."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.cli.addon import Places, find_broker, give_to, groups_of, prepare, read_options, write_credentials
from daemon.cli.addon_config import Broker, Options, config_of
from daemon.config.node import load_config
from daemon.core.errors import Refused
from daemon.mqtt.broker.credentials import login
from tests.helpers.supervisor import MQTT, TOKEN, supervisor

MODELS = Path(__file__).resolve().parents[2] / "models"
BROKER = Broker(host="core-mosquitto", port=1883, username="addons", password="secret-of-addons")
SECRET = "rtsp://viewer:hunter2@camera.lan/stream"


def options(**more: Any) -> Options:
    return Options.model_validate({"node": "home", "bundle": "digits", **more})


def places(directory: Path) -> Places:
    for name in ("config", "own"):
        (directory / name).mkdir()
    return Places(
        directory / "options.json",
        directory / "own/perceptd.yaml",
        directory / "config/config.yaml",
        directory,
        directory / "login",
        MODELS,
    )


@pytest.mark.parametrize(
    ("more", "stream"),
    [
        (
            {"camera": SECRET, "microphone": "camera"},
            {"camera": {"device": SECRET}, "microphone": {"device": "camera"}},
        ),
        ({"camera": "/dev/video0"}, {"camera": {"device": "/dev/video0"}}),
        ({"microphone": "default"}, {"microphone": {"device": "default"}}),
        ({"camera": "", "microphone": ""}, {"replay": {"file": "d/clip.mp4", "text": "d/clip.text.yaml"}}),
        ({}, {"replay": {"file": "d/clip.mp4", "text": "d/clip.text.yaml"}}),
    ],
)
def test_what_is_chosen_becomes_the_stream(more: dict[str, Any], stream: dict[str, Any]) -> None:
    config = config_of(options(**more), BROKER, Path("b"), Path("d"))
    assert config["streams"] == {"main": stream}


@pytest.mark.parametrize("ssl", [False, True])
def test_a_node_loads_the_config_and_takes_the_login_as_a_credential(tmp_path: Path, ssl: bool) -> None:
    broker = BROKER.model_copy(update={"ssl": ssl})
    there = places(tmp_path)
    prepare(there, options(camera=SECRET, log_level="debug"), broker)
    loaded = load_config(there.config).document
    assert (loaded.node, loaded.log_level, loaded.mqtt.host, loaded.mqtt.tls is not None) == (
        "home",
        "debug",
        "core-mosquitto",
        ssl,
    )
    assert (loaded.page.trusted_proxies, loaded.page.proxy_login) == (["172.30.32.2"], "owner")
    assert stat.S_IMODE(there.config.stat().st_mode) == 0o640
    assert "secret-of-addons" not in there.config.read_text()
    # the login of an earlier start does not stay
    for each in (broker.model_copy(update={"username": "before", "password": "before"}), broker):
        write_credentials(there.credentials, each)
    assert login(loaded.mqtt, {"CREDENTIALS_DIRECTORY": str(there.credentials)}) == ("addons", "secret-of-addons")
    assert {stat.S_IMODE(path.stat().st_mode) for path in there.credentials.iterdir()} == {0o400}
    assert stat.S_IMODE(there.credentials.stat().st_mode) == 0o700


def test_a_file_of_the_person_comes_before_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = places(tmp_path)
    there.own_config.write_text("# my own\nnode: garage\n")
    prepare(there, options(), None)
    assert there.config.read_text() == "# my own\nnode: garage\n"
    assert "the options of the add-on do not count" in capsys.readouterr().err


def test_without_a_broker_and_without_a_file_the_person_learns_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"knows no MQTT broker\. Install the add-on Mosquitto broker") as refused:
        prepare(places(tmp_path), options(), None)
    assert "own/perceptd.yaml" in str(refused.value)


def test_options_that_are_wrong_are_named(tmp_path: Path) -> None:
    file = tmp_path / "options.json"
    file.write_text(json.dumps({"node": "a/b", "bundle": "digits", "camera": SECRET}))
    with pytest.raises(Refused, match=r"node = .a/b.: expected 1 to 64 characters") as refused:
        read_options(file)
    assert "hunter2" not in str(refused.value)
    file.write_text(json.dumps({"node": "home", "bundle": "home", "log_level": "info"}))
    assert read_options(file) == Options(node="home", bundle="home")


def test_supervisor_says_where_the_broker_is() -> None:
    with supervisor() as there:
        assert find_broker(TOKEN, there.url) == BROKER
        assert there.asked == ["/services/mqtt"]
        there.answer = {"result": "ok", "data": {"host": "b", "port": 8883, "ssl": True}}
        assert find_broker(TOKEN, there.url) == Broker(host="b", port=8883, ssl=True)
        there.knows_no_broker()
        assert find_broker(TOKEN, there.url) is None


@pytest.mark.parametrize(
    ("token", "answer", "message"),
    [
        (None, {}, "SUPERVISOR_TOKEN is missing"),
        ("another", {}, "rejects the login"),
        (TOKEN, {"result": "ok", "data": {"host": "", "port": 0, "password": "secret-of-addons"}}, "2 problems"),
        (TOKEN, b"secret-of-addons", "does not answer as expected"),
        (TOKEN, b'"' + b"x" * 70_000 + b'"', "more than the allowed 65536 bytes"),
    ],
)
def test_an_answer_that_is_of_no_use_is_refused_without_its_secret(
    token: str | None, answer: Any, message: str
) -> None:
    with supervisor() as there:
        there.answer = answer
        with pytest.raises(Refused, match=message) as refused:
            find_broker(token, there.url)
        assert "secret-of-addons" not in str(refused.value)


def test_the_password_is_shown_nowhere() -> None:
    assert MQTT["password"] not in repr(BROKER)


def test_all_that_root_has_left_in_the_volume_is_given_to_the_user(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("root's")
    state = tmp_path / "state"
    (state / "history").mkdir(parents=True)
    (state / "history" / "1.jpg").write_text("")
    (state / "link").symlink_to(outside)
    user = 900 if os.geteuid() == 0 else os.geteuid()
    give_to(user, [state, tmp_path / "config"])
    found = [state, *state.rglob("*"), tmp_path / "config"]
    assert {path.lstat().st_uid for path in found} == {user}
    assert outside.stat().st_uid == os.geteuid()


def test_the_groups_of_device_nodes_are_kept_but_for_roots(tmp_path: Path) -> None:
    for name, group in (("video0", 44), ("video1", 44), ("snd0", 29), ("apex_0", 0)):
        (tmp_path / name).write_text("")
        if os.geteuid() == 0:
            os.chown(tmp_path / name, 0, group)
    found = groups_of([f"{tmp_path}/video*", f"{tmp_path}/snd*", f"{tmp_path}/apex_*", f"{tmp_path}/none*"])
    assert found == ([29, 44] if os.geteuid() == 0 else sorted({os.getegid()} - {0}))


def test_the_written_config_is_yaml_for_a_person(tmp_path: Path) -> None:
    there = places(tmp_path)
    prepare(there, options(), BROKER)
    assert yaml.safe_load(there.config.read_text())["mqtt"] == {"host": "core-mosquitto", "port": 1883}
