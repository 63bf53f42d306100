"""The sizes of packets, and what a broker takes of them."""

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.addresses import Address
from daemon.mqtt.broker.callbacks import MqttCallbacks
from daemon.mqtt.broker.client import BrokerClient
from daemon.mqtt.broker.credentials import endpoint_of
from daemon.mqtt.broker.limits import BrokerLimits, adapted, carries, fits, packet_bytes
from daemon.mqtt.send_queue import Outbound
from tests.helpers.mosquitto import wait_until
from tests.helpers.raw_broker import PUBLISH, RawBroker

TOPIC = "perceptd/n\u00f6de/health"
MESSAGES = [
    Outbound("t", b""),
    Outbound("t", b"", qos=1, retain=True),
    *(Outbound(TOPIC, bytes(length), qos=1) for length in (90, 100, 101, 102, 103, 110, 127, 128, 300)),
    *(Outbound(TOPIC, bytes(length)) for length in (16_350, 16_357, 16_358, 16_359, 16_360, 16_384, 70_000)),
    Outbound(TOPIC, b"p", expiry_s=60),
    Outbound("t", b"p", qos=1, response_topic="answers/\u00e4", correlation=bytes(16), expiry_s=60),
    *(Outbound("t", b"p", correlation=bytes(length)) for length in (0, 120, 124, 125, 126, 130, 200)),
]


def test_the_size_is_that_of_the_packet_which_is_sent() -> None:
    with RawBroker() as broker:
        endpoint = endpoint_of(MqttConfig(port=broker.port), "client")
        address = Address("127.0.0.1", broker.port, "127.0.0.1")
        client = BrokerClient(endpoint, address, "5", BrokerLimits(), MqttCallbacks())
        client.connect(10.0)
        wait_until(lambda: client.read() or client.is_accepted, "the login")
        for message in MESSAGES:
            client.publish(message)
            wait_until(lambda: client.write() or not client.wants_to_write, "written")
        wait_until(lambda: len(broker.got(PUBLISH)) == len(MESSAGES), "all messages")
        client.abort()
        assert [packet.size for packet in broker.got(PUBLISH)] == [packet_bytes(message) for message in MESSAGES]


@pytest.mark.parametrize(
    ("limit", "is_taken"), [(None, True), (1, False), (32, False), (33, True), (34, True), (268_435_460, True)]
)
def test_a_message_fits_up_to_the_largest_packet(limit, is_taken):
    message = Outbound("perceptd/n/health", b"123456789", qos=1, retain=True)
    assert packet_bytes(message) == 33
    assert fits(message, BrokerLimits(max_packet_bytes=limit)) is is_taken


@pytest.mark.parametrize(
    ("qos", "retain", "limits", "expected"),
    [
        (1, True, BrokerLimits(), (1, True)),
        (1, True, BrokerLimits(retain_available=False), (1, False)),
        (1, True, BrokerLimits(max_qos=0), (0, True)),
        (0, False, BrokerLimits(max_qos=0, retain_available=False), (0, False)),
    ],
)
def test_a_message_is_sent_as_the_broker_takes_it(qos, retain, limits, expected):
    message = Outbound("t", b"p", qos=qos, retain=retain, sequence=7)
    sent = adapted(message, limits)
    assert (sent.qos, sent.retain) == expected
    assert (sent.topic, sent.payload, sent.sequence) == ("t", b"p", 7)


@pytest.mark.parametrize(
    ("topic_filter", "limits", "is_taken"),
    [
        ("perceptd/n/+/text", BrokerLimits(), True),
        ("perceptd/n/+/text", BrokerLimits(wildcards_available=False), False),
        ("perceptd/n/health", BrokerLimits(wildcards_available=False), True),
        ("perceptd/n/+/text", BrokerLimits(max_packet_bytes=25), True),
        ("perceptd/n/+/text", BrokerLimits(max_packet_bytes=24), False),
    ],
)
def test_a_subscription_must_fit_too(topic_filter, limits, is_taken):
    assert carries(topic_filter, limits) is is_taken
