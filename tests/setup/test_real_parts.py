"""A setup finds real parts: a microphone that hears a clap, announced brokers, accelerators, network cameras."""

import itertools
import json
import socket
import uuid
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from daemon.cli.devices import line_of
from daemon.cli.main import main
from daemon.config.streams import MicrophoneConfig
from daemon.inference.hardware import EdgeTpu
from daemon.inference.placement import Machine
from daemon.setup.accelerators import accelerators, try_device
from daemon.setup.brokers import BROKER, HOME_ASSISTANT, Announcement, announcements, brokers
from daemon.setup.discovery import PORT
from daemon.setup.found import FoundAccelerator, FoundBroker, FoundCamera, Level
from daemon.setup.levels import LevelMeter, heard_clap
from daemon.setup.microphones import microphones
from tests.helpers.accelerators import delegate_device
from tests.helpers.delegate import cached_delegate
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.helpers.onvif import OnvifCamera, Stream, onvif_camera
from tests.helpers.pulse import RATE_HZ, pulse_server
from tests.helpers.ws_discovery import answering_probes, probe_match

# each takes seconds
pytestmark = [pytest.mark.xdist_group("sound"), pytest.mark.campaign("setup-search", part=1)]

# an answer of mDNS comes within a tenth of a second, unless the machine is busy
LISTEN_S = 0.3


@contextmanager
def announcing(kind: str, port: int) -> Iterator[str]:
    """Announce a service on the loopback interface during the block, by a name of its own; gives the host's name."""
    name = f"perceptd-{uuid.uuid4().hex}"
    server = f"{name}.local."
    info = ServiceInfo(kind, f"{name}.{kind}", port, addresses=[socket.inet_aton("127.0.0.1")], server=server)
    with Zeroconf(["127.0.0.1"], ip_version=IPVersion.V4Only) as network:
        network.register_service(info, cooperating_responders=True)
        yield server


def test_an_announced_broker_is_found_and_says_whether_it_wants_a_login() -> None:
    with (
        Mosquitto(login=("user", "secret")) as broker,
        announcing(BROKER, broker.port),
        announcing(HOME_ASSISTANT, 8123) as home_assistant,
    ):
        # the host's name cannot be resolved here, so its address is given
        expected = FoundBroker("127.0.0.1", broker.port, "mdns", needs_login=True)
        wait_until(lambda: expected in brokers(2 * LISTEN_S, network=True, port=1), "the broker")
        expected_name = Announcement(HOME_ASSISTANT, home_assistant, ("127.0.0.1",), 8123)
        wait_until(lambda: expected_name in announcements(LISTEN_S), "the name of Home Assistant")


def test_a_clap_is_heard_by_a_real_microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clap = tmp_path / "clap.wav"
    silence = np.zeros(RATE_HZ // 4)
    burst = np.random.default_rng(1).normal(0, 0.3, RATE_HZ // 2) * np.exp(-np.arange(RATE_HZ // 2) / 400)
    with wave.open(str(clap), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((32_767 * np.clip(np.concatenate((silence, burst, silence)), -1, 1)).astype("<i2").tobytes())
    with pulse_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        found = microphones()
        assert [each.device for each in found if each.is_default] == ["pulse:microphone"]
        with LevelMeter(None, MicrophoneConfig(device=found[0].device)) as meter:
            silent = [*itertools.islice(meter.levels(), 2)]
            heard: list[Level] = []
            with server.playing_file(clap):
                for level in meter.levels():  # until the clap comes
                    heard.append(level)
                    if heard_clap(heard):
                        break
    assert all(level.dbfs < -90 for level in silent)


def test_a_device_works_or_crashes() -> None:
    with cached_delegate() as library:
        assert try_device(delegate_device(library), "a delegate") == FoundAccelerator("test", "a delegate", works=True)
        crashed = try_device(delegate_device(library, fault="abort"), "a delegate")
    assert not crashed.works
    assert crashed.problem is not None and "SIGABRT" in crashed.problem


def test_an_edge_tpu_without_its_library_says_so() -> None:
    tpu = EdgeTpu("usb:0", Path("/dev/bus/usb/001/004"), "1a6e:089a")
    (found,) = accelerators(Machine((tpu,)))
    assert (found.device, found.name, found.works) == ("edgetpu:usb:0", "Edge TPU on USB", False)
    assert found.problem is not None and found.problem.startswith("libedgetpu.so.1 cannot be loaded: ")


def test_a_machine_without_accelerators_has_none() -> None:
    assert accelerators(Machine()) == []


def test_perceptd_devices_lists_network_cameras(capsys: pytest.CaptureFixture[str]) -> None:
    streams = [Stream("main", "rtsp://127.0.0.1/1", "H264", 1920, 1080, 25, "AAC")]
    with (
        onvif_camera(OnvifCamera(streams)) as open_camera,
        onvif_camera(OnvifCamera(streams, login=("u", "p"))) as closed_camera,
        answering_probes(
            [probe_match(each.announced, "Yard", each.service) for each in (open_camera, closed_camera)], PORT
        ),
    ):
        main(["devices", "--network", "--json"])
    listed = json.loads(capsys.readouterr().out)["network_cameras"]
    found = {camera["onvif"]: FoundCamera(**camera) for camera in listed}
    line = line_of(found[open_camera.service])
    assert line == "rtsp://127.0.0.1/1  (Yard DS-2CD2042: main stream, 1920x1080 H264 25 fps, with sound)"
    line = line_of(found[closed_camera.service])
    assert line == f"{closed_camera.service}  (Yard DS-2CD2042, 127.0.0.1:{closed_camera.port}, wants a login)"
