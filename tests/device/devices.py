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
from tests.sources.test_microphone import RATE_HZ as HEARD_HZ
from tests.sources.test_microphone import listening

DELIVERS = ("healthy", "degraded")
SLOW_S = 60.0
"""What the emulated machine may need where nothing is promised, as to start the daemon."""

STALL_AFTER_S = 15.0
"""It also bounds the opening, which takes several seconds here. A microphone's end is told by its silence alone: 2.5 s
are usual, and by 3 s it is to be told."""

TOLD_S = {"camera": 3.0, "microphone": STALL_AFTER_S + 1.0}
"""Within which health says that a device is unplugged; of a camera it is its driver that tells."""

RECOVERED_S = 2.0
STARTS = 2
"""What is back delivers within 2 s on a machine where a process starts in a moment. Here an attempt may have begun
before the device was there, and a start beside all else takes longer than one alone: so many starts are added."""

LATE_MS = 500
"""More than a piece of sound and the emulated machine's hold-ups make the age of a block."""


@dataclass(frozen=True)
class Device:
    """A device of a module of the kernel: its node is there while it is plugged in."""

    source: str
    modality: str
    library: str
    module: str
    options: str
    node: Path

    def plug(self) -> None:
        """Load the module, or give the device that is loaded back to its driver; the node is there at the end."""
        if Path(f"/sys/module/{self.module}").exists():
            sh(self._driver("bind"))
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

    def recovered_s(self) -> float:
        """Within which it delivers once it is back; measured for this machine as busy as it is."""
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", f"import {self.library}"], check=True)
        start_s = time.monotonic() - began
        limit_s = RECOVERED_S + STARTS * start_s
        note(f"a process with {self.library} starts in {start_s:.2f} s: {self.source} has {limit_s:.1f} s to deliver")
        return limit_s

    def remove(self) -> None:
        """Unload the module as soon as nobody uses it."""
        wait_until(self._is_removed, f"{self.module} is gone")

    def _is_removed(self) -> bool:
        subprocess.run(["rmmod", self.module], capture_output=True, check=False)
        return not Path(f"/sys/module/{self.module}").exists()

    def _driver(self, what: str) -> str:
        return f"echo {self.module}.0 > /sys/bus/platform/drivers/{self.module}/{what}"


CAMERA = Device("camera", "image", "cv2", "vivid", "n_devs=1 node_types=0x1", Path("/dev/video0"))
MICROPHONE = Device("microphone", "audio", "sounddevice", "snd_aloop", "pcm_substreams=1", Path("/dev/snd/pcmC0D1c"))
"""What is played to the card's device 0 is heard on its device 1, at the same rate and with as many channels."""

PLAYS = Path("/proc/asound/card0/pcm0p/sub0/status")


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
        return children_of(self.daemon.process.pid, "daemon.sources.capture")


def note(line: str) -> None:
    print(f"\n    {line}", end="", flush=True)


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """The daemon, without any device."""
    camera = {"device": 0, "width": 320, "height": 180, "fps": 5, "stall_after_s": STALL_AFTER_S}
    microphone = {"device": "hw:0,1", "stall_after_s": STALL_AFTER_S}
    config = {
        "node": "vm",
        "bundle": str(Path("models/digits").resolve()),
        "health": {"every_s": 1.0},
        "streams": {"s": {"camera": camera, "microphone": microphone}},
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


def test_devices_that_are_missing_at_the_start_deliver_once_they_are_there(node: Node) -> None:
    for device in (CAMERA, MICROPHONE):
        assert not node.delivers(device)
        limit_s = device.recovered_s()
        device.plug()
        node.tells(device, True, limit_s)


@pytest.mark.parametrize(("device", "other"), [(CAMERA, MICROPHONE), (MICROPHONE, CAMERA)])
def test_one_that_is_unplugged_is_told_and_found_again_and_the_other_goes_on(
    capturing: Node, device: Device, other: Device
) -> None:
    limit_s, failures, captured = device.recovered_s(), capturing.health(other)["failures"], capturing.captured(other)
    with device.unplugged():
        capturing.tells(device, False, TOLD_S[device.source])
        then = capturing.captured(other)
        wait_until(lambda: capturing.captured(other) > then, f"the {other.source} goes on")
    device.plug()
    capturing.tells(device, True, limit_s)
    assert capturing.health(other)["failures"] == failures
    note(f"the {other.source} has delivered {capturing.captured(other) - captured} in the meantime")


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
        wait_until(lambda: "RUNNING" in PLAYS.read_text(), "the tone is played")
        with listening("hw:0,1") as listener:
            listener.hears(150)
    blocks, ages_ms = listener.blocks[50:150], np.array(listener.ages_ns[50:150]) / 1e6
    sound = np.concatenate([block.samples for block in blocks])
    peak_hz = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * HEARD_HZ / len(sound)
    note(
        f"{peak_hz:.1f} Hz at {np.abs(sound).max():.2f}, {ages_ms.min():.0f} to {ages_ms.max():.0f} ms old, "
        f"{sum(block.gap for block in blocks)} gaps, dropped: {listener.counters.dropped}"
    )
    assert peak_hz == pytest.approx(440, abs=2)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.05)
    assert ages_ms.min() >= 0, "nothing is stamped in the future"
    assert ages_ms.max() < LATE_MS
