"""Commands to a real daemon over a real broker: what they do, how they are answered, what outlasts a restart."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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


class Watched:
    """A daemon, and what is heard of it."""

    def __init__(self, subscriber: Subscriber, broker: Mosquitto, node: str) -> None:
        self.subscriber, self.broker, self.node = subscriber, broker, node

    def health(self) -> dict:
        return (parsed(self.subscriber.heard, "health") or [{}])[-1]

    def state(self) -> str | None:
        return self.health().get("streams", {}).get("s", {}).get("sources", {}).get("replay", {}).get("state")

    def tell(self, name: str, payload: bytes = b"{}", *, retain: bool = False) -> None:
        self.broker.publish(f"perceptd/{self.node}/command/{name}", payload, retain=retain)

    def answer(self, name: str, count: int = 1) -> dict:
        return json.loads(self.subscriber.wait_for(f"perceptd/{self.node}/command/{name}/result", count)[-1])


@pytest.fixture
def watched(broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[Watched]:
    node = request.node.name[:40]
    with Subscriber(broker, f"perceptd/{node}/#") as subscriber:
        yield Watched(subscriber, broker, node)


def test_pause_closes_ends_what_is_open_and_outlasts_a_restart(
    tmp_path: Path, watched: Watched, config: Config
) -> None:
    with DaemonProcess(config(watched.node), tmp_path) as daemon:
        wait_until(lambda: parsed(watched.subscriber.heard, "event"), "an event")
        watched.tell("pause", b'{"stream": "s"}')
        assert watched.answer("pause")["ok"] is True
        wait_until(lambda: watched.state() == "paused", "closed")
        wait_until(lambda: parsed(watched.subscriber.heard, "event")[-1]["phase"] == "end", "no event is open")
        ends = [event["ended_by"] for event in parsed(watched.subscriber.heard, "event") if event["phase"] == "end"]
        assert ends[-1] in ("paused", "other")
        count = len(parsed(watched.subscriber.heard, "recognition"))
        watched.broker.publish(f"perceptd/{watched.node}/s/text", b"seven")
        assert daemon.stop() == 0
        assert len(parsed(watched.subscriber.heard, "recognition")) == count
        assert parsed(watched.subscriber.heard, "state")[-1]["label"] is None
    with DaemonProcess(config(watched.node), tmp_path) as daemon:
        wait_until(lambda: watched.health()["process"]["uptime_s"] < 5 and watched.state() == "paused", "still closed")
        watched.tell("resume")
        assert watched.answer("resume")["ok"] is True
        wait_until(lambda: watched.state() == "healthy", "open again")
        wait_until(lambda: len(parsed(watched.subscriber.heard, "recognition")) > count, "recognised again")
        assert daemon.stop() == 0


def test_what_cannot_be_done_is_answered_with_a_reason(tmp_path: Path, watched: Watched, config: Config) -> None:
    settings = config(watched.node)
    settings["mqtt"]["commands"] = {"forbidden": ["unmute"]}
    settings["mqtt"] |= {"username": "me", "password": "battery staple"}
    settings["streams"]["s"]["replay"]["loop"] = True
    watched.tell("pause", retain=True)
    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: watched.state() == "healthy", "delivers")
        for name, payload, words in (
            ("unmute", b"{}", "forbids it"),
            ("pause", b'{"stream": "t"}', "no stream 't'; there are s"),
            ("reboot", b"now", "unknown command"),
        ):
            watched.tell(name, payload)
            answer = watched.answer(name)
            assert answer["ok"] is False
            assert words in answer["reason"]
        watched.tell("mute")
        assert watched.answer("mute")["ok"] is True
        watched.tell("log_level", b'{"level": "debug"}')
        assert watched.answer("log_level")["ok"] is True
        watched.tell("describe")
        described = watched.answer("describe")["result"]
        assert described["config"]["mqtt"]["password"] == "**********"
        assert "battery staple" not in json.dumps(described)
        assert described["versions"]["perceptd"]
        wait_until(lambda: watched.health()["mqtt"]["dropped"].get("command_retained") == 1, "the retained one ignored")
        assert watched.state() == "healthy"
        assert daemon.stop() == 0


def test_send_does_the_same_from_a_shell(tmp_path: Path, watched: Watched, config: Config) -> None:
    def send(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "daemon", "send", *arguments, "--config", str(tmp_path / "config.yaml")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    with DaemonProcess(config(watched.node), tmp_path) as daemon:
        wait_until(lambda: watched.state() == "healthy", "delivers")
        paused = send("pause", "--stream", "s")
        assert (paused.returncode, paused.stdout) == (0, "pause: done\n")
        wait_until(lambda: watched.state() == "paused", "closed")
        refused = send("resume", "--stream", "t", "--json")
        assert refused.returncode == 1
        assert json.loads(refused.stdout)["reason"] == "no stream 't'; there are s"
        described = send("describe")
        assert '"node"' in described.stdout
        # the answers went to who had asked alone
        assert not watched.subscriber.payloads(f"perceptd/{watched.node}/command/pause/result")
        assert daemon.stop() == 0
    nobody = send("pause", "--node", "nobody")
    assert nobody.returncode == 1
    assert "no answer from node nobody" in nobody.stderr


def test_home_assistant_is_told_again_when_it_starts_and_of_what_is_gone(
    tmp_path: Path, broker: Mosquitto, watched: Watched, config: Config
) -> None:
    topic = f"homeassistant/device/perceptd_{watched.node}/config"
    settings = config(watched.node)
    with Subscriber(broker, "homeassistant/device/#") as assistant:
        with DaemonProcess(settings, tmp_path) as daemon:
            first = json.loads(assistant.wait_for(topic)[0])
            assert {"s_label", "s_event", "health"} <= set(first["components"])
            wait_until(lambda: watched.state() == "healthy", "delivers")
            states = len(watched.subscriber.payloads(f"perceptd/{watched.node}/s/state"))
            broker.publish("homeassistant/status", b"online")
            assert json.loads(assistant.wait_for(topic, 2)[1]) == first
            watched.subscriber.wait_for(f"perceptd/{watched.node}/s/state", states + 1)
            assert daemon.stop() == 0
        settings["streams"] = {"t": settings["streams"]["s"]}
        with DaemonProcess(settings, tmp_path) as daemon:
            second = json.loads(assistant.wait_for(topic, 3)[2])
            assert second["components"]["s_event"] == {"platform": "event"}
            assert second["components"]["t_event"]["state_topic"] == f"perceptd/{watched.node}/t/event"
            assert daemon.stop() == 0
        settings["mqtt"]["home_assistant"] = {"discovery": False}
        with DaemonProcess(settings, tmp_path) as daemon:
            assert assistant.wait_for(topic, 4)[3] == b""
            assert daemon.stop() == 0


def test_a_camera_that_is_the_microphone_too_is_closed_when_both_are(tmp_path: Path, watched: Watched) -> None:
    clip = ROOT / "models" / "digits" / "demo" / "clip.mp4"
    settings = {
        "node": watched.node,
        "bundle": str(ROOT / "models" / "digits"),
        "mqtt": {"port": watched.broker.port},
        "streams": {"s": {"camera": str(clip), "microphone": "camera"}},
    }

    def shown() -> tuple[bool, bool, bool] | None:
        stream = watched.health().get("streams", {}).get("s")
        if stream is None or not stream["sources"]:
            return None
        return stream["camera"], stream["microphone"], stream["sources"]["camera"]["state"] == "paused"

    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: shown() == (True, True, False), "both open")
        watched.tell("camera", b'{"stream": "s", "on": false}')
        wait_until(lambda: shown() == (False, True, False), "the sound goes on")
        before = watched.health()["streams"]["s"]["inputs"]
        wait_until(
            lambda: watched.health()["streams"]["s"]["inputs"]["image"]["dropped"].get("closed", 0) > 0, "counted"
        )
        watched.tell("microphone", b'{"stream": "s", "on": false}')
        wait_until(lambda: shown() == (False, False, True), "really closed")
        inputs = watched.health()["streams"]["s"]["inputs"]
        assert inputs["audio"]["captured"] >= before["audio"]["captured"]
        assert inputs["image"]["captured"] == before["image"]["captured"]
        watched.tell("camera", b'{"stream": "s", "on": true}')
        wait_until(lambda: shown() == (True, False, False), "the picture alone")
        assert daemon.stop() == 0
