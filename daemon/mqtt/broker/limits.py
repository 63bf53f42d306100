"""The limits that a broker announces in CONNACK (MQTT 5, section 3.2.2.3), and messages that meet them. Pure."""

from dataclasses import dataclass, replace

from daemon.mqtt.send_queue import Outbound

# Bytes of the parts of a packet (MQTT 5, sections 3.3 and 3.8). NO_PROPERTIES is the length field of no properties.
FIRST_BYTE, TEXT_LENGTH, PACKET_ID, NO_PROPERTIES, OPTIONS = 1, 2, 2, 1, 1

# Each property begins with its identifier. Message Expiry Interval has four bytes more.
PROPERTY_ID, EXPIRY = 1, 5


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits of one connection. A broker of MQTT 3.1.1 announces none.

    `max_packet_bytes` is the size of the largest packet that the broker takes; None: not known.
    """

    max_packet_bytes: int | None = None
    retain_available: bool = True
    max_qos: int = 1
    receive_maximum: int = 65_535
    wildcards_available: bool = True


def packet_bytes(message: Outbound) -> int:
    """Return the size of the PUBLISH packet in MQTT 5. In 3.1.1 it is up to a few bytes smaller."""
    properties = 0 if message.expiry_s is None else EXPIRY
    if message.response_topic is not None:
        properties += PROPERTY_ID + TEXT_LENGTH + len(message.response_topic.encode())
    if message.correlation is not None:
        properties += PROPERTY_ID + TEXT_LENGTH + len(message.correlation)
    remaining = TEXT_LENGTH + len(message.topic.encode()) + (PACKET_ID if message.qos else 0)
    remaining += _length_bytes(properties) + properties + len(message.payload)
    return FIRST_BYTE + _length_bytes(remaining) + remaining


def fits(message: Outbound, limits: BrokerLimits) -> bool:
    """Return whether the broker takes a message of this size."""
    return limits.max_packet_bytes is None or packet_bytes(message) <= limits.max_packet_bytes


def carries(topic_filter: str, limits: BrokerLimits) -> bool:
    """Return whether the broker takes a subscription to this filter."""
    remaining = PACKET_ID + NO_PROPERTIES + TEXT_LENGTH + len(topic_filter.encode()) + OPTIONS
    size = FIRST_BYTE + _length_bytes(remaining) + remaining
    fits_in = limits.max_packet_bytes is None or size <= limits.max_packet_bytes
    return fits_in and (limits.wildcards_available or not set("+#") & set(topic_filter))


def adapted(message: Outbound, limits: BrokerLimits) -> Outbound:
    """Return the message with the QoS and the retain flag that the broker takes."""
    qos, retain = min(message.qos, limits.max_qos), message.retain and limits.retain_available
    is_unchanged = (qos, retain) == (message.qos, message.retain)
    return message if is_unchanged else replace(message, qos=qos, retain=retain)


def _length_bytes(length: int) -> int:
    """Return the size of a length as a variable byte integer, which has seven bits in each byte."""
    return max(1, -(-length.bit_length() // 7))
