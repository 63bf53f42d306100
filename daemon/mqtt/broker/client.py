"""The one door to paho: one client for one connection to the broker."""

import socket
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.core.text import clean
from daemon.mqtt.broker.addresses import Address
from daemon.mqtt.broker.attempts import ProtocolVersion
from daemon.mqtt.broker.callbacks import BrokerReason, Inbound, MqttCallbacks
from daemon.mqtt.broker.credentials import Endpoint
from daemon.mqtt.broker.handshake import HandshakeDeadline
from daemon.mqtt.broker.limits import BrokerLimits, adapted
from daemon.mqtt.send_queue import Outbound

# The daemon asks the broker not to send larger packets. A text has at most 4 KB; larger packets are counted.
MAX_PACKET_BYTES = 1_048_576

# A broker of MQTT 3.1.1 cannot be asked. A larger packet than this ends the connection, because paho reads it whole.
MAX_RECEIVED_BYTES = 16 * MAX_PACKET_BYTES

# Nobody subscribes to this. A broker's answer to UNSUBSCRIBE shows that it has read all earlier packets.
CONFIRMATION_FILTER = "perceptd-confirmation"


class _PahoClient(Client):
    """paho's client, which connects to one address of the broker's name and reads packets of a bounded size.

    TLS and websockets go on to use the name.
    """

    def __init__(self, address: Address, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self.has_oversized_packet = False
        self.deadline: HandshakeDeadline | None = None
        self._broker_address = address

    def _create_socket_connection(self) -> socket.socket:
        address = self._broker_address
        sock = socket.create_connection((address.address, address.port), self.connect_timeout)
        if self.deadline is not None:
            self.deadline.watch(sock)
        return sock

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_RECEIVED_BYTES:  # paho asks for all that is left of the packet
            self.has_oversized_packet = True
            raise ConnectionAbortedError
        return super()._sock_recv(bufsize)


class BrokerClient:
    """One connection, from CONNECT to its end. Used by one thread, which polls the socket.

    Attributes have the broker's answers so far. `is_accepted` and `refusal` concern the login, `limits` the messages
    that the broker takes. `loss` says why the connection has ended. `subscription_answers` has answers by message id,
    until somebody takes them.
    Messages that were not acknowledged when the connection ends must be sent again, by another client.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        address: Address,
        protocol: ProtocolVersion,
        known: BrokerLimits,
        callbacks: MqttCallbacks,
    ) -> None:
        """`known` are the limits that the broker had before; they hold for the last will."""
        self.is_accepted = False
        self.refusal: BrokerReason | None = None
        self.limits = BrokerLimits()
        self.loss: BrokerReason | None = None
        self.subscription_answers: list[tuple[int, BrokerReason | None]] = []
        self._callbacks = callbacks
        self._is_5 = protocol == "5"
        self._properties_by_expiry: dict[int | None, Properties] = {}
        self._unconfirmed: list[int] = []
        self._asked: tuple[int, list[int]] | None = None
        self._client = self._new_client(endpoint, address, known)

    def _new_client(self, endpoint: Endpoint, address: Address, known: BrokerLimits) -> _PahoClient:
        config = endpoint.config
        client = _PahoClient(
            address,
            client_id=endpoint.client_id,
            clean_session=None if self._is_5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_5 else MQTTProtocolVersion.MQTTv311,
            transport=config.transport,
            reconnect_on_failure=False,  # paho would connect again by itself, in MQTT 3.1
        )
        if config.transport == "websockets":
            client.ws_set_options(path=config.websocket_path)
        if endpoint.tls is not None:
            client.tls_set_context(endpoint.tls)
        username, password = endpoint.login
        if username is not None or password is not None:
            client.username_pw_set(username or "", password)
        if endpoint.will is not None:
            will = adapted(endpoint.will, known)
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        broker = address.host, address.port, config.keepalive_s
        if self._is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect_async(*broker, clean_start=True, properties=properties)
        else:
            client.connect_async(*broker)
        return client

    def connect(self, handshake_s: float) -> None:
        """Open the connection and send CONNECT; blocks for the network. Raises OSError.

        The handshake of a websocket takes at most `handshake_s`.
        """
        if self._client.transport == "websockets":
            with HandshakeDeadline(handshake_s) as self._client.deadline:
                self._client.reconnect()
        else:
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

    @property
    def has_oversized_packet(self) -> bool:
        """Whether the connection has ended because the broker began a packet larger than `MAX_RECEIVED_BYTES`."""
        return self._client.has_oversized_packet

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Ask for a subscription; return the id in `subscription_answers`, or 0 if the connection has ended."""
        _, message_id = self._client.subscribe(topic_filter, qos)
        return message_id or 0

    def publish(self, message: Outbound) -> int:
        """Send one message, as the broker takes it; return the id by which it is acknowledged, if its QoS is 1.

        A broker that takes QoS 0 only acknowledges nothing itself: see `confirm`.
        """
        properties = self._properties(message) if self._is_5 else None
        sent = adapted(message, self.limits)
        info = self._client.publish(sent.topic, sent.payload, sent.qos, sent.retain, properties)
        while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # this id is still used by an older message
            info = self._client.publish(sent.topic, sent.payload, sent.qos, sent.retain, properties)
        if sent.qos < message.qos:
            self._unconfirmed.append(info.mid)
        return info.mid

    def confirm(self) -> None:
        """Ask the broker whether it has read what it does not acknowledge. Call it after messages were sent."""
        if self._unconfirmed and self._asked is None:
            _, message_id = self._client.unsubscribe(CONFIRMATION_FILTER)
            if message_id is not None:
                self._asked, self._unconfirmed = (message_id, self._unconfirmed), []

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
            self.refusal = _broker_reason(reason, properties)
        else:
            self.limits = _broker_limits(properties)
            self.is_accepted = True

    def _on_disconnect(
        self, _c: Client, _u: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        is_loss = reason.is_failure or flags.is_disconnect_packet_from_server
        if is_loss and self.loss is None:  # paho may call this again when it closes the socket
            self.loss = _broker_reason(reason, properties)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        response_topic = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)
        payload = bytes(message.payload)
        self._callbacks.on_message(Inbound(message.topic, payload, message.retain, response_topic, correlation))

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        if mid in self._unconfirmed or (self._asked is not None and mid in self._asked[1]):
            return  # paho only says that it has written the message
        self._callbacks.on_acknowledged(mid, _broker_reason(reason) if reason.is_failure else None)

    def _on_subscribe(self, _c: Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        if reasons:
            refusals = [_broker_reason(reason) for reason in reasons if reason.is_failure]
            self.subscription_answers.append((mid, refusals[0] if refusals else None))

    def _on_unsubscribe(self, _c: Client, _u: Any, mid: int, _reasons: list[ReasonCode], _p: Any) -> None:
        if self._asked is not None and self._asked[0] == mid:
            read, self._asked = self._asked[1], None
            for message_id in read:
                self._callbacks.on_acknowledged(message_id, None)


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
        wildcards_available=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
    )


def _broker_reason(reason: ReasonCode, properties: Properties | None = None) -> BrokerReason:
    other_server = getattr(properties, "ServerReference", None)
    name = str(reason) if other_server is None else f"{reason} ({clean(other_server)})"
    return BrokerReason(reason.value, name)
