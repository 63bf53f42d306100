"""A stream may look at the camera of another one, if that has a camera of its own."""

from pathlib import Path

import pytest

from daemon.config.command_line import ConfigOptions
from daemon.config.node import load_config, missing_files
from daemon.core.errors import DocumentError
from daemon.doctor.service_files import needs_of
from tests.cli.test_sync_test import main

START = """\
node: n
bundle: b
streams:
  yard: {camera: {device: clip.mp4, rotate: 90, fps: 5}, microphone: camera}
  tape: {replay: {file: clip.mp4}}
  ear: {microphone: default}
"""
GARAGE = '  garage: {camera: {device: "stream:yard", region: {left: 0.5}}}\n'


def written(directory: Path, text: str) -> Path:
    path = directory / "config.yaml"
    path.write_text(START + text)
    return path


def problem(directory: Path, text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        load_config(written(directory, text))
    (found,) = caught.value.problems
    return found.partition("config.yaml:")[2]


def test_a_view_names_a_stream_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    loaded = load_config(written(tmp_path, GARAGE + '  door: {camera: "stream:yard"}\n'))
    for name, left in (("garage", 0.5), ("door", 0.0)):
        camera = loaded.document.streams[name].camera
        assert camera is not None
        assert (camera.device, camera.view_of, camera.is_file, camera.region.left) == (
            "stream:yard",
            "yard",
            False,
            left,
        )
        assert not loaded.document.streams[name].camera_has_sound
    yard = loaded.document.streams["yard"].camera
    assert yard is not None
    assert (yard.device, yard.view_of) == (str(tmp_path / "clip.mp4"), None)
    assert missing_files(loaded) == []
    assert not [need for need in needs_of(loaded) if "garage" in need.where]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '  garage: {camera: "stream:yart"}\n',
            "7: streams.garage.camera = 'stream:yart': there is no stream yart; expected one of yard",
        ),
        (
            '  garage:\n    camera:\n      device: "stream:garage"\n',
            "9: streams.garage.camera.device = 'stream:garage': names this stream itself; expected one of yard",
        ),
        (
            '  garage: {camera: {device: "stream:ear"}}\n',
            "7: streams.garage.camera.device = 'stream:ear': the stream ear has no camera; expected one of yard",
        ),
        (
            '  garage: {camera: {device: "stream:tape"}}\n',
            "7: streams.garage.camera.device = 'stream:tape': the stream tape has no camera; expected one of yard",
        ),
        (
            GARAGE + '  door: {camera: {device: "stream:garage"}}\n',
            "8: streams.door.camera.device = 'stream:garage': the stream garage looks at the camera of yard itself; ",
        ),
        (
            '  garage: {camera: {device: "stream:"}}\n',
            "7: streams.garage.camera.device = 'stream:': there is no stream ; expected one of yard",
        ),
        *(
            (
                f'  garage: {{camera: {{device: "stream:yard", {key}: {value}}}}}\n',
                f"7: streams.garage.camera.{key} = {shown}: cannot be set for a part of the camera of yard; ",
            )
            for key, value, shown in [
                ("fps", "5", "5"),
                ("height", "480", "480"),
                ("loop", "true", "True"),
                ("masks", "[]", "[]"),
                ("offset_ms", "0", "0"),
                ("rotate", "0", "0"),
                ("stall_after_s", "9", "9"),
                ("transport", "tcp", "'tcp'"),
                ("width", "640", "640"),
            ]
        ),
        (
            '  garage: {camera: "stream:yard", microphone: camera}\n',
            "7: streams.garage: microphone.device: camera needs a camera that is a URL or a file",
        ),
    ],
)
def test_a_view_that_cannot_be_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(expected)


def test_two_streams_that_look_at_each_other(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text('node: n\nbundle: b\nstreams: {a: {camera: "stream:b"}, b: {camera: "stream:a"}}\n')
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    assert "no stream has a camera of its own" in str(caught.value)


def test_an_option_may_not_take_away_the_camera_that_is_looked_at(tmp_path: Path) -> None:
    path = str(written(tmp_path, GARAGE))
    assert ConfigOptions(path, camera="0").load({}).document.streams["yard"].camera is not None
    with pytest.raises(DocumentError, match=r"^streams.garage.camera: the stream yard has no camera; and no stream"):
        ConfigOptions(path, microphone="default").load({})


def test_the_offset_of_a_view_is_that_of_its_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, '  garage: {camera: "stream:yard", microphone: default}\n')
    assert main(["sync-test", "--config", str(path), "--stream", "garage"]) == 78
    assert "streams.garage: looks at the camera of yard; measure that stream: --stream yard" in capsys.readouterr().err
