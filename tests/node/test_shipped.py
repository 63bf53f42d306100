"""The shipped config and bundle from end to end, with recordings, an RTSP camera, a sound server and MQTT text."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of, is_running
from tests.helpers.pulse import PulseServer, pulse_server
from tests.helpers.rtsp import rtsp_camera
from tests.node.test_daemon import parsed, replayed, stripped


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def sound_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """A sound server that the daemons of this test use."""
    (tmp_path / "pulse").mkdir()
    with pulse_server(tmp_path / "pulse") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def listening(node: str, broker: Mosquitto) -> dict:
    """Return the shipped config with the default microphone instead of the recording."""
    config = shipped(node, broker)
    del config["streams"]["demo"]["replay"]
    config["streams"]["demo"]["microphone"] = "default"
    return config


def shipped(node: str, broker: Mosquitto) -> dict:
    """Return the shipped config, with absolute paths, for another node and broker."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["node"], config["mqtt"]["port"] = node, broker.port
    config["mqtt"]["recognitions"]["publish"] = "every"
    config["bundle"] = str(ROOT / config["bundle"])
    replay = config["streams"]["demo"]["replay"]
    replay["file"], replay["text"] = str(ROOT / replay["file"]), str(ROOT / replay["text"])
    return config


def test_the_clip_is_recognised_by_all_senses_with_the_same_messages_every_time(
    tmp_path: Path, broker: Mosquitto
) -> None:
    runs = []
    for node, image_workers in (("one", 1), ("two", 1), ("three", 3)):
        config = shipped(node, broker)
        config["devices"]["image_workers"] = image_workers
        config["streams"]["demo"]["replay"].update(loop=False, pace="fast")
        runs.append(replayed(config, tmp_path / node, broker))
    assert stripped(runs[0]) == stripped(runs[1]) == stripped(runs[2])
    truth = yaml.safe_load((ROOT / "models/digits/demo/clip.truth.yaml").read_text())["passages"]
    shown = {passage["label"] for passage in truth if passage["kind"] in ("both", "text")}
    assert shown <= {event["label"] for event in parsed(runs[0], "event")}
    senses = {tuple(recognition["modalities"]) for recognition in parsed(runs[0], "recognition")}
    assert {("image", "audio"), ("image", "audio", "text")} <= senses
    health = parsed(runs[0], "health")[-1]["streams"]["demo"]
    assert [counts["dropped"] for counts in health["inputs"].values()] == [{}, {}, {}]
    assert health["inputs"]["text"]["encoded"] == 3


def test_text_from_mqtt_is_recognised_and_unusable_payloads_are_counted(tmp_path: Path, broker: Mosquitto) -> None:
    config = shipped("reader", broker)
    del config["streams"]["demo"]["replay"]
    config["health"]["every_s"] = 1
    topic = "perceptd/reader/demo/text"
    broker.publish(topic, b"room one", retain=True)
    with Subscriber(broker, "perceptd/reader/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:

        def text_counts() -> dict:
            return parsed(subscriber.heard, "health")[-1]["streams"]["demo"]["inputs"]["text"]

        wait_until(lambda: parsed(subscriber.heard, "health"), "health")
        wait_until(lambda: text_counts()["dropped"] == {"retained": 1}, "the retained text is ignored")
        for payload in (b"\xff\xfe", b"7" * 4097, b"  "):
            broker.publish(topic, payload)
        broker.publish(topic, json.dumps({"text": "room seven"}).encode())
        wait_until(lambda: parsed(subscriber.heard, "event"), "an event")
        start = parsed(subscriber.heard, "event")[0]
        assert (start["label"], start["phase"]) == ("7", "start")
        broker.publish(topic, ("the way to room number three, " * 3).encode())
        expected = {"retained": 1, "not_utf8": 1, "too_long": 1, "empty": 1, "cut": 1}
        wait_until(lambda: text_counts()["dropped"] == expected, "each payload is counted under its reason")
        assert text_counts()["captured"] == 2
        assert daemon.stop() == 0


def test_an_rtsp_camera_is_recognised_by_picture_and_sound(tmp_path: Path, broker: Mosquitto) -> None:
    with rtsp_camera("aac", "viewer", "s3cret") as camera:
        config = shipped("camera", broker)
        stream = config["streams"]["demo"]
        del stream["replay"]
        stream["camera"], stream["microphone"] = camera.url("viewer:s3cret@"), "camera"
        with Subscriber(broker, "perceptd/camera/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
            wait_until(
                lambda: any(
                    set(r["modalities"]) == {"image", "audio"} for r in parsed(subscriber.heard, "recognition")
                ),
                "recognitions of picture and sound",
            )
            assert daemon.stop() == 0
            subscriber.wait_offline("camera")
            assert not any(b"s3cret" in message.payload for message in subscriber.heard)
            assert "s3cret" not in daemon.log


@pytest.mark.xdist_group("sound")
def test_the_option_microphone_replaces_the_recording(
    tmp_path: Path, broker: Mosquitto, sound_server: PulseServer
) -> None:
    spoken = tmp_path / "seven.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", spoken, "seven"], check=True)
    config, arguments = shipped("listener", broker), ("--microphone", "default")
    with (
        Subscriber(broker, "perceptd/listener/#") as subscriber,
        DaemonProcess(config, tmp_path, *arguments) as daemon,
    ):

        def labels() -> list[str]:
            return [recognition["label"] for recognition in parsed(subscriber.heard, "recognition")]

        wait_until(labels, "recognitions of silence")
        assert "7" not in labels()
        for _ in range(3):
            command = ["paplay", "--device=speaker", spoken]
            subprocess.run(command, env=sound_server.environment, check=True, timeout=60)
        wait_until(lambda: "7" in labels(), "the spoken digit is recognised")
        recognitions = parsed(subscriber.heard, "recognition")
        assert {tuple(recognition["modalities"]) for recognition in recognitions} == {("audio",)}
        assert daemon.stop() == 0
        subscriber.wait_offline("listener")
        assert set(parsed(subscriber.heard, "health")[-1]["streams"]["demo"]["sources"]) == {"microphone"}


@pytest.mark.xdist_group("sound")
def test_it_stops_in_time_while_the_sound_server_hangs(
    tmp_path: Path, broker: Mosquitto, sound_server: PulseServer
) -> None:
    with DaemonProcess(listening("stuck", broker), tmp_path) as daemon:
        wait_until(lambda: "demo/microphone: delivers" in daemon.log, "sound")
        assert "portaudio" not in Path(f"/proc/{daemon.process.pid}/maps").read_text(), "only the child loads it"
        with sound_server.frozen():
            assert daemon.stop() == 0
        assert "did not close in time" not in daemon.log


@pytest.mark.xdist_group("sound")
@pytest.mark.usefixtures("sound_server")
def test_a_killed_daemon_leaves_no_capture_process(tmp_path: Path, broker: Mosquitto) -> None:
    with DaemonProcess(listening("killed", broker), tmp_path) as daemon:
        wait_until(lambda: "demo/microphone: delivers" in daemon.log, "sound")
        children = children_of(daemon.process.pid, "daemon.sources.capture.microphone")
        assert len(children) == 1
        daemon.process.kill()
        wait_until(lambda: not is_running(children[0]), "the child has ended")
