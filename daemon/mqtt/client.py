"""The one door to paho: one client for one connection to the broker."""

import socket
from dataclasses import dataclass
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.mqtt.credentials import Endpoint
from daemon.mqtt.limits import BrokerLimits
from daemon.mqtt.send_queue import Outbound

ProtocolVersion = Literal["5", "3.1.1"]

# The daemon asks the broker not to send larger packets. A text has at most 4 KB; larger packets are counted.
MAX_PACKET_BYTES = 1_048_576

UNSUPPORTED_PROTOCOL, TAKEN_OVER = 0x84, 0x8E

REMEDIES = {
    0x85: "the broker does not accept the client name; choose another node in config.yaml",
    0x86: "check mqtt.username and mqtt.password in config.yaml",
    0x87: "check mqtt.username and mqtt.password in config.yaml, and the broker's access list",
    0x8A: "the broker has banned this client",
    TAKEN_OVER: "another client connected with the same name; give each device its own node in config.yaml",
}


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from the broker; `retained` says that the broker had stored it before this subscription."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class BrokerReason:
    """Why the broker refused something or ended the connection: a reason code (MQTT 5, section 2.4) and its name."""

    code: int
    name: str

    @property
    def remedy(self) -> str | None:
        """What to do about it; None where that is not known."""
        return REMEDIES.get(self.code)


class MqttCallbacks:
    """Base of the owners of a connection; every method does nothing.

    All methods run on the thread that runs the connection. They must return quickly and never wait for a disk.
    """

    def on_connected(self) -> None:
        """Handle that the broker has accepted the login. Subscribe here."""

    def on_disconnected(self) -> None:
        """Handle that the connection has ended. Called only after `on_connected`."""

    def on_message(self, message: Inbound) -> None:
        """Handle a message under a subscribed topic."""

    def on_acknowledged(self, message_id: int, refusal: BrokerReason | None) -> None:
        """Handle that the broker has acknowledged a message of QoS 1, or refused it.

        Also called for some messages of QoS 0 when they were written.
        """

    def on_turn(self) -> None:
        """Handle the end of one turn of the loop. Send queued messages here, and end the connection here."""


class BrokerClient:
    """One connection, from CONNECT to its end. Used by one thread, which polls the socket.

    Five attributes tell what the broker has answered so far: whether it accepted or refused the login, and why;
    its limits; why it ended the connection, if it did; and why it refused subscriptions.
    Messages that were not acknowledged when the connection ends must be sent again, by another client.
    """

    def __init__(self, endpoint: Endpoint, protocol: ProtocolVersion, callbacks: MqttCallbacks) -> None:
        self.is_accepted = False
        self.refusal: BrokerReason | None = None
        self.limits = BrokerLimits()
        self.loss: BrokerReason | None = None
        self.refused_subscriptions: list[BrokerReason] = []
        self._callbacks = callbacks
        self._is_5 = protocol == "5"
        self._properties_by_expiry: dict[int | None, Properties] = {}
        self._client = self._new_client(endpoint)

    def _new_client(self, endpoint: Endpoint) -> Client:
        config = endpoint.config
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if self._is_5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_5 else MQTTProtocolVersion.MQTTv311,
            transport=config.transport,
        )
        if config.transport == "websockets":
            client.ws_set_options(path=config.websocket_path)
        if endpoint.tls is not None:
            client.tls_set_context(endpoint.tls)
        username, password = endpoint.login
        if username is not None or password is not None:
            client.username_pw_set(username or "", password)
        if (will := endpoint.will) is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        address = config.hosts[0], config.port, config.keepalive_s
        if self._is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect_async(*address, clean_start=True, properties=properties)
        else:
            client.connect_async(*address)
        return client

    def connect(self) -> None:
        """Open the connection and send CONNECT; blocks for the network. Raises OSError."""
        self._client.reconnect()
        self._set_tcp_option(socket.TCP_NODELAY)

    @property
    def descriptor(self) -> int | None:
        """The socket's descriptor; None when the connection has ended."""
        sock = self._client.socket()
        return None if sock is None or sock.fileno() < 0 else sock.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether packets wait because the socket had no room for them."""
        return self._client.want_write()

    def read(self) -> bool:
        """Read a packet; return whether to call it again at once.

        TLS decrypts ahead, and the descriptor does not show what was decrypted.
        """
        # Set only while reading: paho would call it for every message of QoS 0 as soon as it is written.
        self._client.on_publish = self._on_publish
        self._client.loop_read()
        self._client.on_publish = None
        self._set_tcp_option(socket.TCP_QUICKACK)
        sock = self._client.socket()
        # sockets without TLS have no `pending`
        return sock is not None and hasattr(sock, "pending") and sock.pending() > 0

    def write(self) -> None:
        """Write the packets that wait."""
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Send a ping when one is due, and end a connection whose broker does not answer. Call it often."""
        self._client.loop_misc()

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe to a filter with QoS 1."""
        self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        """End the subscription to a filter."""
        self._client.unsubscribe(topic_filter)

    def publish(self, message: Outbound) -> int:
        """Send one message; return the id by which the broker acknowledges it, if its QoS is 1."""
        properties = self._properties(message) if self._is_5 else None
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    def disconnect(self) -> None:
        """End the connection in order, so that the broker does not publish the last will."""
        self._client.disconnect()

    def abort(self) -> None:
        """Cut the connection, so that the broker publishes the last will."""
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _properties(self, message: Outbound) -> Properties:
        if message.response_topic is not None or message.correlation is not None:
            return _PublishProperties(message)
        if message.expiry_s not in self._properties_by_expiry:  # there are only a few different times
            self._properties_by_expiry[message.expiry_s] = _PublishProperties(message)
        return self._properties_by_expiry[message.expiry_s]

    def _set_tcp_option(self, option: int) -> None:
        """Set a TCP option that avoids a delay of up to 40 ms for each small packet.

        By default TCP holds a small packet back until the one before it is acknowledged.
        NODELAY ends that for sent packets. QUICKACK ends it for the broker's packets; the kernel resets it.
        """
        if isinstance(sock := self._client.socket(), socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)

    def _on_connect(
        self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.refusal = _broker_reason(reason)
        else:
            self.limits = _broker_limits(properties)
            self.is_accepted = True

    def _on_disconnect(self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure and self.loss is None:  # paho may call this again when it closes the socket
            self.loss = _broker_reason(reason)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        response_topic = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)
        payload = bytes(message.payload)
        self._callbacks.on_message(Inbound(message.topic, payload, message.retain, response_topic, correlation))

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._callbacks.on_acknowledged(mid, _broker_reason(reason) if reason.is_failure else None)

    def _on_subscribe(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        self.refused_subscriptions += [_broker_reason(reason) for reason in reasons if reason.is_failure]


class _PublishProperties(Properties):
    """The properties of a message, packed once: packing takes as long as all other work for a message."""

    _packed: bytes

    def __init__(self, message: Outbound) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expiry_s is not None:
            self.MessageExpiryInterval = message.expiry_s
        if message.response_topic is not None:
            self.ResponseTopic = message.response_topic
        if message.correlation is not None:
            self.CorrelationData = message.correlation
        # paho accepts only names of properties in an assignment
        object.__setattr__(self, "_packed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """Return the bytes of the properties in the packet."""
        return self._packed


def _broker_limits(properties: Properties | None) -> BrokerLimits:
    """Return the limits in CONNACK; what the broker does not announce is not limited (MQTT 5, section 3.2.2.3)."""
    return BrokerLimits(
        max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
        retain_available=bool(getattr(properties, "RetainAvailable", 1)),
        max_qos=min(getattr(properties, "MaximumQoS", 1), 1),
        receive_maximum=max(getattr(properties, "ReceiveMaximum", 65_535), 1),
    )


def _broker_reason(reason: ReasonCode) -> BrokerReason:
    return BrokerReason(reason.value, str(reason))
