"""The one door to paho: one client for one connection to the broker."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.send_queue import Outbound

Protocol = Literal["5", "3.1.1"]

MAX_PACKET_BYTES = 1_048_576
"""What the broker is asked never to exceed; text inlets take 4 KB, the rest is room to see and count."""

UNSUPPORTED_PROTOCOL, TAKEN_OVER = 0x84, 0x8E

ADVICE = {
    0x85: "the broker does not take the client name: choose another node in config.yaml",
    0x86: "check mqtt.username and mqtt.password in config.yaml",
    0x87: "check mqtt.username and mqtt.password in config.yaml, and whom the broker lets in",
    0x8A: "the broker has banned this client",
    TAKEN_OVER: "another client connected under the same name: give each device its own node in config.yaml",
}
"""What to do about a reason code of the broker (MQTT 5, section 2.4)."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message as it came; `retained` says that the broker had kept it from before."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the broker, and who we are there."""

    config: MqttConfig
    client_id: str
    login: tuple[str | None, str | None]
    tls: SSLContext | None
    will: Outbound | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What the broker says; all are called on the thread that uses the client.

    `refused` has why the login was, and whether because of the protocol; `lost` why the connection ended (None: in
    order), and whether because another client of our name came; `declined` why a subscription was not taken.
    """

    taken: Callable[[], None]
    refused: Callable[[str, bool], None]
    lost: Callable[[str | None, bool], None]
    received: Callable[[Inbound], None]
    acknowledged: Callable[[int, str | None], None]
    declined: Callable[[str], None]


class BrokerClient:
    """One connection, from CONNECT to its end; its owner looks after its socket. Used by one thread.

    What it had not got acknowledged when it ends is the owner's to send again, by another client.
    """

    def __init__(self, way: Way, protocol: Protocol, answers: Answers) -> None:
        self._answers = answers
        self._is_5 = protocol == "5"
        self._expiring: dict[int | None, Properties] = {}
        self._client = self._made(way)

    def _made(self, way: Way) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=way.client_id,
            clean_session=None if self._is_5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_5 else MQTTProtocolVersion.MQTTv311,
            transport=way.config.transport,
        )
        if way.config.transport == "websockets":
            client.ws_set_options(path=way.config.websocket_path)
        if way.tls is not None:
            client.tls_set_context(way.tls)
        username, password = way.login
        if username is not None or password is not None:
            client.username_pw_set(username or "", password)
        if way.will is not None:
            client.will_set(way.will.topic, way.will.payload, way.will.qos, way.will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        address = way.config.host, way.config.port, way.config.keepalive_s
        if self._is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect_async(*address, clean_start=True, properties=properties)
        else:
            client.connect_async(*address)
        return client

    def connect(self) -> None:
        """Reach the broker and ask to be let in; blocks for the network. Raises OSError."""
        self._client.reconnect()
        self._hurry(socket.TCP_NODELAY)

    @property
    def descriptor(self) -> int | None:
        """Of the socket; None when the connection has ended."""
        sock = self._client.socket()
        return None if sock is None or sock.fileno() < 0 else sock.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether there is something that the socket had no room for."""
        return self._client.want_write()

    def read(self) -> bool:
        """Read a packet; says whether more is there that does not show on the descriptor: TLS decrypts ahead."""
        # only while reading: for every message of QoS 0 it would be called once that is written
        self._client.on_publish = self._on_publish
        self._client.loop_read()
        self._client.on_publish = None
        self._hurry(socket.TCP_QUICKACK)
        sock = self._client.socket()
        return sock is not None and getattr(sock, "pending", lambda: 0)() > 0

    def write(self) -> None:
        """Write what waits."""
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Say that we are there, or find that the broker is not; often."""
        self._client.loop_misc()

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages up to QoS 1."""
        self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for them no more."""
        self._client.unsubscribe(topic_filter)

    def publish(self, message: Outbound) -> int:
        """Send one message; gives its id, by which it is acknowledged, if of QoS 1."""
        properties = self._properties(message) if self._is_5 else None
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    def _properties(self, message: Outbound) -> Properties:
        if message.response_topic is not None or message.correlation is not None:
            return _Properties(message)
        if message.expiry_s not in self._expiring:  # of which there are few
            self._expiring[message.expiry_s] = _Properties(message)
        return self._expiring[message.expiry_s]

    def disconnect(self) -> None:
        """End the connection so that the broker forgets the last will."""
        self._client.disconnect()

    def abort(self) -> None:
        """Cut the connection: the broker then publishes the last will."""
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _hurry(self, option: int) -> None:
        """Set an option of TCP.

        By default a small packet waits until the one before is acknowledged, and the other side takes up to 40 ms for
        that. NODELAY ends it for what is sent; QUICKACK, which the kernel forgets again, for what the broker sends.
        """
        if isinstance(sock := self._client.socket(), socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)

    def _on_connect(self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._answers.refused(_explain(reason), reason.value == UNSUPPORTED_PROTOCOL)
        else:
            self._answers.taken()

    def _on_disconnect(self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        self._answers.lost(_explain(reason) if reason.is_failure else None, reason.value == TAKEN_OVER)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        response_topic = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)
        self._answers.received(
            Inbound(message.topic, bytes(message.payload), message.retain, response_topic, correlation)
        )

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._answers.acknowledged(mid, _explain(reason) if reason.is_failure else None)

    def _on_subscribe(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._answers.declined(_explain(reason))


class _Properties(Properties):
    """Those of messages; they are written once, for writing them takes as long as all the rest of a message."""

    _written: bytes

    def __init__(self, message: Outbound) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expiry_s is not None:
            self.MessageExpiryInterval = message.expiry_s
        if message.response_topic is not None:
            self.ResponseTopic = message.response_topic
        if message.correlation is not None:
            self.CorrelationData = message.correlation
        # not by an assignment, which is for properties alone
        object.__setattr__(self, "_written", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """The bytes that go into the packet."""
        return self._written


def _explain(reason: ReasonCode) -> str:
    advice = ADVICE.get(reason.value)
    return f"{reason}: {advice}" if advice else str(reason)
