"""A broker that ends the connection at a topic, without a word, does not cut the node off for ever."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.callbacks import BrokerReason
from daemon.mqtt.broker.waits import Waits
from daemon.mqtt.cuts import SHORT_NS, Cuts
from daemon.mqtt.send_queue import Outbound
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import wait_until
from tests.helpers.raw_broker import PUBLISH, Packet, RawBroker, acknowledge, connack
from tests.mqtt.records import event

SOON = Waits(first_retry_s=0.01, longest_retry_s=0.05)
CUT, AWAY = BrokerReason(0x80, "Unspecified error"), BrokerReason(0x8B, "Server shutting down")
STATE = Outbound("n/s/state", b"x", 1, retain=True)
HEALTH = Outbound("n/health", b"x", 1, retain=True)
EVENT = Outbound("n/s/event", b"x", 1, sequence=1)


def found(cuts: Cuts, *unacknowledged: Outbound, lasted_ns: int = 0, loss: BrokerReason = CUT, has_worked=True):
    return cuts.lost(unacknowledged, lasted_ns, loss, has_worked=has_worked)


def test_the_topic_is_found_by_sending_one_message_at_a_time() -> None:
    cuts = Cuts()
    assert not cuts.is_careful(0)
    assert found(cuts, STATE, HEALTH) is None and found(cuts, STATE, HEALTH) is None
    assert cuts.is_careful(0) and not cuts.is_careful(SHORT_NS)
    assert found(cuts, HEALTH) is None
    assert found(cuts, HEALTH) == HEALTH
    assert found(cuts, STATE) is None and found(cuts, STATE) == STATE


@pytest.mark.parametrize(
    "end",
    [
        {"lasted_ns": SHORT_NS},
        {"loss": AWAY},
        {"loss": None},
    ],
    ids=["it has lasted", "the broker shuts down", "this side has ended it"],
)
def test_other_ends_make_nothing_suspicious(end: dict) -> None:
    cuts = Cuts()
    for _ in range(9):
        assert found(cuts, STATE) is None
        assert found(cuts, STATE, **end) is None
        assert not cuts.is_careful(0)


@pytest.mark.parametrize("message", [EVENT, replace(STATE, retain=False)], ids=["event", "answer"])
def test_only_retained_messages_are_held_back(message: Outbound) -> None:
    cuts = Cuts()
    assert [found(cuts, message) for _ in range(9)] == [None] * 9


def test_a_broker_on_its_way_down_says_nothing_of_a_topic() -> None:
    cuts = Cuts()
    assert [found(cuts, STATE, has_worked=False) for _ in range(9)] == [None] * 9


class Forbids:
    """Ends the connection at some topics, as RabbitMQ does where the account lacks the right."""

    def __init__(self, *topics: str) -> None:
        self.topics = topics

    def __call__(self, packet: Packet) -> bytes | None:
        return None if packet.topic in self.topics else acknowledge(packet)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_a_broker_cuts_at_is_held_back_and_the_rest_arrives(tmp_path: Path, version: str) -> None:
    config, health = "homeassistant/device/perceptd_node/config", "perceptd/node/health"
    with RawBroker() as broker:
        old = {} if version == "5" else {"CONNECT": refuses_5}
        broker.behave(PUBLISH=Forbids(config, health), **old)
        ours = Session(MqttConfig(port=broker.port), "node", tmp_path, SOON)
        ours.start({})
        assert ours.publish("front/state", b"state", retain=True, qos=1)
        assert ours.publish("health", b"health", retain=True, qos=1)
        ours.announce(config, b"{}")
        for number in range(30):
            assert ours.publish_event("front/event", event(number, "end"))
        wait_until(lambda: ours.status()["outbox"]["stored"] == 0 and ours.connected, "all events")
        wait_until(lambda: len(broker.got(PUBLISH, "perceptd/node/front/event")) >= 30, "they have arrived")
        status = ours.status()
        assert status["dropped"] == {"health_refused": 1, "announcement_refused": 1}
        assert "refused perceptd/node/health: it ended the connection each time" in str(status["reason"])
        assert ours.publish("front/state", b"next", retain=True, qos=1)
        assert ours.publish("health", b"held back", retain=True, qos=1)
        wait_until(lambda: broker.got(PUBLISH, "perceptd/node/front/state")[-1].body.endswith(b"next"), "it arrives")
        ours.stop(5.0)
        assert broker.got(PUBLISH)[-1].topic == "perceptd/node/availability"


def refuses_5(packet: Packet) -> bytes:
    """Speak MQTT 3.1.1 only."""
    return connack(0x84) if packet.is_5 else b"\x20\x02\0\0"
