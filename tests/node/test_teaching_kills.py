"""A daemon is killed while it is taught over MQTT: nothing acknowledged is lost, and no example is half there."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.teaching.store import TeachingStore
from tests.helpers.campaign import chance, repetitions
from tests.helpers.daemon import DaemonProcess
from tests.helpers.format2_bundle import write_bundle
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.node.test_daemon import parsed
from tests.node.test_teaching_live import write_clip

# a store holds 1,000 examples
KILLS, PRESSES = 1, 4
NODE = "killed"
COMMAND = f"perceptd/{NODE}/command/teach"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.mark.campaign("power-cuts")
def test_what_was_acknowledged_survives_kills(tmp_path: Path, broker: Mosquitto) -> None:
    write_clip(tmp_path / "clip.mp4")
    settings = {
        "node": NODE,
        "bundle": str(write_bundle(tmp_path / "bundle")),
        "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
        "streams": {"s": {"replay": {"file": str(tmp_path / "clip.mp4")}}},
    }
    pause = chance("kills of a node")
    with Subscriber(broker, f"perceptd/{NODE}/#") as subscriber:
        for kill in range(repetitions(KILLS, 200)):
            seen, before = len(parsed(subscriber.heard, "recognition")), len(acknowledged(subscriber))
            with DaemonProcess(settings, tmp_path):
                wait_until(lambda: len(parsed(subscriber.heard, "recognition")) > seen, "it recognises")  # noqa: B023
                for number in range(PRESSES):
                    payload = {"label": f"label {kill} {number}", "seconds": 1, "ago_s": number / 10}
                    broker.publish(COMMAND, json.dumps(payload).encode())
                wait_until(lambda: len(acknowledged(subscriber)) > before, "one is acknowledged")  # noqa: B023
                time.sleep(pause.uniform(0, 0.5))
            stored = whole_examples(tmp_path / "state" / "teaching" / "teaching.db")
            assert acknowledged(subscriber) <= stored


def acknowledged(subscriber: Subscriber) -> set[str]:
    answers = [json.loads(payload) for payload in subscriber.payloads(f"{COMMAND}/result")]
    return {answer["result"]["example"] for answer in answers if answer["ok"]}


def whole_examples(path: Path) -> set[str]:
    """Return the ids of the stored examples, each of which is as its press has given it."""
    store = TeachingStore(path)
    assert store.problem is None
    infos = store.examples()
    for info in infos:
        example = store.example(info.id)
        assert len(example.moments) == info.moments > 0
        assert example.picture is not None
    store.close()
    return {info.id for info in infos}
