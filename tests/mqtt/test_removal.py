"""What a broker retains of a node that is gone is removed, or named."""

import json
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.home_assistant.ledger import Ledger
from daemon.mqtt.removal import remove_retained, retained_topics
from tests.helpers.mosquitto import Mosquitto, Subscriber
from tests.helpers.ports import free_port

OF_THE_NODE = [
    "perceptd/hall/availability",
    "perceptd/hall/health",
    "perceptd/hall/models",
    "perceptd/hall/status",
    "perceptd/hall/teaching",
    "ha/device/perceptd_hall/config",
]


def test_the_topics_of_a_node_are_known_from_its_config_and_its_announcements() -> None:
    topics = retained_topics("hall", ["door"], "ha", b"")
    of_stream = [f"perceptd/hall/door/{kind}" for kind in ("state", "states", "snapshot")]
    assert topics[:-1] == [*OF_THE_NODE, *of_stream]
    assert topics[-1].startswith("ha/device/perceptd_hall_door_")
    single = "ha/sensor/perceptd_hall/door_label/config"
    announced = Ledger(node="hall", retained=(single, OF_THE_NODE[-1])).to_json()
    assert retained_topics("hall", ["door"], "ha", announced) == [*topics, single]


@pytest.mark.parametrize("announced", [b"{", b'{"retained": 7}', b'{"door_label": "sensor"}', b"\xff", b'["x/config"]'])
def test_a_file_of_announcements_that_is_old_or_damaged_names_none(announced: bytes) -> None:
    assert retained_topics("hall", [], "ha", announced) == OF_THE_NODE


@pytest.mark.parametrize(
    "topic", ["zigbee2mqtt/bridge/config", "ha/sensor/kettle/power/config", "ha/device/kettle/config", "x/#/config"]
)
def test_a_file_of_announcements_cannot_name_topics_of_others(topic: str) -> None:
    announced = json.dumps({"version": 2, "node": "hall", "retained": [topic]}).encode()
    assert retained_topics("hall", [], "ha", announced) == OF_THE_NODE


def retained(broker: Mosquitto) -> set[str]:
    """Return the topics of all retained messages of a broker."""
    broker.publish("end", b".", retain=True)
    with Subscriber(broker) as subscriber:
        subscriber.wait_for("end")
        return {message.topic for message in subscriber.heard} - {"end"}


def test_everything_that_a_node_has_retained_is_removed_and_nothing_of_others(broker: Mosquitto) -> None:
    others = ["perceptd/hall2/health", "ha/device/perceptd_hall2/config", "ha/status"]
    for topic in (*OF_THE_NODE, "perceptd/hall/earlier/state", *others):
        broker.publish(topic, b"x", retain=True)
    removal = remove_retained(MqttConfig(port=broker.port), "hall", OF_THE_NODE, 20)
    assert (removal.remaining, removal.reasons) == ([], [])
    assert set(removal.removed) == {*OF_THE_NODE, "perceptd/hall/earlier/state"}
    assert retained(broker) == set(others)


def test_what_the_account_may_not_remove_is_named_with_the_missing_line(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write end\nuser hall\ntopic write perceptd/hall/#\n")
    topics = ["ha/device/perceptd_hall_door/config", *OF_THE_NODE]  # mosquitto cuts at the first one
    with Mosquitto(more=[f"acl_file {acl}"]) as broker:
        removal = remove_retained(MqttConfig(port=broker.port, username="hall"), "hall", topics, 20)
    assert set(removal.removed) == set(OF_THE_NODE[:-1])
    assert set(removal.remaining) == {topics[0], topics[-1]}
    assert len(removal.reasons) == 1
    assert removal.reasons[0].endswith(
        ": add `topic write ha/device/+/config` below `user hall` in the broker's access list"
    )


def test_without_a_broker_all_topics_remain_and_the_reason_is_told() -> None:
    port = free_port()
    removal = remove_retained(MqttConfig(port=port), "hall", OF_THE_NODE, 0.5)
    assert (removal.removed, removal.remaining) == ([], OF_THE_NODE)
    assert removal.reasons == [f"no connection to the MQTT broker at 127.0.0.1:{port}: Connection refused"]
