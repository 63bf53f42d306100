"""The daemon with the kernel's own camera (vivid) and sound card (snd-aloop), run by scripts/test-device.

The emulated machine is slow. Its durations are printed, and the time limits allow for its slowness.
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

# for work without a promised duration, such as the start of the daemon
SLOW_S = 60.0

# also limits the opening of a device, which takes several seconds here; the default for sound is 2.5 s
STALL_AFTER_S = 15.0

# health reports an unplugged device within this time: a camera's driver reports it, a microphone only becomes silent
REPORTED_S = {"camera": 3.0, "microphone": STALL_AFTER_S + 1.0}

# a device that is back delivers within RECOVERED_S on a machine where processes start fast; here the starts of so many
# processes are added, because an attempt may have begun before the device was back
RECOVERED_S = 2.0
STARTS = 2

# more than the age of a block that one piece of sound and the pauses of the emulated machine cause
LATE_MS = 500


@dataclass(frozen=True)
class Device:
    """A device of a kernel module: its node exists while it is plugged in."""

    source: str
    modality: str
    library: str
    module: str
    options: str
    node: Path

    def plug(self) -> None:
        """Load the module, or bind the device to its driver again; return when the node exists."""
        if Path(f"/sys/module/{self.module}").exists():
            sh(self._driver("bind"))
        else:
            sh(f"modprobe {self.module} {self.options}")
        wait_until(self.node.exists, f"{self.node}")

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Unbind the device from its driver during the block. The driver may wait until nobody uses the device."""
        unbinding = subprocess.Popen(["/bin/sh", "-c", self._driver("unbind")])
        wait_until(lambda: not self.node.exists(), f"{self.node} is gone")
        yield
        assert unbinding.wait(SLOW_S) == 0

    def recovered_s(self) -> float:
        """Return the time within which it must deliver once it is back, for the present load of this machine."""
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", f"import {self.library}"], check=True)
        start_s = time.monotonic() - began
        limit_s = RECOVERED_S + STARTS * start_s
        note(f"a process with {self.library} starts in {start_s:.2f} s: {self.source} has {limit_s:.1f} s to deliver")
        return limit_s

    def remove(self) -> None:
        """Unload the module once nobody uses it."""
        wait_until(self._is_removed, f"{self.module} is gone")

    def _is_removed(self) -> bool:
        subprocess.run(["rmmod", self.module], capture_output=True, check=False)
        return not Path(f"/sys/module/{self.module}").exists()

    def _driver(self, what: str) -> str:
        return f"echo {self.module}.0 > /sys/bus/platform/drivers/{self.module}/{what}"


CAMERA = Device("camera", "image", "cv2", "vivid", "n_devs=1 node_types=0x1", Path("/dev/video0"))

# sound that is played to the card's device 0 is recorded from its device 1, with the same rate and channels
MICROPHONE = Device("microphone", "audio", "sounddevice", "snd_aloop", "pcm_substreams=1", Path("/dev/snd/pcmC0D1c"))
PLAYBACK_STATUS = Path("/proc/asound/card0/pcm0p/sub0/status")


class Node:
    """The daemon, and the health that it publishes."""

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

    def wait_reported(self, device: Device, delivers: bool, timeout_s: float) -> None:
        """Wait until health reports that the device delivers, or does not; print the seconds."""
        began = time.monotonic()
        wait_until(lambda: self.delivers(device) == delivers, f"{device.source} delivers: {delivers}", timeout_s)
        health = self.health(device)
        note(f"{device.source} is {health['state']} after {time.monotonic() - began:.2f} s ({health['reason']})")

    def children(self) -> list[int]:
        return children_of(self.daemon.process.pid, "daemon.sources.capture")


def note(line: str) -> None:
    print(f"\n    {line}", end="", flush=True)


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """The daemon without any device."""
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
    """The daemon with both devices delivering."""
    for device in (CAMERA, MICROPHONE):
        device.plug()
        node.wait_reported(device, True, SLOW_S)
    return node


def test_devices_that_are_missing_at_the_start_deliver_once_they_appear(node: Node) -> None:
    for device in (CAMERA, MICROPHONE):
        assert not node.delivers(device)
        limit_s = device.recovered_s()
        device.plug()
        node.wait_reported(device, True, limit_s)


@pytest.mark.parametrize(("device", "other"), [(CAMERA, MICROPHONE), (MICROPHONE, CAMERA)])
def test_an_unplugged_device_is_reported_and_found_again_while_the_other_goes_on(
    capturing: Node, device: Device, other: Device
) -> None:
    limit_s, failures, captured = device.recovered_s(), capturing.health(other)["failures"], capturing.captured(other)
    with device.unplugged():
        capturing.wait_reported(device, False, REPORTED_S[device.source])
        before = capturing.captured(other)
        wait_until(lambda: capturing.captured(other) > before, f"the {other.source} goes on")
    device.plug()
    capturing.wait_reported(device, True, limit_s)
    assert capturing.health(other)["failures"] == failures
    note(f"the {other.source} has delivered {capturing.captured(other) - captured} in the meantime")


def test_a_stopped_daemon_leaves_no_child(capturing: Node) -> None:
    pids = capturing.children()
    assert len(pids) == 2
    began = time.monotonic()
    assert capturing.daemon.stop() == 0
    note(f"stopped after {time.monotonic() - began:.2f} s")
    assert not any(map(is_running, pids))


def test_a_killed_daemon_leaves_no_child(capturing: Node) -> None:
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
    """Play a tone of 440 Hz at half of full scale to the card during the block, for at most 30 s."""
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
def test_a_played_tone_is_captured_without_a_sound_server(
    sound_card: None, tmp_path: Path, rate_hz: int, channels: int
) -> None:
    with played(tmp_path / "tone.wav", rate_hz, channels):
        wait_until(lambda: "RUNNING" in PLAYBACK_STATUS.read_text(), "the tone is played")
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
    assert ages_ms.min() >= 0, "no time stamp is in the future"
    assert ages_ms.max() < LATE_MS
