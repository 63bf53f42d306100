"""A node with a missing camera, over a real broker: one message tells of it, and none of further attempts."""

import json
from pathlib import Path

import pytest

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

# a minute with the default interval in a campaign; otherwise the counts of one health each second end the test
EVERY_S, FAILURES = (30.0, 75) if IS_CAMPAIGN else (1.0, 6)


@pytest.mark.campaign("missing-camera")
def test_a_missing_camera_is_told_once_however_often_it_is_tried(tmp_path: Path) -> None:
    with Mosquitto() as broker, Subscriber(broker, "perceptd/n/#") as subscriber:
        config = {
            "node": "n",
            "bundle": str(write_bundle(tmp_path / "bundle")),
            "mqtt": {"port": broker.port},
            "health": {"every_s": EVERY_S},
            "streams": {"s": {"camera": 63}},
        }

        def failing() -> list[dict]:
            found = [json.loads(payload) for payload in subscriber.payloads("perceptd/n/health")]
            return [one for one in found if camera(one)["failures"] > 0]

        with DaemonProcess(config, tmp_path) as daemon:
            wait_until(lambda: failing() and camera(failing()[-1])["failures"] >= FAILURES, "many failures", 180)
            messages, statuses = failing(), subscriber.payloads("perceptd/n/status")
            assert daemon.stop() == 0
    elapsed_s = messages[-1]["process"]["uptime_s"] - messages[0]["process"]["uptime_s"]
    assert len(messages) <= elapsed_s / EVERY_S + 2
    reasons = [json.loads(status)["streams"]["s"]["reason"] for status in statuses]
    assert reasons[-1] == f"camera: {camera(messages[-1])['reason']}"
    assert len(set(reasons) - {None}) == 1
    assert len(statuses) <= 3


def camera(health: dict) -> dict:
    return health["streams"]["s"]["sources"]["camera"]
