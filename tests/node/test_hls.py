"""An HLS camera from end to end: what it shows is used, and published with the time of its capture."""

import json
import time
from datetime import datetime, timezone
from pathlib import Path

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import DaemonProcess
from tests.helpers.hls import HlsServer, content
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

SEGMENT_S = 1.0
# so many appear while a busy machine starts the daemon
SEGMENTS = 60
RECOGNITIONS = 12


def seconds(message: dict) -> float:
    return datetime.fromisoformat(message["time"].replace("Z", "+00:00")).astimezone(timezone.utc).timestamp()


def test_pictures_of_segments_are_recognised_though_they_are_old(tmp_path: Path) -> None:
    made = content(segments=SEGMENTS, segment_s=SEGMENT_S)
    with Mosquitto() as broker, HlsServer(made).serving() as server, Subscriber(broker, "perceptd/n/#") as subscriber:
        config = {
            "node": "n",
            "bundle": str(write_bundle(tmp_path / "bundle")),
            "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
            "health": {"every_s": 1},
            "streams": {"s": {"camera": f"{server.url}/live.m3u8"}},
        }
        with DaemonProcess(config, tmp_path) as daemon:
            topic = "perceptd/n/s/recognition"
            wait_until(lambda: len(subscriber.payloads(topic)) >= RECOGNITIONS, "recognitions")
            now_s = datetime.now(timezone.utc).timestamp()
            began_s = now_s - (time.monotonic() - server.began_s)
            newest = json.loads(subscriber.payloads(topic)[-1])
            wait_until(lambda: inputs(subscriber)["image"]["encoded"] >= RECOGNITIONS, "health")
            assert "late" not in inputs(subscriber)["image"]["dropped"]
            assert daemon.stop() == 0
    assert now_s - seconds(newest) > SEGMENT_S, "it was captured before its segment was complete"
    assert seconds(newest) > began_s


def inputs(subscriber: Subscriber) -> dict:
    return json.loads(subscriber.payloads("perceptd/n/health")[-1])["streams"]["s"]["inputs"]
