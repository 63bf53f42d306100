"""SIGTERM while every camera keeps the daemon waiting: for an answer, for the first picture, or for the next one."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import DaemonProcess
from tests.helpers.jpegs import jpeg, part
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.packet_camera import PacketCamera
from tests.helpers.raw_http import RawHttpServer, Request, head

SILENCE_S = 600.0

MULTIPART = head("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=picture")
PLAYLIST = head("200 OK", "Content-Type: application/x-mpegurl") + b"#EXTM3U\n"
TRANSPORT_STREAM = head("200 OK", "Content-Type: video/mp2t") + (b"G\x1f\xff\x10" + bytes(184)) * 10


class SilentAfter:
    """Sends these bytes, and then nothing for ever."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, request: Request) -> Iterator[bytes | float]:
        yield from (self._data, SILENCE_S) if self._data else (SILENCE_S,)


def test_the_daemon_stops_in_time_while_every_camera_is_waited_for(tmp_path: Path) -> None:
    answers = {
        "unanswered": b"",
        "mjpeg": MULTIPART,
        "playlist": PLAYLIST,
        "ts": TRANSPORT_STREAM,
        "slow": MULTIPART + part(jpeg(10)) + part(jpeg(20)),
    }
    servers = {name: RawHttpServer(SilentAfter(data)) for name, data in answers.items()}
    mute = {transport: PacketCamera(is_mute=True, transports=(transport,)) for transport in ("tcp", "udp")}
    with Mosquitto() as broker, Subscriber(broker, "perceptd/n/health") as subscriber, ExitStack() as stack:
        urls = {name: stack.enter_context(server.serving()).url("/camera") for name, server in servers.items()}
        urls |= {transport: stack.enter_context(camera.serving()) for transport, camera in mute.items()}
        config = {
            "node": "n",
            "bundle": str(write_bundle(tmp_path / "bundle")),
            "mqtt": {"port": broker.port},
            "health": {"every_s": 1},
            "streams": {name: {"camera": {"device": url, "stall_after_s": 60}} for name, url in urls.items()},
        }
        with DaemonProcess(config, tmp_path) as daemon:
            wait_until(lambda: all(server.requests for server in servers.values()), "every server is asked")
            wait_until(lambda: all((name, 200) in camera.setups for name, camera in mute.items()), "RTSP is set up")
            wait_until(lambda: state(subscriber, "slow") == "healthy", "a camera delivers, and is silent then")
            assert daemon.stop() == 0
            assert "stopped" in daemon.log.splitlines()[-1]


def state(subscriber: Subscriber, stream: str) -> str | None:
    payloads = subscriber.payloads("perceptd/n/health")
    return json.loads(payloads[-1])["streams"][stream]["sources"]["camera"]["state"] if payloads else None
