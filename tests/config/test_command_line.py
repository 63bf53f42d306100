"""What the command line and the environment replace in a config, and how a camera's password stays out of sight."""

import logging
import re
from pathlib import Path

import pytest

from daemon.cli.parser import new_parser
from daemon.config.command_line import CAMERA_VARIABLE, ConfigOptions
from daemon.core.errors import Refused
from tests.helpers.bundle_builder import write_bundle

URL, OTHER = "rtsp://me:s3cret@camera/live", "rtsp://camera/other"
CONFIG = "node: n\nbundle: b\nstreams: {front: {replay: {file: clip.mp4}}, back: {camera: 0}}\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return str(tmp_path / "config.yaml")


@pytest.fixture
def camera_file(tmp_path: Path) -> Path:
    file = tmp_path / "camera"
    file.touch(0o600)
    file.write_text(f"{URL}\nanother line\n")
    return file


def camera(options: ConfigOptions, **environment: str) -> object:
    streams = options.load(environment).document.streams
    assert streams["back"].camera is not None and streams["back"].camera.device == 0
    front = streams["front"]
    return front.camera and front.camera.device


def test_a_camera_comes_from_an_option_or_a_file_before_the_environment(path: str, camera_file: Path) -> None:
    variable = {CAMERA_VARIABLE: OTHER}
    assert camera(ConfigOptions(path)) is None
    assert camera(ConfigOptions(path), **{CAMERA_VARIABLE: ""}) is None
    assert camera(ConfigOptions(path), **variable) == OTHER
    assert camera(ConfigOptions(path, camera="/dev/video7"), **variable) == "/dev/video7"
    assert camera(ConfigOptions(path, camera_file=str(camera_file)), **variable) == URL


def test_options_survive_the_way_into_a_child_process(path: str, camera_file: Path) -> None:
    options = ConfigOptions(path, None, str(camera_file), "default", "broker:1884")
    again = ConfigOptions.from_json(options.to_json())
    assert again == options
    config = again.load({}).document
    assert (config.mqtt.host, config.mqtt.port) == ("broker", 1884)
    assert config.streams["front"].microphone is not None


def test_a_file_that_everybody_can_read_is_reported(
    path: str, camera_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ConfigOptions(path, camera_file=str(camera_file))
    with caplog.at_level(logging.WARNING):
        assert camera(options) == URL
        assert caplog.text == ""
        camera_file.chmod(0o644)
        assert camera(options) == URL
    assert f"--camera-file = {camera_file}: every user of this machine can read it; chmod o-r" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "--camera-file = .*: cannot be read: No such file"),
        ("x" * 5000, "larger than 4096 bytes"),
        ("ftp://me:s3cret@camera\n", "--camera-file: .*expected a URL of rtsp"),
        ("\n", "--camera-file: .*expected a number, a path or a URL"),
    ],
)
def test_a_file_without_a_camera_is_refused(path: str, tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "cam"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Refused, match=problem) as refused:
        ConfigOptions(path, camera_file=str(file)).load({})
    assert "s3cret" not in str(refused.value)


def test_a_password_on_the_command_line_is_remarked_without_being_repeated(path: str) -> None:
    (remark,) = ConfigOptions(path, camera=URL).remarks()
    assert "--camera-file" in remark and CAMERA_VARIABLE in remark and "s3cret" not in remark
    assert ConfigOptions(path, camera=OTHER).remarks() == ConfigOptions(path, camera="0").remarks() == []


def test_only_the_options_that_were_given_are_blamed(path: str) -> None:
    with pytest.raises(Refused, match=r"^--microphone: microphone.device: camera needs a camera that is a URL or a f"):
        ConfigOptions(path, microphone="camera").load({})
    with pytest.raises(Refused, match=r"^--camera, --microphone: microphone.device: camera needs a camera"):
        ConfigOptions(path, camera="0", microphone="camera").load({})


def test_a_file_is_no_microphone(path: str, tmp_path: Path) -> None:
    sound = tmp_path / "bark.ogg"
    assert ConfigOptions(path, microphone=str(sound)).load({})  # a device that is missing may come
    sound.touch()
    with pytest.raises(Refused, match=f"is a file; play it by --camera {sound} --microphone camera$"):
        ConfigOptions(path, microphone=str(sound)).load({})


def test_another_bundle_runs_alone_without_the_source_that_would_replace_it(path: str, tmp_path: Path) -> None:
    source = "models: {source: 'https://models.example.org', root: root.json}\n"
    Path(path).write_text(CONFIG + source)
    assert ConfigOptions(path).load({}).document.models.source == "https://models.example.org"
    options = ConfigOptions(path, bundle=str(write_bundle(tmp_path / "other")))
    config = ConfigOptions.from_json(options.to_json()).load({}).document
    assert (config.bundle, config.models.source) == (str(tmp_path / "other"), None)
    with pytest.raises(Refused, match=r"^other: no bundle of this name in .*; there are .*digits"):
        ConfigOptions(path, bundle="other").load({})


@pytest.mark.parametrize("command", ["run", "sync-test"])
def test_the_help_names_every_way_to_give_a_camera(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        new_parser().parse_args([command, "--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert all(way in text for way in ("--camera DEVICE", "--camera-file FILE", CAMERA_VARIABLE, "list of processes"))
    with pytest.raises(SystemExit):
        new_parser().parse_args([command, "--camera", "0", "--camera-file", "f"])
    assert "not allowed with argument --camera" in capsys.readouterr().err
