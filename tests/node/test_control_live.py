"""Commands to a real daemon over a real broker: their effects, their answers, and what survives a restart."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.mqtt.home_assistant.devices import discovery_topic, node_object, stream_object
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.node import test_daemon
from tests.node.test_daemon import parsed

Config = Callable[..., dict]
config, material = test_daemon.config, test_daemon.material


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


class WatchedNode:
    """A daemon's node: sends commands to it, and reads what it publishes."""

    def __init__(self, subscriber: Subscriber, broker: Mosquitto, name: str) -> None:
        self.subscriber, self.broker, self.name = subscriber, broker, name

    def health(self) -> dict:
        return (parsed(self.subscriber.heard, "health") or [{}])[-1]

    def state(self) -> str | None:
        return self.health().get("streams", {}).get("s", {}).get("sources", {}).get("replay", {}).get("state")

    def send(self, name: str, payload: bytes = b"{}", *, retain: bool = False) -> None:
        self.broker.publish(f"perceptd/{self.name}/command/{name}", payload, retain=retain)

    def answer(self, name: str, count: int = 1) -> dict:
        return json.loads(self.subscriber.wait_for(f"perceptd/{self.name}/command/{name}/result", count)[-1])


@pytest.fixture
def node(broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[WatchedNode]:
    node = request.node.name[:40]
    with Subscriber(broker, f"perceptd/{node}/#") as subscriber:
        yield WatchedNode(subscriber, broker, node)


def test_pause_closes_devices_ends_open_events_and_survives_a_restart(
    tmp_path: Path, node: WatchedNode, config: Config
) -> None:
    with DaemonProcess(config(node.name), tmp_path) as daemon:
        wait_until(lambda: parsed(node.subscriber.heard, "event"), "an event")
        node.send("pause", b'{"stream": "s"}')
        assert node.answer("pause")["ok"] is True
        wait_until(lambda: node.state() == "paused", "closed")
        wait_until(lambda: parsed(node.subscriber.heard, "event")[-1]["phase"] == "end", "no event is open")
        ends = [event["ended_by"] for event in parsed(node.subscriber.heard, "event") if event["phase"] == "end"]
        assert ends[-1] in ("paused", "other")
        count = len(parsed(node.subscriber.heard, "recognition"))
        node.broker.publish(f"perceptd/{node.name}/s/text", b"seven")
        assert daemon.stop() == 0
        node.subscriber.wait_offline(node.name)
        assert len(parsed(node.subscriber.heard, "recognition")) == count
        assert parsed(node.subscriber.heard, "state")[-1]["label"] is None
        node.subscriber.heard.clear()
    with DaemonProcess(config(node.name), tmp_path) as daemon:
        wait_until(lambda: node.state() == "paused", "still closed")
        node.send("resume")
        assert node.answer("resume")["ok"] is True
        wait_until(lambda: node.state() == "healthy", "open again")
        wait_until(lambda: parsed(node.subscriber.heard, "recognition"), "recognised again")
        assert daemon.stop() == 0


def test_a_command_that_cannot_be_obeyed_is_refused_with_a_reason(
    tmp_path: Path, node: WatchedNode, config: Config
) -> None:
    settings = config(node.name)
    settings["mqtt"]["commands"] = {"forbidden": ["unmute"]}
    settings["mqtt"] |= {"username": "me", "password": "battery staple"}
    settings["streams"]["s"]["replay"]["loop"] = True
    node.send("pause", retain=True)
    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: node.state() == "healthy", "delivers")
        for name, payload, reason in (
            ("unmute", b"{}", "forbids it"),
            ("pause", b'{"stream": "t"}', "no stream 't'; there are s"),
            ("reboot", b"now", "unknown command"),
        ):
            node.send(name, payload)
            answer = node.answer(name)
            assert answer["ok"] is False
            assert reason in answer["reason"]
        node.send("mute")
        assert node.answer("mute")["ok"] is True
        node.send("log_level", b'{"level": "debug"}')
        assert node.answer("log_level")["ok"] is True
        node.send("describe")
        described = node.answer("describe")["result"]
        assert described["config"]["mqtt"]["password"] == "**********"
        assert "battery staple" not in json.dumps(described)
        assert described["versions"]["perceptd"]
        wait_until(lambda: node.health()["mqtt"]["dropped"].get("command_retained") == 1, "the retained one ignored")
        wait_until(lambda: node.state() == "healthy", "it goes on")
        assert daemon.stop() == 0


def test_perceptd_send_sends_commands_and_prints_answers(tmp_path: Path, node: WatchedNode, config: Config) -> None:
    def send(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "daemon", "send", *arguments, "--config", str(tmp_path / "config.yaml")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    with DaemonProcess(config(node.name), tmp_path) as daemon:
        wait_until(lambda: node.state() == "healthy", "delivers")
        paused = send("pause", "--stream", "s")
        assert (paused.returncode, paused.stdout) == (0, "pause: done\n")
        wait_until(lambda: node.state() == "paused", "closed")
        wait_until(lambda: node.health()["streams"]["s"]["paused"], "health says so")
        refused = send("resume", "--stream", "t", "--json")
        assert refused.returncode == 1
        assert json.loads(refused.stdout)["reason"] == "no stream 't'; there are s"
        described = send("describe")
        assert '"node"' in described.stdout
        # answers are sent only to the client that sent the command
        assert not node.subscriber.payloads(f"perceptd/{node.name}/command/pause/result")
        assert daemon.stop() == 0
    unanswered = send("pause", "--node", "nobody")
    assert unanswered.returncode == 1
    assert "no answer from node nobody" in unanswered.stderr


def test_discovery_is_published_again_when_home_assistant_starts_and_streams_that_are_gone_are_withdrawn(
    tmp_path: Path, broker: Mosquitto, node: WatchedNode, config: Config
) -> None:
    of_node = discovery_topic("homeassistant", node_object(node.name))
    of_s, of_t = (discovery_topic("homeassistant", stream_object(node.name, stream)) for stream in "st")
    settings = config(node.name)
    with Subscriber(broker, "homeassistant/device/#") as assistant:
        with DaemonProcess(settings, tmp_path) as daemon:
            first = json.loads(assistant.wait_for(of_s)[0])
            assert {"s_label", "s_event"} <= set(first["components"])
            assert "health" in json.loads(assistant.wait_for(of_node)[0])["components"]
            wait_until(lambda: node.state() == "healthy", "delivers")
            states = len(node.subscriber.payloads(f"perceptd/{node.name}/s/state"))
            broker.publish("homeassistant/status", b"online")
            assert json.loads(assistant.wait_for(of_s, 2)[1]) == first
            node.subscriber.wait_for(f"perceptd/{node.name}/s/state", states + 1)
            assert daemon.stop() == 0
        settings["streams"] = {"t": settings["streams"]["s"]}
        with DaemonProcess(settings, tmp_path) as daemon:
            second = json.loads(assistant.wait_for(of_t)[0])
            assert second["components"]["t_event"]["state_topic"] == f"perceptd/{node.name}/t/event"
            wait_until(lambda: b"" in assistant.payloads(of_s), "the other stream is withdrawn")
            assert daemon.stop() == 0
        settings["mqtt"]["home_assistant"] = {"discovery": False}
        with DaemonProcess(settings, tmp_path) as daemon:
            for topic in (of_node, of_t):
                wait_until(lambda topic=topic: b"" in assistant.payloads(topic), "everything is withdrawn")
            assert daemon.stop() == 0


def test_a_camera_that_is_also_the_microphone_closes_when_both_are_closed(tmp_path: Path, node: WatchedNode) -> None:
    clip = ROOT / "models" / "digits" / "demo" / "clip.mp4"
    settings = {
        "node": node.name,
        "bundle": str(ROOT / "models" / "digits"),
        "mqtt": {"port": node.broker.port},
        "streams": {"s": {"camera": str(clip), "microphone": "camera"}},
    }

    def devices() -> tuple[bool, bool, bool] | None:
        stream = node.health().get("streams", {}).get("s")
        if stream is None or not stream["sources"]:
            return None
        return stream["camera"], stream["microphone"], stream["sources"]["camera"]["state"] == "paused"

    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: devices() == (True, True, False), "both open")
        node.send("camera", b'{"stream": "s", "on": false}')
        wait_until(lambda: devices() == (False, True, False), "only the camera closed")
        before = node.health()["streams"]["s"]["inputs"]
        wait_until(lambda: node.health()["streams"]["s"]["inputs"]["image"]["dropped"].get("closed", 0) > 0, "counted")
        node.send("microphone", b'{"stream": "s", "on": false}')
        wait_until(lambda: devices() == (False, False, True), "the shared source closed")
        inputs = node.health()["streams"]["s"]["inputs"]
        assert inputs["audio"]["captured"] >= before["audio"]["captured"]
        assert inputs["image"]["captured"] == before["image"]["captured"]
        node.send("camera", b'{"stream": "s", "on": true}')
        wait_until(lambda: devices() == (True, False, False), "only the camera open")
        assert daemon.stop() == 0


def test_a_part_of_another_camera_is_recognised_and_closed_with_it(
    tmp_path: Path, node: WatchedNode, config: Config, material: Path
) -> None:
    settings = config(node.name)
    yard = {"device": str(material / "clip.mp4"), "region": {"right": 0.5}}
    part = {"camera": {"device": "stream:yard", "region": {"left": 0.5}}}
    settings["streams"] = {"part": part, "yard": {"camera": yard}}
    settings["mqtt"]["recognitions"] = {"publish": "rate"}

    def part_state() -> tuple[str | None, str | None]:
        camera = node.health().get("streams", {}).get("part", {}).get("sources", {}).get("camera", {})
        return camera.get("state"), camera.get("reason")

    def recognised(stream: str) -> int:
        topic = f"perceptd/{node.name}/{stream}/recognition"
        return sum(message.topic == topic for message in node.subscriber.heard)

    waits = ("paused", "waits for the camera of the stream yard: it is closed on request")
    with DaemonProcess(settings, tmp_path):
        wait_until(lambda: recognised("part") and recognised("yard"), "both recognise")
        node.send("camera", b'{"stream": "yard", "on": false}')
        assert node.answer("camera")["ok"] is True
        wait_until(lambda: part_state() == waits, "the part waits")
        wait_until(lambda: node.health()["status"] == "ok", "all is well")
        count = recognised("part")
        node.send("camera", b'{"stream": "yard", "on": true}')
        wait_until(lambda: recognised("part") > count, "it recognises again")
