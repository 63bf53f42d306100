"""The one door to paho: a client and its network loop, which connects again for ever."""

import logging
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.mqtt.connection import login, tls_context
from daemon.mqtt.outgoing import Outbound
from daemon.mqtt_config import MqttConfig
from daemon.runtime.backoff import Backoff
from daemon.runtime.progress import IDLE_S, Progress

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
STEADY_S = 5.0
"""A connection that lasted this long worked: the next wait is a short one."""

MAX_AWAITING_ACK = 10
"""QoS 1 messages on the way at once. Brokers cut off a client that exceeds their limit (mosquitto's is 20), and
paho sends all it holds at once after a reconnect: so it never holds more than this."""

MAX_PACKET_BYTES = 1_048_576
"""What the broker is asked never to exceed; text inlets take 4 KB, the rest is room to see and count."""

CONNECT_S = 120.0
"""Connecting waits for the system's resolver, which asks every name server twice for 5 s, and for 5 s per address."""

ENDING_TICK_S = 0.05

ANSWER_S = 10.0
"""A broker that has not taken or refused the login by then will not."""

FIRST_EVASION_S, LONGEST_EVASION_S = 60.0, 3600.0
"""Between tries while another client uses our name: each try cuts it off."""

MOST_TOLD = 8
"""Different troubles: a hostile peer may give each try another."""

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
class Hooks:
    """What a link's owner wants to hear; all are called on the thread that runs the link, and must be quick."""

    connected: Callable[[], None]
    disconnected: Callable[[], None]
    received: Callable[[Inbound], None]
    acknowledged: Callable[[int, str | None], None]
    turn: Callable[[], None]


class Link:
    """A paho client, used by the one thread that calls `run`; only `wake` may be called from others.

    Given no username or password it logs in without. The password goes nowhere but into CONNECT.
    """

    def __init__(self, config: MqttConfig, client_id: str, hooks: Hooks, will: Outbound | None = None) -> None:
        self._hooks = hooks
        self._config, self._client_id, self._will = config, client_id, will
        self._login = login(config)
        self._tls = None if config.tls is None else tls_context(config.tls)
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._address = f"{config.host}:{config.port}"
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told: dict[str, None] = {}
        self._up = False
        self._up_at = 0.0
        self._refused = self._taken_over = False
        self._client = self._new_client()
        self.progress = Progress("mqtt")

    def _new_client(self) -> Client:
        """One for each connection: what the one before had not got acknowledged is the owner's to send again."""
        config, will = self._config, self._will
        is_5 = self._protocol == MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_5 else True,
            protocol=self._protocol,
            transport=config.transport,
        )
        if config.transport == "websockets":
            client.ws_set_options(path=config.websocket_path)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        username, password = self._login
        if username is not None or password is not None:
            client.username_pw_set(username or "", password)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        if is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect_async(config.host, config.port, config.keepalive_s, clean_start=True, properties=properties)
        else:
            client.connect_async(config.host, config.port, config.keepalive_s)
        return client

    def run(self, stop: Event, tick_s: float = IDLE_S) -> None:
        """Keep connected until `stop` is set and the connection, if there is one, was ended by the owner.

        Never raises for anything a network or a broker does. Between tries it waits a jittered, capped time.
        """
        self.progress.begin()
        backoff, evasion = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S), Backoff(FIRST_EVASION_S, LONGEST_EVASION_S)
        while not stop.is_set():
            began = time.monotonic()
            self._connect_once(stop, tick_s)
            lasted_s = time.monotonic() - began
            if lasted_s >= STEADY_S:
                backoff.reset()
            if lasted_s >= LONGEST_EVASION_S:
                evasion.reset()
            self._rest(stop, evasion.next_s() if self._taken_over else backoff.next_s())

    def close(self) -> None:
        """Give back the descriptor; `run` has returned and nobody calls `wake` any more."""
        os.close(self._wake_fd)

    def wake(self) -> None:
        """Make `run` take a turn now. Never blocks."""
        os.eventfd_write(self._wake_fd, 1)

    @property
    def ready(self) -> bool:
        """Whether all that was handed over has been written to the socket."""
        return self._up and not self._client.want_write()

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages up to QoS 1."""
        self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for them no more."""
        self._client.unsubscribe(topic_filter)

    def publish(self, message: Outbound) -> int:
        """Hand one message to paho and return its id, by which it is acknowledged on this connection, if of QoS 1."""
        properties = self._properties(message) if self._protocol == MQTTProtocolVersion.MQTTv5 else None
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    @staticmethod
    def _properties(message: Outbound) -> Properties:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        if message.response_topic is not None:
            properties.ResponseTopic = message.response_topic
        if message.correlation is not None:
            properties.CorrelationData = message.correlation
        return properties

    def disconnect(self) -> None:
        """End the connection so that the broker forgets the last will."""
        self._client.disconnect()

    def evade(self, why: str) -> None:
        """Leave the broker to another client of our name for a minute or more, and say why."""
        self.tell(why)
        self._taken_over = True
        self._client.disconnect()

    def abort(self) -> None:
        """Cut the connection: the broker then publishes the last will."""
        if (sock := self._client.socket()) is not None:
            sock.close()

    @property
    def trouble(self) -> str | None:
        """What has gone wrong since a connection last held; None: nothing."""
        return "; ".join(self._told.copy()) or None

    def tell(self, trouble: str) -> None:
        """Log a trouble once until a connection has held: it may come back with every try."""
        if trouble not in self._told and len(self._told) < MOST_TOLD:
            self._told[trouble] = None
            log.warning("%s", trouble)

    def _connect_once(self, stop: Event, tick_s: float) -> None:
        self._refused = self._taken_over = False
        self._client = self._new_client()
        has_protocol = False
        try:
            self.progress.mark(CONNECT_S)
            self._client.reconnect()
            self._hurry(socket.TCP_NODELAY)
            answer_by = time.monotonic() + ANSWER_S
            while (sock := self._client.socket()) is not None and sock.fileno() >= 0:
                left_s = tick_s if self._up else max(0.0, answer_by - time.monotonic())
                self._turn(sock.fileno(), ENDING_TICK_S if stop.is_set() else min(tick_s, left_s))
                has_protocol = has_protocol or self._up
                if not self._up and time.monotonic() > answer_by:
                    break
            if not (has_protocol or self._refused or stop.is_set()):
                self._try_the_other_protocol("did not answer as MQTT asks")
        except OSError as error:
            self.tell(f"no connection to the MQTT broker at {self._address}: {_why(error)}; trying again")
        except Exception as error:  # paho raises whatever a packet that is not MQTT makes it raise
            log.debug("in the MQTT loop", exc_info=True)
            self._try_the_other_protocol(f"did not send MQTT ({type(error).__name__}: {error})")
        finally:
            self.abort()
            if self._up:
                self._up = False
                self._hooks.disconnected()

    def _try_the_other_protocol(self, what: str) -> None:
        self.tell(f"the MQTT broker at {self._address} {what}; trying again with MQTT 3.1.1 and 5 in turn")
        is_5 = self._protocol == MQTTProtocolVersion.MQTTv5
        self._protocol = MQTTProtocolVersion.MQTTv311 if is_5 else MQTTProtocolVersion.MQTTv5

    def _hurry(self, option: int) -> None:
        """Set an option of TCP.

        By default a small packet waits until the one before is acknowledged, and the other side takes up to 40 ms for
        that. NODELAY ends it for what is sent; QUICKACK, which the kernel forgets again, for what the broker sends.
        """
        if isinstance(sock := self._client.socket(), socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)

    def _rest(self, stop: Event, rest_s: float) -> None:
        until = time.monotonic() + rest_s
        while (left_s := until - time.monotonic()) > 0 and not stop.is_set():
            self.progress.mark()
            stop.wait(min(left_s, IDLE_S))

    def _turn(self, socket_fd: int, tick_s: float) -> None:
        self.progress.mark()
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        poll.register(socket_fd, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        happened = dict(poll.poll(tick_s * 1000))
        if self._wake_fd in happened:
            os.eventfd_read(self._wake_fd)
        if happened.get(socket_fd, 0) & ~select.POLLOUT:
            self._read()
            self._hurry(socket.TCP_QUICKACK)
        if happened.get(socket_fd, 0) & select.POLLOUT:
            self._client.loop_write()
        self._client.loop_misc()
        self._hooks.turn()

    def _read(self) -> None:
        self._client.loop_read()
        # what TLS has decrypted already does not show on the descriptor
        while (sock := self._client.socket()) is not None and getattr(sock, "pending", lambda: 0)() > 0:
            self.progress.mark()
            self._client.loop_read()

    def _on_connect(self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._refused = True
            if reason.value == UNSUPPORTED_PROTOCOL:
                self._try_the_other_protocol("does not speak this version of MQTT")
                return
            self.tell(f"the MQTT broker at {self._address} refused the login: {_explain(reason)}; trying again")
            return
        spoken = "5" if self._protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"
        log.info("connected to the MQTT broker at %s, MQTT %s", self._address, spoken)
        self._up, self._up_at = True, time.monotonic()
        self._hooks.connected()

    def _on_disconnect(self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        self._taken_over = self._taken_over or reason.value == TAKEN_OVER
        if self._up and time.monotonic() - self._up_at >= STEADY_S:
            self._told.clear()
        if self._up and reason.is_failure:
            self.tell(f"lost the MQTT broker at {self._address}: {_explain(reason)}; connecting again")

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        response_topic = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)
        self._hooks.received(
            Inbound(message.topic, bytes(message.payload), message.retain, response_topic, correlation)
        )

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._hooks.acknowledged(mid, _explain(reason) if reason.is_failure else None)

    def _on_subscribe(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self.tell(f"the MQTT broker at {self._address} refused a subscription: {_explain(reason)}")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message}): check mqtt.tls and the broker's name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}): check mqtt.port and mqtt.tls in config.yaml"
    return error.strerror or str(error)


def _explain(reason: ReasonCode) -> str:
    advice = ADVICE.get(reason.value)
    return f"{reason}: {advice}" if advice else str(reason)
