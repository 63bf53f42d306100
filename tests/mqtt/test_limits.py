import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from daemon.mqtt.limits import BrokerLimits, adapted, fits, packet_bytes
from daemon.mqtt.send_queue import Outbound


class Sent(Client):
    """A client of paho that remembers the packet which it would send."""

    packet = b""

    def _packet_queue(self, command, packet, mid, qos, info=None):
        self.packet = bytes(packet)
        return 0

    def _send_publish(self, *args, **keywords):
        self._sock = self._sock or object()  # without one it sends nothing
        try:
            return super()._send_publish(*args, **keywords)
        finally:
            self._sock = None


def sent_by_paho(message: Outbound) -> bytes:
    client = Sent(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.PUBLISH)
    if message.expiry_s is not None:
        properties.MessageExpiryInterval = message.expiry_s
    if message.response_topic is not None:
        properties.ResponseTopic = message.response_topic
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    client.publish(message.topic, message.payload, message.qos, message.retain, properties)
    return client.packet


@given(
    st.builds(
        Outbound,
        topic=st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1, max_size=50),
        payload=st.one_of(st.binary(max_size=300), st.integers(16_300, 16_400).map(bytes)),
        qos=st.sampled_from([0, 1]),
        retain=st.booleans(),
        expiry_s=st.none() | st.just(60),
        response_topic=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1),
        correlation=st.none() | st.binary(max_size=200),
    )
)
def test_the_size_is_that_of_the_packet_which_paho_makes(message):
    assert packet_bytes(message) == len(sent_by_paho(message))


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
