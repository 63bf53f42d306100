"""The sources that a stream's configuration gives."""

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config.streams import StreamConfig
from daemon.sources.factory import build_sources, plays_once
from daemon.sources.files.replay import ReplaySource
from daemon.sources.http.camera import HttpCamera
from daemon.sources.microphone import Microphone
from daemon.sources.network.camera import NetworkCamera
from daemon.sources.network.opening import label_of
from daemon.sources.v4l2 import V4l2Camera

ROOT = Path(__file__).resolve().parents[2]
CAMERA = {"device": 0}
URL = {"device": "rtsp://user:secret@host/path"}
HTTP = {"device": "http://user:secret@host/path"}
HTTPS = {"device": "https://user:secret@host/path"}
FILE = {"device": "/srv/clip.mp4"}
REPLAY = {"file": "/srv/clip.mp4"}
SOUND_OF_CAMERA = {"device": "camera"}


@pytest.mark.parametrize(
    ("stream", "sound", "picture", "expected"),
    [
        ({"replay": REPLAY}, True, True, {"replay": ReplaySource}),
        ({"camera": CAMERA}, True, True, {"camera": V4l2Camera}),
        ({"camera": {"device": "/dev/v4l/by-id/x"}}, True, True, {"camera": V4l2Camera}),
        ({"camera": FILE}, True, True, {"camera": ReplaySource}),
        ({"camera": URL, "microphone": {}}, True, True, {"camera": NetworkCamera, "microphone": Microphone}),
        ({"camera": URL, "microphone": SOUND_OF_CAMERA}, True, True, {"camera": NetworkCamera}),
        ({"camera": HTTP, "microphone": SOUND_OF_CAMERA}, True, True, {"camera": HttpCamera}),
        ({"camera": HTTPS}, True, True, {"camera": HttpCamera}),
        ({"camera": URL, "microphone": SOUND_OF_CAMERA}, True, False, {"camera": NetworkCamera}),
        ({"camera": URL, "microphone": SOUND_OF_CAMERA}, False, False, {}),
        ({"camera": CAMERA, "microphone": {}}, False, True, {"camera": V4l2Camera}),
        ({"camera": CAMERA, "microphone": {}}, True, False, {"microphone": Microphone}),
        ({"text": {}}, True, True, {}),
    ],
)
def test_a_stream_has_the_sources_that_are_configured_and_needed(
    stream: dict[str, object], sound: bool, picture: bool, expected: dict[str, type]
) -> None:
    config = StreamConfig.model_validate(stream)
    sources = build_sources(config, sample_rate_hz=16_000 if sound else None, picture=picture, counters={})
    assert {name: type(source) for name, source in sources.items()} == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ({"replay": REPLAY}, set()),
        ({"replay": {**REPLAY, "loop": False}}, {"replay"}),
        ({"camera": {**FILE, "loop": False}, "microphone": {}}, {"camera"}),
        ({"camera": FILE}, set()),
        ({"camera": {**URL, "loop": False}}, set()),
    ],
)
def test_only_a_file_without_loop_is_played_once(stream: dict[str, object], expected: set[str]) -> None:
    config = StreamConfig.model_validate(stream)
    assert {name for name in ("camera", "microphone", "replay") if plays_once(name, config)} == expected


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("rtsp://user:secret@host:554/user=a&password=b", "rtsp://host:554"),
        ("http://host/video?pwd=secret", "http://host"),
        ("rtsp://user:sec@ret@host/path", "rtsp://host"),
        ("https://[::1]:8443/video", "https://[::1]:8443"),
    ],
)
def test_the_label_of_a_url_has_no_part_that_may_be_secret(url: str, label: str) -> None:
    assert label_of(url) == label
    stream = NetworkCamera(url, {}, None)
    assert "secret" not in repr(stream)
    assert "secret" not in repr(HttpCamera(url, {}, None, False, None, 2.5, stream, stream))


def test_building_sources_of_local_devices_imports_neither_pyav_nor_portaudio() -> None:
    script = (
        "import sys; from daemon.config.streams import StreamConfig; from daemon.sources.factory import build_sources;"
        "config = StreamConfig.model_validate({'camera': 0, 'microphone': 'default'});"
        "print(sorted(build_sources(config, sample_rate_hz=16000, picture=True, counters={})),"
        " sorted({'av', 'sounddevice'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['camera', 'microphone'] []"
