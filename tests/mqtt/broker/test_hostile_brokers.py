"""A broker that misbehaves is named, harms nothing, and is used again once it behaves."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.waits import Waits
from daemon.mqtt.session import Session
from tests.helpers import raw_broker
from tests.helpers.campaign import share
from tests.helpers.mosquitto import wait_until
from tests.helpers.raw_broker import (
    Always,
    Answer,
    Packet,
    RawBroker,
    acknowledge,
    connack,
    disconnect,
    frame,
    grant,
    suback,
)
from tests.mqtt.records import event

SHORT = Waits(
    connack_s=0.2,
    suback_s=0.1,
    puback_s=0.2,
    steady_s=0.2,
    tick_s=0.02,
    first_retry_s=0.01,
    longest_retry_s=0.05,
    first_resubscribe_s=0.02,
    longest_resubscribe_s=0.1,
)

EVENT, COMMANDS = "perceptd/node/front/event", "perceptd/node/+/text"


@contextmanager
def session(broker: RawBroker, state: Path, **config: object) -> Iterator[Session]:
    ours = Session(MqttConfig(port=broker.port, **config), "node", state, SHORT)
    ours.start({})
    try:
        yield ours
    finally:
        ours.stop(1.0)
        assert "mqtt" not in [thread.name for thread in threading.enumerate()]


def works(ours: Session, broker: RawBroker) -> None:
    """Check that the broker gets an event and acknowledges it, and that all subscriptions are granted."""
    before = ours.status()["published"]
    assert ours.publish_event("front/event", event(1))
    wait_until(lambda: broker.got(raw_broker.PUBLISH, EVENT), "an event")
    wait_until(lambda: ours.status()["published"] > before and ours.connected, "acknowledged")
    wait_until(lambda: not ours.status()["refused"], "all subscriptions granted")


def connect_with(code: int, properties: bytes = b"") -> Mapping[str, Answer]:
    """Answer CONNECT with a code, in both versions."""
    return {"CONNECT": Always(connack(code, properties))}


@dataclass
class After:
    """Gives the good answer with more bytes behind it."""

    good: Answer
    more: bytes

    def __call__(self, packet: Packet) -> bytes | None:
        return (self.good(packet) or b"") + self.more


@dataclass
class Suback:
    """Answers a subscription with a code, or with another id."""

    code: int = 0
    id_offset: int = 0

    def __call__(self, packet: Packet) -> bytes:
        answer = bytearray(suback(packet, self.code))
        answer[3] = answer[3] + self.id_offset & 255
        return bytes(answer)


def publish(topic: bytes, payload: bytes, properties: bytes = b"") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + raw_broker.length(len(properties)) + properties + payload
    return frame(0x30, body)


GOOD_LOGIN = raw_broker.accept
MOVED = b"\x1c\0\x05other"  # Server Reference

# What the broker does, and what the session says of it. None: nothing is wrong with it.
TABLE: dict[str, tuple[Mapping[str, Answer], str | None]] = {
    "silent": ({"CONNECT": Always(b"")}, "did not answer as MQTT requires"),
    "closes": ({"CONNECT": Always(None)}, "did not answer as MQTT requires"),
    "sends HTTP": ({"CONNECT": Always(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, "did not answer as MQTT requires"),
    "sends part of CONNACK": ({"CONNECT": Always(b"\x20\x03")}, "did not answer as MQTT requires"),
    "CONNACK too short": ({"CONNECT": Always(b"\x20\0")}, "did not answer as MQTT requires"),
    "CONNACK without end of length": ({"CONNECT": Always(b"\x20" + b"\xff" * 9)}, "did not answer as MQTT requires"),
    "CONNACK with garbage": ({"CONNECT": Always(frame(0x20, bytes(range(90))))}, "did not answer as MQTT requires"),
    "CONNACK with an unknown code": (connect_with(0xF0), "did not answer as MQTT requires"),
    "CONNACK with half a property": (connect_with(0, b"\x27\0"), "did not answer as MQTT requires"),
    "SUBACK instead of CONNACK": ({"CONNECT": Always(b"\x90\x04\0\1\0\0")}, "did not answer as MQTT requires"),
    "DISCONNECT instead of CONNACK": ({"CONNECT": Always(disconnect(0x8B))}, "did not answer as MQTT requires"),
    "unspecified error": (connect_with(0x80), "refused the login: Unspecified error"),
    "protocol version": (connect_with(0x84), "does not speak this version of MQTT"),
    "client identifier": (connect_with(0x85), "choose another node in config.yaml"),
    "bad password": (connect_with(0x86), "check mqtt.username and mqtt.password"),
    "not authorized": (connect_with(0x87), "the broker's access list"),
    "unavailable": (connect_with(0x88), "refused the login: Server unavailable"),
    "busy": (connect_with(0x89), "refused the login: Server busy"),
    "banned": (connect_with(0x8A), "the broker has banned this client"),
    "authentication method": (connect_with(0x8C), "refused the login: Bad authentication method"),
    "packet too large": (connect_with(0x95), "refused the login: Packet too large"),
    "quota": (connect_with(0x97), "refused the login: Quota exceeded"),
    "use another server": (connect_with(0x9C, MOVED), "refused the login: Use another server (other)"),
    "server moved": (connect_with(0x9D), "refused the login: Server moved"),
    "connection rate": (connect_with(0x9F), "refused the login: Connection rate exceeded"),
    "no retained will": (connect_with(0x9A), "refused the login: Retain not supported"),
    "no will of QoS 1": (connect_with(0x9B), "refused the login: QoS not supported"),
    "SUBACK refused": (
        {"SUBSCRIBE": Suback(0x87)},
        f"this client may not read {COMMANDS}: add `topic read {COMMANDS}` to",
    ),
    "SUBACK unspecified": ({"SUBSCRIBE": Suback(0x80)}, f"subscription to {COMMANDS}: Unspecified error; asking again"),
    "SUBACK never": ({"SUBSCRIBE": Always(b"")}, f"has not answered the subscription to {COMMANDS}; asking again"),
    "SUBACK of another id": ({"SUBSCRIBE": Suback(0, 100)}, f"has not answered the subscription to {COMMANDS}"),
    "SUBACK without a code": ({"SUBSCRIBE": Always(b"\x90\x03\0\1\0")}, "has not answered the subscription to"),
    "SUBACK with an unknown code": ({"SUBSCRIBE": Suback(0x7F)}, "lost the MQTT broker"),
    "no wildcards, at SUBSCRIBE": ({"SUBSCRIBE": Always(disconnect(0xA2))}, "Wildcard subscription not supported"),
    "no wildcards": (connect_with(0, b"\x28\0"), f"has limits that exclude the subscription to {COMMANDS}"),
    "no subscription ids, no shared ones": (connect_with(0, b"\x29\0\x2a\0"), None),
    "ends at PUBLISH": ({"PUBLISH": Always(disconnect(0x87))}, "Not authorized; the account lacks a right"),
    "PUBACK never": ({"PUBLISH": Always(b"")}, "does not acknowledge what it was sent"),
    "PUBACK of an unknown id": ({"PUBLISH": Always(b"\x40\x02\xee\xee")}, "does not acknowledge what it was sent"),
    "PUBACK twice": ({"PUBLISH": After(acknowledge, b"\x40\x02\xee\xee")}, None),
    "PUBREC instead of PUBACK": ({"PUBLISH": Always(b"\x50\x02\0\1")}, "does not acknowledge what it was sent"),
    "Receive Maximum 1": (connect_with(0, b"\x21\0\1"), None),
    "Receive Maximum 0": (connect_with(0, b"\x21\0\0"), "did not answer as MQTT requires"),
    "Maximum Packet Size 20": (connect_with(0, b"\x27\0\0\0\x14"), "takes packets of at most 20 bytes"),
    "Server Keep Alive": (connect_with(0, b"\x13\0\1"), None),
    "Server Keep Alive 0": (connect_with(0, b"\x13\0\0"), None),
    "Assigned client id": (connect_with(0, b"\x12\0\3abc"), None),
    "Session expiry": (connect_with(0, b"\x11\xff\xff\xff\xff"), None),
    "Topic alias maximum": (connect_with(0, b"\x22\xff\xff"), None),
    "a packet of 256 MiB": (
        {"CONNECT": After(GOOD_LOGIN, b"\x30\xff\xff\xff\x7f" + bytes(100_000))},
        "sent a packet of more than 16 MiB; limit what others may publish there (mosquitto: message_size_limit)",
    ),
    "part of a packet, and no more": ({"PUBLISH": Always(b"\x30\x05\0")}, "does not acknowledge what it was sent"),
    "a packet of no type": ({"CONNECT": After(GOOD_LOGIN, b"\0\0")}, "lost the MQTT broker"),
    "AUTH": ({"CONNECT": After(GOOD_LOGIN, b"\xf0\0")}, "lost the MQTT broker"),
    "a topic that is no text": ({"CONNECT": After(GOOD_LOGIN, publish(b"\xff\xfe", b""))}, "did not send MQTT"),
    "an alias of a topic": ({"CONNECT": After(GOOD_LOGIN, publish(b"", b"x", b"\x23\0\1"))}, None),
    "two logins": ({"CONNECT": After(GOOD_LOGIN, connack())}, None),
    "shuts down": ({"SUBSCRIBE": After(grant, disconnect(0x8B))}, "Server shutting down; connecting again"),
    "sends to another server": ({"SUBSCRIBE": Always(disconnect(0x9C, MOVED))}, "Use another server (other)"),
    "moved": ({"SUBSCRIBE": Always(disconnect(0x9D))}, "Server moved; connecting again"),
    "normal disconnection": ({"SUBSCRIBE": Always(b"\xe0\0")}, "lost the MQTT broker"),
    "unknown disconnection": ({"SUBSCRIBE": Always(disconnect(0x55))}, "lost the MQTT broker"),
    "closes at a message": ({"PUBLISH": Always(None)}, "lost the MQTT broker"),
}


@pytest.mark.campaign("brokers")
@pytest.mark.parametrize("name", share(list(TABLE), 32, "hostile brokers"))
def test_it_is_named_and_used_again_once_it_behaves(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers, message = TABLE[name]
    with RawBroker() as broker:
        broker.behave(**answers)
        with session(broker, tmp_path) as ours:
            if message is None:
                works(ours, broker)
            else:
                wait_until(lambda: message in str(ours.status()["reason"]), message)
                assert caplog.text.count(message) >= 1
                tries = broker.connections
                broker.behave()
                works_after_a_cut(ours, broker, tries)
            assert ours.status()["outbox"]["trouble"] is None
    assert "Traceback" not in caplog.text


def trickle(server: socket.socket, begin: bytes) -> None:
    """Send a beginning, and then a byte now and then, to one client after another."""
    with contextlib.suppress(OSError):
        while True:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(begin)
                while True:
                    peer.sendall(b"x")
                    time.sleep(0.01)


@pytest.mark.parametrize(
    ("transport", "begin", "message"),
    [("tcp", b"\x20\x7f", "did not answer as MQTT requires"), ("websockets", b"HTTP/1.1 101 ", "no connection to the")],
)
def test_a_login_that_comes_byte_by_byte_is_given_up(
    transport: str, begin: bytes, message: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server, begin))
        thread.start()
        ours = Session(MqttConfig(port=server.getsockname()[1], transport=transport), "node", tmp_path, SHORT)
        ours.start({})
        wait_until(lambda: message in str(ours.status()["reason"]), message)
        ours.stop(1.0)
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert "mqtt-handshake" not in [each.name for each in threading.enumerate()]


def works_after_a_cut(ours: Session, broker: RawBroker, tries: int) -> None:
    """Check the same, after the present connection, whose limits hold as long as it lasts."""
    broker.cut()
    wait_until(lambda: broker.connections > tries, "another connection")
    works(ours, broker)
