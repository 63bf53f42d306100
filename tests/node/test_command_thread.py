"""Commands over a real broker while the disk is slow: only their answers wait for it."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.commands import AnswerPayload, Request
from daemon.mqtt.session import Session
from daemon.node.command_thread import MAX_QUEUED, CommandThread
from daemon.node.control import Control
from daemon.node.switches import Switch, SwitchFile
from daemon.runtime.heartbeat import HeartbeatStatus, hung_loops
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.promised import PromisedTime
from tests.node.test_control import FakeStream

SETTINGS = {"node": "node", "bundle": "b", "streams": {"door": {"camera": 0}}}

# how long a disk may take without tripping the watchdog
SLOW_S = 8.0


class SlowDisk:
    """`fsync` of this process: while the disk is slow, each call waits. `switches` counts those for the switches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.switches = 0
        self._fast = threading.Event()
        self._fast.set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._slowly)

    def slow(self) -> None:
        self._fast.clear()

    def fast(self) -> None:
        self._fast.set()

    def _slowly(self, descriptor: int) -> None:
        self.switches += Path(f"/proc/self/fd/{descriptor}").readlink().stem == "switches"
        assert self._fast.wait(60)
        self._fsync(descriptor)


class Node:
    """A session with a thread for commands and one stream, `door`. A context manager."""

    def __init__(self, broker: Mosquitto, state: Path) -> None:
        self.switches = SwitchFile(state / "switches.json")
        self.door = FakeStream("door")
        self.session = Session(MqttConfig(port=broker.port), "node", state)
        streams = {"door": self.door}
        active = SimpleNamespace(bundle=SimpleNamespace(view=SimpleNamespace(id="b@1")))
        control = Control(Config.model_validate(SETTINGS), streams, self.switches, active)  # type: ignore[arg-type]
        self.commands = CommandThread(control, self.session)

    def __enter__(self) -> "Node":
        self.commands.start()
        self.session.start({}, self.commands)
        wait_until(lambda: self.session.connected, "connected")
        return self

    def __exit__(self, *_: object) -> None:
        self.commands.close(3.0)
        self.session.stop(3.0)

    def rounds(self) -> list[HeartbeatStatus]:
        return [self.session.heartbeats[0].snapshot(), self.commands.progress.snapshot()]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.fast()


@pytest.fixture
def subscriber(broker: Mosquitto) -> Iterator[Subscriber]:
    with Subscriber(broker, "perceptd/node/#") as subscriber:
        yield subscriber


@pytest.fixture
def node(broker: Mosquitto, tmp_path: Path, disk: SlowDisk) -> Iterator[Node]:
    with Node(broker, tmp_path) as node:
        yield node


def answers(subscriber: Subscriber, name: str) -> list[dict]:
    return [json.loads(payload) for payload in subscriber.payloads(f"perceptd/node/command/{name}/result")]


def send(broker: Mosquitto, name: str) -> None:
    broker.publish(f"perceptd/node/command/{name}", b"{}")


def test_to_clear_a_retained_command_is_no_command(broker: Mosquitto, tmp_path: Path, subscriber: Subscriber) -> None:
    topic = "perceptd/node/command/pause"
    broker.publish(topic, b"{}", retain=True)
    with Node(broker, tmp_path) as node:
        wait_until(lambda: node.session.counters.dropped == {"command_retained": 1}, "the retained one ignored")
        broker.publish(topic, b"", retain=True)
        (refused,) = map(json.loads, subscriber.wait_for(f"{topic}/result"))
        assert (refused["ok"], "send {}" in refused["reason"]) == (False, True)
        assert node.session.counters.dropped == {"command_retained": 1, "command_empty": 1}
        assert node.door.switch == Switch()
        send(broker, "pause")
        subscriber.wait_for(f"{topic}/result", 2)
        assert node.door.switch == Switch(paused=True)


def test_while_the_disk_is_slow_the_mqtt_thread_goes_on_and_the_answer_waits(
    broker: Mosquitto, subscriber: Subscriber, disk: SlowDisk, node: Node
) -> None:
    disk.slow()
    send(broker, "pause")
    wait_until(lambda: disk.switches, "the switch is written")
    began_ns = monotonic_ns()
    while monotonic_ns() - began_ns < 3 * NS_PER_S:
        assert node.session.publish("door/recognition", b"r")
        assert hung_loops(node.rounds(), monotonic_ns()) is None
        time.sleep(0.1)
    # the watchdog would not name either loop after a disk as slow as this, and MQTT goes round once a second
    mqtt, commands = node.rounds()
    assert hung_loops([commands], began_ns + round(SLOW_S * NS_PER_S)) is None
    assert monotonic_ns() - mqtt.began_ns < 1.5 * NS_PER_S
    assert len(subscriber.wait_for("perceptd/node/door/recognition", 25)) >= 25
    assert answers(subscriber, "pause") == []
    assert node.switches.load(["door"]) == {"door": Switch()}
    disk.fast()
    subscriber.wait_for("perceptd/node/command/pause/result")
    assert answers(subscriber, "pause")[0]["ok"] is True
    assert node.switches.load(["door"]) == {"door": Switch(paused=True)}
    assert node.session.counters.dropped == {}


def test_commands_are_obeyed_in_order_and_what_finds_no_room_is_refused_and_counted(
    broker: Mosquitto, subscriber: Subscriber, disk: SlowDisk, node: Node
) -> None:
    disk.slow()
    send(broker, "pause")
    wait_until(lambda: disk.switches, "the first one is being obeyed")
    names = ["resume", "pause"] * (MAX_QUEUED // 2)
    for name in [*names, "mute"]:
        node.commands.take(Request(name, b"{}"))
    subscriber.wait_for("perceptd/node/command/mute/result")
    refused = answers(subscriber, "mute")[0]
    assert (refused["ok"], refused["reason"].split(":")[0]) == (False, "busy")
    assert node.session.counters.dropped == {"command_busy": 1}
    assert answers(subscriber, "pause") == answers(subscriber, "resume") == []
    disk.fast()
    subscriber.wait_for("perceptd/node/command/pause/result", 1 + MAX_QUEUED // 2)
    results = [heard.topic.split("/")[3] for heard in subscriber.heard if heard.topic.endswith("/result")]
    assert results == ["mute", "pause", *names]
    assert all(answer["ok"] for name in ("pause", "resume") for answer in answers(subscriber, name))
    assert node.door.switch == Switch(paused=True)


def test_a_stop_obeys_what_is_queued(broker: Mosquitto, tmp_path: Path, subscriber: Subscriber) -> None:
    with Node(broker, tmp_path) as node:
        for name in ("pause", "mute", "resume"):
            node.commands.take(Request(name, b"{}"))
        assert node.commands.close(3.0)
    subscriber.wait_offline("node")
    assert [answers(subscriber, name)[0]["ok"] for name in ("pause", "mute", "resume")] == [True] * 3
    assert node.switches.load(["door"]) == {"door": Switch(muted=True)}
    assert node.session.counters.dropped == {}


def test_a_stop_before_a_slow_disk_keeps_its_deadline_and_answers_or_counts_every_command(
    broker: Mosquitto, subscriber: Subscriber, disk: SlowDisk, node: Node
) -> None:
    disk.slow()
    send(broker, "pause")
    wait_until(lambda: disk.switches, "the first one is being obeyed")
    node.commands.take(Request("mute", b"{}"))
    taken = PromisedTime()
    assert not node.commands.close(0.3)
    assert taken.elapsed_s() < 1.0
    send(broker, "resume")
    for name in ("mute", "resume"):
        subscriber.wait_for(f"perceptd/node/command/{name}/result")
        refused = answers(subscriber, name)[0]
        assert (refused["ok"], refused["reason"]) == (False, "the daemon is stopping")
    assert node.session.counters.dropped == {"command_unanswered": 1, "command_stopping": 2}
    disk.fast()
    wait_until(
        lambda: "commands" not in [thread.name for thread in threading.enumerate()],
        "the thread ends when the disk answers",
    )
    node.session.stop(3.0)
    subscriber.wait_offline("node")
    assert answers(subscriber, "pause") == []


def test_an_error_inside_the_daemon_is_counted_and_the_next_command_is_obeyed(
    broker: Mosquitto, subscriber: Subscriber, node: Node, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    obey = Control.obey

    def failing(control: Control, request: Request) -> AnswerPayload:
        if request.name == "pause":
            raise RuntimeError("a fault of ours")
        return obey(control, request)

    monkeypatch.setattr(Control, "obey", failing)
    send(broker, "pause")
    send(broker, "mute")
    subscriber.wait_for("perceptd/node/command/mute/result")
    assert node.door.switch == Switch(muted=True)
    assert node.session.counters.dropped == {"command_failed": 1}
    assert "a fault of ours" in caplog.text


def test_a_file_of_switches_that_is_removed_is_written_again(
    broker: Mosquitto, subscriber: Subscriber, node: Node
) -> None:
    send(broker, "mute")
    wait_until(lambda: answers(subscriber, "mute"), "answered")
    node.switches.path.unlink()
    wait_until(lambda: node.switches.path.exists(), "written again")
    assert SwitchFile(node.switches.path).load(["door"])["door"].muted
