"""A source that delivers what is probably of no use is reported, and used all the same."""

from pathlib import Path

import pytest

from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.pulse import pulse_server
from tests.node.faults.watched_node import WatchedNode

REASONS = {
    "yard/camera": "the picture stays the same to the last bit: has the camera frozen?",
    "room/microphone": "digital silence",
}


def is_degraded(node: WatchedNode, path: str, reason: str) -> bool:
    """Return whether a source is degraded for this reason: one that is opened again keeps its reason meanwhile."""
    source = node.source(path)
    return (source["state"], source["reason"]) == ("degraded", reason)


@pytest.mark.xdist_group("sound")
def test_a_still_picture_and_digital_silence_are_degraded_and_still_used(tmp_path: Path) -> None:
    """The sound server plays nothing, which is digital silence; the camera sends the same picture every time."""
    camera, other = MjpegCamera(fps=5), MjpegCamera(fps=5)
    camera.mode = "still"
    with (
        Mosquitto() as broker,
        Subscriber(broker, "perceptd/n/#") as subscriber,
        camera.serving() as still,
        other.serving() as steady,
        pulse_server(tmp_path) as sound,
    ):
        config = {
            "node": "n",
            "bundle": str(ROOT / "models/digits"),
            "mqtt": {"port": broker.port},
            "health": {"every_s": 1},
            "streams": {
                "yard": {"camera": f"http://127.0.0.1:{still.port}/"},
                "room": {"microphone": "default"},
                "steady": {"camera": f"http://127.0.0.1:{steady.port}/"},
            },
        }
        with DaemonProcess(config, tmp_path, environment=sound.environment) as daemon:
            node = WatchedNode(subscriber, "n")
            wait_until(lambda: subscriber.payloads("perceptd/n/health"), "health")
            for path, reason in REASONS.items():
                wait_until(lambda path=path, reason=reason: is_degraded(node, path, reason), f"{path}: {reason}")
            assert node.source("steady/camera")["reason"] != REASONS["yard/camera"]
            assert node.health()["status"] == "degraded"
            encoded = node.health()["streams"]["yard"]["inputs"]["image"]["encoded"]
            wait_until(
                lambda: node.health()["streams"]["yard"]["inputs"]["image"]["encoded"] > encoded, "still encoded"
            )
            camera.mode = "ok"
            with sound.playing(440):
                for path in REASONS:
                    wait_until(lambda path=path: node.source(path)["state"] == "healthy", f"{path} is healthy")
            assert daemon.stop() == 0
