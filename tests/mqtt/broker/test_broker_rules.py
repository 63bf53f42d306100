"""What a session keeps to with its broker: subscriptions, limits, protocol version and waits."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.core.records import Counters
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.broker.send_limits import SendLimits
from daemon.mqtt.send_queue import Outbound
from daemon.mqtt.subscriber import Watcher
from tests.helpers.mosquitto import wait_until
from tests.helpers.raw_broker import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Always,
    Packet,
    RawBroker,
    accept,
    acknowledge,
    connack,
    grant,
    suback,
)
from tests.mqtt.broker.test_hostile_brokers import session, works
from tests.mqtt.records import event


@dataclass
class RefusesOnce:
    """Refuses the subscriptions to some filters, until it is told to grant them."""

    refused: set[str]

    def __call__(self, packet: Packet) -> bytes:
        return suback(packet, 0x87) if packet.topic in self.refused else grant(packet)


def test_a_refused_subscription_is_told_until_it_is_granted_on_the_same_connection(tmp_path: Path) -> None:
    filters = {"perceptd/node/+/text", "homeassistant/status"}
    answer = RefusesOnce(set(filters))
    with RawBroker() as broker:
        broker.behave(SUBSCRIBE=answer)
        with session(broker, tmp_path) as ours:
            wait_until(lambda: set(ours.status()["refused"]) == filters, "both refused")
            reason = str(ours.status()["reason"])
            assert all(f"refused the subscription to {each}: Not authorized" in reason for each in filters)
            assert all(f"add `topic read {each}`" in reason for each in filters)
            answer.refused.clear()
            wait_until(lambda: (ours.status()["refused"], ours.status()["reason"]) == ([], None), "granted")
            assert max(len(broker.got(SUBSCRIBE, each)) for each in filters) > 1


def test_the_node_subscribes_with_qos_0_and_a_watcher_with_qos_1(tmp_path: Path) -> None:
    with RawBroker() as broker:
        with session(broker, tmp_path) as ours:
            works(ours, broker)
        assert {packet.qos for packet in broker.got(SUBSCRIBE)} == {0}
        watcher = Watcher(MqttConfig(port=broker.port), ["watched"])
        wait_until(lambda: broker.got(SUBSCRIBE, "watched"), "a watcher")
        watcher.close()
        assert [packet.qos for packet in broker.got(SUBSCRIBE, "watched")] == [1]


@dataclass
class FirstOnly:
    """Acknowledges only the first message of each connection."""

    seen: set[int] = field(default_factory=set)

    def __call__(self, packet: Packet) -> bytes:
        is_first = packet.connection not in self.seen
        self.seen.add(packet.connection)
        return acknowledge(packet) if is_first else b""


def most(broker: RawBroker) -> int:
    """The largest number of messages of QoS 1 that came on one connection."""
    counts = Counter(packet.connection for packet in broker.got(PUBLISH) if packet.qos)
    return max(counts.values(), default=0)


@pytest.mark.parametrize(("receive_maximum", "expected"), [(1, 1), (3, 3), (65_535, 10)])
def test_no_more_messages_wait_for_an_acknowledgement_than_the_broker_takes(
    receive_maximum: int, expected: int, tmp_path: Path
) -> None:
    with RawBroker() as broker:
        login = connack(0, b"\x21" + receive_maximum.to_bytes(2, "big"))
        broker.behave(CONNECT=Always(login), PUBLISH=FirstOnly())
        with session(broker, tmp_path) as ours:
            for number in range(15):
                ours.publish_event("front/event", event(number))
            wait_until(lambda: most(broker) == 1 + expected, "as many as it takes")
            wait_until(lambda: broker.connections > 2, "it is left because it acknowledges nothing")
            assert most(broker) == 1 + expected
            broker.behave()
            wait_until(lambda: ours.status()["published"] >= 16, "all")


@dataclass
class Old:
    """Speaks MQTT 3.1.1 only, and closes a number of connections without an answer."""

    closes: int = 0

    def __call__(self, packet: Packet) -> bytes | None:
        if self.closes > 0:
            self.closes -= 1
            return None
        return b"\x20\x02\0\1" if packet.is_5 else accept(packet)


def test_a_broker_that_closes_a_few_times_is_asked_again_in_the_version_that_worked(tmp_path: Path) -> None:
    old = Old()
    with RawBroker() as broker:
        broker.behave(CONNECT=old)
        with session(broker, tmp_path) as ours:
            works(ours, broker)
            old.closes = 3
            broker.cut()
            wait_until(lambda: old.closes == 0 and broker.connections >= 6, "it is back")
            works(ours, broker)
        assert [packet.is_5 for packet in broker.got(CONNECT)][:6] == [True] + [False] * 5


def test_the_spread_of_the_config_is_that_of_the_first_wait_after_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lowest(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    monkeypatch.setattr(random, "uniform", lowest)
    with RawBroker() as broker, session(broker, tmp_path, reconnect_spread_s=30.0) as ours:
        works(ours, broker)
        broker.cut()
        wait_until(lambda: broker.connections >= 2, "connected again")
        assert (0, 30.0) in asked


@pytest.mark.parametrize("qos", [0, 1])
def test_an_acknowledgement_ends_the_wait_for_proof_whatever_the_size(qos: int) -> None:
    limits = SendLimits(Counters())
    for length in [*range(1000, 1100), *range(16_300, 16_400)]:
        limits.begin(BrokerLimits(), "broker:1883", "broker")
        message = Outbound("topic", bytes(length), qos=qos)
        sent = limits.as_sent(message)
        limits.sent(message)
        assert limits.awaits_proof == (sent.qos > qos or (qos == 1 and limits.awaits_proof))
        limits.acknowledged(message)
        assert not limits.awaits_proof


def test_a_large_message_needs_no_proof_where_the_broker_announces_its_limit() -> None:
    limits = SendLimits(Counters())
    limits.begin(BrokerLimits(max_packet_bytes=5000), "broker:1883", "broker")
    message = Outbound("topic", bytes(4000))
    assert limits.as_sent(message) == message
    limits.sent(message)
    assert not limits.awaits_proof
    assert not limits.takes(Outbound("topic", bytes(5000)))
