"""`speech: drop` in a real node with the bundle `home`: nobody can hear afterwards what was said."""

import shutil
import subprocess
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.cli.bundle_build import build_bundle
from daemon.history.reader import HistoryReader
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models" / "home" / "recipe.yaml"
SAID = "Good evening. The kettle is on, and dinner is ready in five minutes. Please come to the table."
RATE, PICTURES_HZ = 16_000, 10


@pytest.mark.campaign("history-live")
@pytest.mark.skipif(not IS_CAMPAIGN, reason="takes a minute: scripts/test-campaigns history-live")
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
@needs_shared
@pytest.mark.parametrize(("speech", "sound"), [("drop", None), ("keep", "opus")])
@pytest.mark.parametrize("has_pictures", [True, False])
def test_what_was_said_is_in_no_clip_if_the_config_says_so(
    tmp_path: Path, speech: str, sound: str | None, has_pictures: bool
) -> None:
    build_bundle(RECIPE, tmp_path / "home", SHARED / "models", None, print)
    write_film(tmp_path / "film.mp4", spoken(tmp_path / "said.wav"), has_pictures=has_pictures)
    with Mosquitto() as broker:
        settings = {
            "node": "quiet",
            "bundle": str(tmp_path / "home"),
            "mqtt": {"port": broker.port},
            "history": {"speech": speech, "before_s": 2, "after_s": 2, "except": ["silence"]},
            "streams": {"s": {"replay": {"file": str(tmp_path / "film.mp4"), "loop": False, "pace": "realtime"}}},
        }
        with DaemonProcess(settings, tmp_path) as daemon:
            assert daemon.wait(90) == 0
    history = tmp_path / "state" / "history"
    with HistoryReader(history) as reader:
        events = list(reader.events(limit=100))
    of_speech = [event for event in events if event.label == "speech"]
    assert of_speech
    assert "silence" not in {event.label for event in events}
    for event in of_speech:
        if sound is None and not has_pictures:
            assert event.clip is None
            continue
        assert event.clip is not None
        assert (event.clip.video, event.clip.audio) == ("mjpeg" if has_pictures else None, sound)
        with av.open(str(history / "clips" / f"{event.number}.mp4")) as container:
            kinds = {stream.type for stream in container.streams}
        assert kinds == ({"video"} if has_pictures else set()) | ({"audio"} if sound else set())
    expected = {f"{event.number}.mp4" for event in events if event.clip}
    expected |= {f"{event.number}.jpg" for event in events if event.snapshot_bytes}
    assert {path.name for path in (history / "clips").iterdir()} == expected


def spoken(path: Path) -> np.ndarray:
    """Return 5 s of silence, what espeak-ng says, and silence again."""
    subprocess.run(["espeak-ng", "-v", "en", "-w", str(path), SAID], check=True)
    with wave.open(str(path)) as file:
        said = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    at = np.arange(0, len(said) - 1, rate / RATE)
    said = np.interp(at, np.arange(len(said)), said).astype(np.int16)
    return np.concatenate([np.zeros(5 * RATE, np.int16), said, np.zeros(5 * RATE, np.int16)])


def write_film(path: Path, samples: np.ndarray, *, has_pictures: bool) -> None:
    """Write a film of a grey wall with this sound."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        if has_pictures:
            video = container.add_stream("mpeg4", rate=PICTURES_HZ)
            video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
            wall = np.full((240, 320, 3), 128, np.uint8)
            for _ in range(len(samples) * PICTURES_HZ // RATE):
                container.mux(video.encode(av.VideoFrame.from_ndarray(wall, format="rgb24")))
            container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
