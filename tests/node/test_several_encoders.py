"""The daemon from end to end with a bundle of format 2: several encoders of one sense, independent labels."""

import json
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest
from contracts import CHANNELS

from tests.helpers.format2_bundle import RATE_HZ, noise, write_bundle
from tests.helpers.mosquitto import Heard, Mosquitto
from tests.node.test_daemon import parsed, replayed, stripped

FPS = 30
SECONDS = 6


def write_clip(path: Path) -> None:
    """Write six seconds: a picture that is bright on the left from 1 s to 5 s, noise from 2 s to 4 s."""
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=FPS), container.add_stream("pcm_s16le", rate=RATE_HZ)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio.layout = "mono"
        for index in range(FPS * SECONDS):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, :32] = 255 if FPS <= index < 5 * FPS else 0
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(video.encode())
        samples = np.concatenate([noise(2, 0.0001), noise(2), noise(2, 0.0001)])
        sound = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[np.newaxis], "s16", "mono")
        sound.sample_rate = RATE_HZ
        container.mux(audio.encode(sound))
        container.mux(audio.encode())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Heard]]:
    """All messages of two replays of the clip."""
    directory = tmp_path_factory.mktemp("corner")
    write_bundle(directory / "bundle")
    write_clip(directory / "clip.mkv")
    with Mosquitto() as broker:
        settings = {
            "bundle": str(directory / "bundle"),
            "mqtt": {"port": broker.port, "recognitions": {"publish": "every", "labels": 4}},
            "streams": {"s": {"replay": {"file": str(directory / "clip.mkv"), "loop": False, "pace": "fast"}}},
        }
        return [replayed({"node": name, **settings}, directory / name, broker) for name in ("first", "second")]


@pytest.mark.xdist_group("several-encoders")
def test_the_same_clip_gives_the_same_messages_every_time(runs: list[list[Heard]]) -> None:
    first, second = (stripped(run) for run in runs)
    assert first == second


@pytest.mark.xdist_group("several-encoders")
def test_events_of_independent_labels_are_open_at_once(runs: list[list[Heard]]) -> None:
    events = [event for event in parsed(runs[0], "event") if event["phase"] != "update"]
    assert [(event["label"], event["phase"], event["ended_by"]) for event in events] == [
        ("left", "start", None),
        ("loud", "start", None),
        ("loud", "end", "absent"),
        ("left", "end", "absent"),
    ]
    assert [event["shares"] for event in events[:2]] == [{"image": 1.0, "audio": 0.0}, {"image": 0.0, "audio": 1.0}]
    states = [(state["label"], state["open"]) for state in parsed(runs[0], "state")]
    assert ["left", "loud"] in [open_labels for _, open_labels in states]
    assert states[-1] == (None, [])


@pytest.mark.xdist_group("several-encoders")
def test_recognitions_tell_each_encoder_and_explain_their_scores(runs: list[list[Heard]]) -> None:
    recognitions = parsed(runs[0], "recognition")
    whole = [each for each in recognitions if len(each["encoders"]) == 3]
    assert len(whole) > 50
    assert {each["scoring"] for each in recognitions} == {"independent"}
    for each in whole:
        assert list(each["encoders"]) == ["scene", "people", "sound"]
        assert list(each["modalities"]) == ["image", "audio"]
        ages = [each["encoders"][name]["age_ms"] for name in ("scene", "people")]
        assert each["modalities"]["image"]["age_ms"] == min(ages)
        for label in each["labels"]:
            if label["label"] != "none":
                assert label["score"] == pytest.approx(1 / (1 + np.exp(-label["logit"])), abs=2e-4)
        scores = {label["label"]: label["score"] for label in each["labels"]}
        assert scores.pop("none") == pytest.approx(1 - max(scores.values()), abs=2e-4)


@pytest.mark.xdist_group("several-encoders")
def test_health_counts_each_encoder_of_a_sense_and_no_rate_as_a_drop(runs: list[list[Heard]]) -> None:
    health = parsed(runs[0], "health")[-1]
    inputs = health["streams"]["s"]["inputs"]
    scene, people = (inputs["image"]["encoders"][name] for name in ("scene", "people"))
    assert scene["encoded"] in range(10 * SECONDS, 10 * SECONDS + 2)
    assert people["encoded"] in range(2 * SECONDS, 2 * SECONDS + 2)
    assert scene["dropped"] == people["dropped"] == inputs["image"]["dropped"] == {}
    assert inputs["image"]["encoded"] == scene["encoded"] + people["encoded"]
    assert inputs["image"]["captured"] == FPS * SECONDS
    assert set(inputs["audio"]) == {"captured", "encoded", "dropped"}
    assert list(health["encoders"]) == ["scene", "people", "sound"]


@pytest.mark.xdist_group("several-encoders")
def test_every_message_is_valid_under_its_schema(runs: list[list[Heard]]) -> None:
    kinds = ("recognition", "event", "state", "health", "status")
    validators = {each.name: jsonschema.Draft202012Validator(each.schema) for each in CHANNELS if each.name in kinds}
    for message in runs[0][::3] + runs[0][-5:]:
        kind = message.topic.rpartition("/")[2]
        if kind in kinds:
            validators[kind].validate(json.loads(message.payload))
