"""Events outlive what befalls the outbox's file, and a broker's quota."""

import os
import sys
import time
from pathlib import Path

import pytest
from benchmarks import outbox

from tests.helpers.campaign import chance, repetitions
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.refusing_broker import RefusingBroker
from tests.mqtt.store_faults import TOPIC, FaultyNode, steps

pytestmark = pytest.mark.campaign("endurance")

STEPS, RATE = repetitions(100, campaign=10_000), repetitions(250, campaign=250)
"""Of events, and how many in a second."""

BLOWS = repetitions(1, campaign=20)
QUOTA_EXCEEDED = 0x97
SCRIPTS = Path(outbox.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SCRIPTS), *sys.path]))


def test_no_event_is_lost_by_what_befalls_the_store(tmp_path: Path) -> None:
    random = chance("store")
    faults = ["late", "removed", "descriptors"] * BLOWS
    random.shuffle(faults)
    with Mosquitto() as broker, Subscriber(broker, TOPIC) as subscriber:
        node = FaultyNode(tmp_path / "state", broker.port, RATE, random)
        node.befall(faults)
        accepted = node.finish(STEPS)
        wait_until(lambda: len(steps(subscriber.payloads(TOPIC))) >= len(accepted), "all events")
        heard = steps(subscriber.payloads(TOPIC))
    assert sorted(heard) == sorted(accepted)
    assert set(node.dropped) <= {"outbox_removed"}


def test_no_event_is_lost_by_a_quota(tmp_path: Path) -> None:
    random = chance("quota")
    refuses = {"until": 0.0}

    def quota(topic: str, _payload: bytes) -> int:
        """Refuse events for a while, now and then."""
        if topic != TOPIC:
            return 0
        now = time.monotonic()
        if not broker.refused or random.random() < 0.01:
            refuses["until"] = now + random.uniform(0.0, 0.5)
        return QUOTA_EXCEEDED if now < refuses["until"] else 0

    with RefusingBroker(quota) as broker:
        node = FaultyNode(tmp_path / "state", broker.port, RATE, random)
        accepted = node.finish(repetitions(20, campaign=STEPS))
        heard = steps(broker.payloads(TOPIC))
    assert sorted(heard) == sorted(accepted)
    assert node.dropped == {}
    assert broker.refused
