"""The daemon with the kernel's own camera (vivid) and sound card (snd-aloop), run by scripts/test-device."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of, is_running

DELIVERS = ("healthy", "degraded")
SLOW_S = 60.0
"""The machine is emulated, and slower than any device: what it needs is printed, not judged."""

DETECTED_S = 6.0
"""A stall of 2.5 s and the machine's slowness."""


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def plug_camera() -> None:
    sh("modprobe vivid n_devs=1 node_types=0x1")


def plug_microphone() -> None:
    sh("modprobe snd-aloop")


def unplug() -> None:
    for module in ("vivid", "snd_aloop"):
        wait_until(lambda name=module: is_removed(name), f"{module} is gone")


def is_removed(module: str) -> bool:
    subprocess.run(["rmmod", module], capture_output=True, check=False)
    return not Path(f"/sys/module/{module}").exists()


class Node:
    """The daemon and what it says of its health."""

    def __init__(self, daemon: DaemonProcess, subscriber: Subscriber) -> None:
        self.daemon = daemon
        self._subscriber = subscriber

    def _stream(self) -> dict:
        return json.loads(self._subscriber.wait_for("perceptd/vm/health")[-1])["streams"]["s"]

    def state(self, source: str) -> str:
        return self._stream()["sources"][source]["state"]

    def captured(self, modality: str) -> int:
        return self._stream()["inputs"][modality]["captured"]

    def waits_until(self, source: str, delivers: bool, timeout_s: float) -> None:
        began = time.monotonic()
        wait_until(lambda: (self.state(source) in DELIVERS) == delivers, f"{source} delivers: {delivers}", timeout_s)
        print(f"\n    {source} {'delivers' if delivers else 'is in trouble'} after {time.monotonic() - began:.1f} s")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    config = {
        "node": "vm",
        "bundle": "models/digits",
        "health": {"every_s": 1.0},
        "streams": {"s": {"camera": {"device": 0}, "microphone": {"device": "hw:0,1"}}},
    }
    config["bundle"] = str(Path("models/digits").resolve())
    with Mosquitto() as broker, Subscriber(broker, "perceptd/vm/#") as subscriber:
        config["mqtt"] = {"port": broker.port}
        with DaemonProcess(config, tmp_path) as daemon:
            wait_until(lambda: subscriber.payloads("perceptd/vm/health"), "the daemon runs", SLOW_S)
            yield Node(daemon, subscriber)
    unplug()


def test_what_is_missing_at_the_start_is_found_and_what_is_unplugged_is_told(node: Node) -> None:
    assert not {node.state("camera"), node.state("microphone")} & {*DELIVERS}
    plug_camera()
    node.waits_until("camera", True, SLOW_S)
    plug_microphone()
    node.waits_until("microphone", True, SLOW_S)

    heard = node.captured("audio")
    sh("v4l2-ctl -d /dev/video0 -c disconnect=1")
    node.waits_until("camera", False, DETECTED_S)
    assert node.state("microphone") in DELIVERS
    wait_until(lambda: node.captured("audio") > heard, "the microphone goes on")
    sh("rmmod vivid")
    plug_camera()
    node.waits_until("camera", True, SLOW_S)

    seen = node.captured("image")
    sh("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/unbind")
    node.waits_until("microphone", False, DETECTED_S)
    wait_until(lambda: node.captured("image") > seen, "the camera goes on")
    sh("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/bind")
    node.waits_until("microphone", True, SLOW_S)

    pids = children_of(node.daemon.process.pid, "daemon.children")
    assert len(pids) == 2
    assert node.daemon.stop() == 0
    assert not any(map(is_running, pids))


def test_a_daemon_that_is_killed_leaves_no_child(node: Node) -> None:
    plug_camera()
    node.waits_until("camera", True, SLOW_S)
    pids = children_of(node.daemon.process.pid, "daemon.children")
    os.kill(node.daemon.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, pids)), "no child is left")
