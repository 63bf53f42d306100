"""Gates from end to end: a real daemon, a real broker, the shipped bundle, a recording that is mostly quiet."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.sources.container import read_sound
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber

DIGITS = ROOT / "models" / "digits"
FPS, RATE_HZ = 15, 8000
SECONDS = 12
# when each digit is spoken, in seconds
SPOKEN_AT_S = {"seven": 3.0, "five": 8.0}

# these frames show a moving seven while it is spoken; the five is only spoken
SHOWN_FROM, SHOWN_UNTIL = 45, 69


def write_clip(path: Path) -> None:
    """Write noise of a dark room in picture and sound, with a moving, spoken seven and a spoken five."""
    generator = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        video.height, video.width = _picture(0, generator).shape[:2]
        video.pix_fmt = "yuv420p"
        for index in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(_picture(index, generator), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        sound = np.round(_sound(generator) * 32767).astype(np.int16)
        for start in range(0, len(sound), 1024):
            piece = av.AudioFrame.from_ndarray(sound[np.newaxis, start : start + 1024], format="s16", layout="mono")
            piece.sample_rate, piece.pts = RATE_HZ, start
            container.mux(audio.encode(piece))
        container.mux(audio.encode())


def _picture(index: int, generator: np.random.Generator) -> np.ndarray:
    is_shown = SHOWN_FROM <= index < SHOWN_UNTIL
    picture = cv2.imread(str(DIGITS / "selftest" / ("seven.png" if is_shown else "nothing.png")))
    noisy = np.roll(picture, index % 4 * 2, axis=1) if is_shown else picture
    return np.clip(noisy + generator.integers(-3, 4, picture.shape), 0, 255).astype(np.uint8)


def _sound(generator: np.random.Generator) -> np.ndarray:
    sound = generator.normal(0, 0.001, SECONDS * RATE_HZ)
    for name, at_s in SPOKEN_AT_S.items():
        spoken = read_sound(DIGITS / "selftest" / f"{name}.wav", RATE_HZ)
        start = round((at_s + 0.2) * RATE_HZ)
        sound[start : start + len(spoken)] += spoken
    return np.clip(sound, -1, 1)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gates") / "clip.mkv"
    write_clip(path)
    return path


def played(clip: Path, directory: Path, broker: Mosquitto, gates: dict) -> tuple[list[tuple[str, str]], dict]:
    """Replay the recording as fast as possible; return phase and label of each event, and the last input counts."""
    directory.mkdir()
    settings = {
        "node": directory.name,
        "bundle": str(DIGITS),
        "mqtt": {"port": broker.port},
        "streams": {"s": {"replay": {"file": str(clip), "loop": False, "pace": "fast"}, "gates": gates}},
    }
    base = f"perceptd/{directory.name}"
    with Subscriber(broker, f"{base}/#") as subscriber:
        with DaemonProcess(settings, directory) as daemon:
            assert daemon.wait(60) == 0
        subscriber.wait_offline(directory.name)
        events = [json.loads(payload) for payload in subscriber.payloads(f"{base}/s/event")]
        health = json.loads(subscriber.payloads(f"{base}/health")[-1])
    return [(event["phase"], event["label"]) for event in events], health["streams"]["s"]["inputs"]


def test_closed_gates_save_encoder_runs_and_change_no_event(material: Path, tmp_path: Path) -> None:
    with Mosquitto() as broker:
        expected, without = played(material, tmp_path / "without", broker, {})
        found, gated = played(material, tmp_path / "gated", broker, {"motion": {}, "sound": {}})
    steps = [step for step in expected if step[0] != "update"]
    assert steps == [("start", "7"), ("end", "7"), ("start", "5"), ("end", "5")]
    assert [step for step in found if step[0] != "update"] == steps
    for modality in ("image", "audio"):
        assert without[modality]["dropped"] == {}
        assert gated[modality]["captured"] == without[modality]["captured"]
        assert set(gated[modality]["dropped"]) == {"gate_closed"}
        assert gated[modality]["encoded"] + gated[modality]["dropped"]["gate_closed"] == without[modality]["encoded"]
        assert gated[modality]["encoded"] < 0.4 * without[modality]["encoded"]
