"""The daemon with the kernel's own camera (vivid) and sound card (snd-aloop), run by scripts/test-device.

The machine is emulated: what it only does slowly is printed, and the limits say how much of them is its slowness.
"""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of, is_running
from tests.sources.test_microphone import listening

DELIVERS = ("healthy", "degraded")
SLOW_S = 60.0
"""What the emulated machine may need where nothing is promised, as to start the daemon."""

TOLD_S = 3.0
"""Within which a fault is in health: what is promised of any machine, and kept on this one."""

RECOVERED_S = 2.0
"""Within which a device that is back delivers, less the two starts of a process that it may take, see `start_s`."""


SLOW_START_S = 10.0
"""The camera's `stall_after_s`, which also bounds its opening: here its process may take so long to start."""


@dataclass(frozen=True)
class Device:
    """A device of a module of the kernel: its node is there while it is plugged in."""

    source: str
    modality: str
    module: str
    options: str
    node: Path

    def plug(self) -> None:
        """Load the module, or give the device that is loaded back to its driver; the node is there at the end."""
        if Path(f"/sys/module/{self.module}").exists():
            self._tell_driver("bind")
        else:
            sh(f"modprobe {self.module} {self.options}")
        wait_until(self.node.exists, f"{self.node}")

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Take the device from its driver, which may wait until nobody uses it; the node is gone."""
        taking = subprocess.Popen(["/bin/sh", "-c", self._driver("unbind")])
        wait_until(lambda: not self.node.exists(), f"{self.node} is gone")
        yield
        assert taking.wait(SLOW_S) == 0

    def remove(self) -> None:
        """Unload the module as soon as nobody uses it."""
        wait_until(self._is_removed, f"{self.module} is gone")

    def _is_removed(self) -> bool:
        subprocess.run(["rmmod", self.module], capture_output=True, check=False)
        return not Path(f"/sys/module/{self.module}").exists()

    def _tell_driver(self, what: str) -> None:
        sh(self._driver(what))

    def _driver(self, what: str) -> str:
        return f"echo {self.module}.0 > /sys/bus/platform/drivers/{self.module}/{what}"


CAMERA = Device("camera", "image", "vivid", "n_devs=1 node_types=0x1", Path("/dev/video0"))
MICROPHONE = Device("microphone", "audio", "snd_aloop", "pcm_substreams=1", Path("/dev/snd/pcmC0D1c"))
"""What is played to the card's device 0 is heard on its device 1."""


class Node:
    """The daemon and what it says of its health."""

    def __init__(self, daemon: DaemonProcess, subscriber: Subscriber) -> None:
        self.daemon = daemon
        self._subscriber = subscriber

    def _stream(self) -> dict:
        return json.loads(self._subscriber.wait_for("perceptd/vm/health")[-1])["streams"]["s"]

    def health(self, device: Device) -> dict:
        return self._stream()["sources"][device.source]

    def delivers(self, device: Device) -> bool:
        return self.health(device)["state"] in DELIVERS

    def captured(self, device: Device) -> int:
        return self._stream()["inputs"][device.modality]["captured"]

    def tells(self, device: Device, delivers: bool, timeout_s: float) -> None:
        """Wait until health says of the device that it delivers, or does not; print the seconds."""
        began = time.monotonic()
        wait_until(lambda: self.delivers(device) == delivers, f"{device.source} delivers: {delivers}", timeout_s)
        told = self.health(device)
        note(f"{device.source} is told to be {told['state']} after {time.monotonic() - began:.2f} s ({told['reason']})")

    def children(self) -> list[int]:
        return children_of(self.daemon.process.pid, "daemon.children")


def note(line: str) -> None:
    print(f"\n    {line}", end="", flush=True)


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


@pytest.fixture(scope="module")
def start_s() -> float:
    """How long this machine needs to start a process that captures a camera."""
    seconds = []
    for _ in range(3):  # the first also fills the cache of files
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import cv2, numpy"], check=True)
        seconds.append(time.monotonic() - began)
        note(f"a process that captures a camera starts in {seconds[-1]:.2f} s")
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import sounddevice"], check=True)
    note(f"a process that captures a microphone starts in {time.monotonic() - began:.2f} s")
    return seconds[-1]


@pytest.fixture
def node(tmp_path: Path, start_s: float) -> Iterator[Node]:
    """The daemon, without any device."""
    camera = {"device": 0, "width": 320, "height": 180, "fps": 5, "stall_after_s": SLOW_START_S}
    config = {
        "node": "vm",
        "bundle": str(Path("models/digits").resolve()),
        "health": {"every_s": 1.0},
        "streams": {"s": {"camera": camera, "microphone": {"device": "hw:0,1"}}},
    }
    began = time.monotonic()
    with Mosquitto() as broker, Subscriber(broker, "perceptd/vm/#") as subscriber:
        config["mqtt"] = {"port": broker.port}
        with DaemonProcess(config, tmp_path) as daemon:
            wait_until(lambda: subscriber.payloads("perceptd/vm/health"), "the daemon runs", SLOW_S)
            note(f"the daemon runs after {time.monotonic() - began:.1f} s")
            yield Node(daemon, subscriber)
            print(f"\n{daemon.log}")
    for device in (CAMERA, MICROPHONE):
        device.remove()


@pytest.fixture
def capturing(node: Node) -> Node:
    """The daemon, with both devices delivering."""
    for device in (CAMERA, MICROPHONE):
        device.plug()
        node.tells(device, True, SLOW_S)
    return node


def test_devices_that_are_missing_at_the_start_deliver_once_they_are_there(node: Node, start_s: float) -> None:
    for device in (CAMERA, MICROPHONE):
        node.tells(device, False, 0.1)
        device.plug()
        node.tells(device, True, SLOW_S)


@pytest.mark.parametrize(("device", "other"), [(CAMERA, MICROPHONE), (MICROPHONE, CAMERA)])
def test_one_that_is_unplugged_is_told_and_found_again_and_the_other_goes_on(
    capturing: Node, device: Device, other: Device, start_s: float
) -> None:
    failures, captured = capturing.health(other)["failures"], capturing.captured(other)
    with device.unplugged():
        capturing.tells(device, False, SLOW_S)
    wait_until(lambda: capturing.captured(other) > captured, f"the {other.source} goes on")
    device.plug()
    capturing.tells(device, True, SLOW_S)
    note(f"{other.source}: {capturing.captured(other) - captured} more captured, {capturing.health(other)}")
    assert capturing.health(other)["failures"] == failures


def test_a_daemon_that_is_asked_to_stop_does_and_leaves_no_child(capturing: Node) -> None:
    pids = capturing.children()
    assert len(pids) == 2
    began = time.monotonic()
    assert capturing.daemon.stop() == 0
    note(f"stopped after {time.monotonic() - began:.2f} s")
    assert not any(map(is_running, pids))


def test_a_daemon_that_is_killed_leaves_no_child(capturing: Node) -> None:
    pids = capturing.children()
    assert len(pids) == 2
    os.kill(capturing.daemon.process.pid, signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: not any(map(is_running, pids)), "no child is left")
    note(f"no child is left after {time.monotonic() - began:.2f} s")


@pytest.fixture
def sound_card() -> Iterator[None]:
    MICROPHONE.plug()
    yield
    MICROPHONE.remove()


@contextmanager
def played(path: Path, rate_hz: int, channels: int) -> Iterator[None]:
    """A tone of 440 Hz, at half of full scale, played to the card for 30 s."""
    tone = 16_384 * np.sin(2 * np.pi * 440 * np.arange(30 * rate_hz) / rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())
    player = subprocess.Popen(["aplay", "-q", "-D", "hw:0,0", path])
    try:
        yield
    finally:
        player.kill()
        player.wait()


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_played_is_heard_without_a_sound_server(
    sound_card: None, tmp_path: Path, rate_hz: int, channels: int
) -> None:
    with played(tmp_path / "tone.wav", rate_hz, channels):
        time.sleep(3)  # until it plays: the card's other end then has its rate and channels
        with listening("hw:0,1") as listener:
            listener.hears(150)
    blocks = listener.blocks[50:150]
    gaps = sum(block.gap for block in blocks)
    ages_ms = np.array(listener.ages_ns[50:150]) / 1e6
    sound = np.concatenate([block.samples for block in blocks])
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    note(
        f"peak {np.abs(sound).max():.2f}, {spectrum.argmax() * 16_000 / len(sound):.1f} Hz, "
        f"ages {ages_ms.min():.0f} to {ages_ms.max():.0f} ms, {gaps} gaps, dropped {listener.counters.dropped}"
    )
