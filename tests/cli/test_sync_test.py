"""`perceptd sync-test` on recordings of a known offset and on a real RTSP camera."""

import json
from itertools import accumulate, cycle, islice
from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.sources.av_sync import INTERVALS_S
from tests.helpers.campaign import share
from tests.helpers.clips import write_clip
from tests.helpers.rtsp import rtsp_camera

FLASHES_S = list(accumulate(islice(cycle(INTERVALS_S), 6)))


def clip(path: Path, late_s: float = 0.0, *, sound_hz: int = 48_000, codec: str = "aac") -> Path:
    beeps_s = [at + late_s for at in FLASHES_S]
    # at 20 frames a second each flash begins exactly at a frame
    return write_clip(
        path, seconds=9, fps=20, flashes_s=FLASHES_S, beeps_s=beeps_s, sound_hz=sound_hz, audio_codec=codec
    )


def measured(
    directory: Path,
    stream: dict[str, object],
    capsys: pytest.CaptureFixture[str],
    expected: int = 0,
    seconds: str = "11",
) -> dict:
    config = directory / "config.yaml"
    config.write_text(json.dumps({"node": "n", "bundle": "none", "streams": {"demo": stream}}))
    assert main(["sync-test", "--config", str(config), "--for", seconds, "--json"]) == expected
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("late_s", "camera_ms", "microphone_ms", "settings"),
    [
        (0.08, 0, 0, {"streams.demo.microphone.offset_ms": -80}),
        (-0.12, -50, 0, {"streams.demo.camera.offset_ms": -120}),
        (0.2, 0, -150, {"streams.demo.microphone.offset_ms": -200}),
        (0.1, 0, -100, {}),
    ],
)
def test_a_known_offset_is_measured_and_the_settings_are_printed(
    late_s: float,
    camera_ms: float,
    microphone_ms: float,
    settings: dict[str, float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = {
        "camera": {"device": str(clip(tmp_path / "clip.mp4", late_s)), "loop": False, "offset_ms": camera_ms},
        "microphone": {"device": "camera", "offset_ms": microphone_ms},
    }
    found = measured(tmp_path, stream, capsys)
    assert found["flashes"] == found["beeps"] == found["pairs"] == len(FLASHES_S)
    assert found["sound_late_ms"] == pytest.approx(late_s * 1000 + microphone_ms - camera_ms, abs=10)
    assert found["set"].keys() == settings.keys()
    for key, value in settings.items():
        assert found["set"][key] == pytest.approx(value, abs=10)


def test_a_recording_is_read_at_once_and_only_as_much_of_it_as_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # in a loop of 9 s there are six flashes, of which the seventh pass shows four before its sixth second
    camera = {"device": str(clip(tmp_path / "clip.mp4", 0.08)), "loop": True}
    found = measured(tmp_path, {"camera": camera, "microphone": "camera"}, capsys, seconds="59.5")
    assert found["flashes"] == found["beeps"] == found["pairs"] == 6 * len(FLASHES_S) + 4


@pytest.mark.campaign("sound-formats")
@pytest.mark.alone
@pytest.mark.parametrize("audio", share(["aac", "l16", "pcmu"], 1, "sound of cameras"))
def test_sound_and_picture_of_an_rtsp_camera_are_within_40_ms(
    audio: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with rtsp_camera(audio, clip=clip(tmp_path / "clip.mkv", codec="pcm_s16le")) as camera:
        stream = {"camera": camera.url(), "microphone": "camera"}
        found = measured(tmp_path, stream, capsys)
    assert found["pairs"] >= 4
    assert abs(found["sound_late_ms"]) < 40
    assert found["spread_ms"] < 40


def test_the_clip_of_make_has_no_offset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flashes.mp4"
    assert main(["sync-test", "--make", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"node": "n", "bundle": "none", "streams": {"a": {"replay": {"file": str(path)}}}}))
    assert main(["sync-test", "--config", str(config), "--for", "6.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a: flashes 5, beeps 5, pairs 5")
    assert lines[-1] == "nothing needs to be set"


def test_flashes_and_beeps_are_printed_when_the_offset_cannot_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = write_clip(tmp_path / "silent.mp4", seconds=6, fps=20, flashes_s=[1, 2.4], beeps_s=[])
    found = measured(tmp_path, {"replay": {"file": str(silent), "loop": False}}, capsys, expected=1)
    assert (found["flashes"], found["beeps"], found["pairs"], found["set"]) == (2, 0, 0, {})
    assert main(["sync-test", "--config", str(tmp_path / "config.yaml"), "--for", "7"]) == 1
    assert "flashes 2, beeps 0: too few of them belong together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stream", "none"], "--stream none: there is none; streams: demo"),
        (["--camera", "0"], "streams.demo: needs a camera and a microphone"),
        (["--make", "/no/such/directory/f.mp4"], "/no/such/directory/f.mp4: cannot be written"),
    ],
)
def test_sync_test_refuses_wrong_arguments(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"node": "n", "bundle": "none", "streams": {"demo": {"replay": {"file": "x"}}}}))
    assert main(["sync-test", "--config", str(config), *arguments]) == 78
    assert message in capsys.readouterr().err
