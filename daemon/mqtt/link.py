"""The one door to paho: a client and its network loop, which connects again for ever."""

import logging
import os
import select
import socket
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

from daemon.config import MqttConfig
from daemon.mqtt.outgoing import Outbound
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

ADVICE = {
    0x84: "the broker does not speak MQTT 5",
    0x85: "the broker does not take the client name: choose another node in config.yaml",
    0x86: "check mqtt.username and mqtt.password in config.yaml",
    0x87: "check mqtt.username and mqtt.password in config.yaml, and whom the broker lets in",
    0x8A: "the broker has banned this client",
    0x8E: "another client connected under the same name: give each device its own node in config.yaml",
}
"""What to do about a reason code of the broker (MQTT 5, section 2.4)."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a link's owner wants to hear; all are called on the thread that runs the link, and must be quick."""

    connected: Callable[[], None]
    disconnected: Callable[[], None]
    received: Callable[[str, bytes, bool], None]
    acknowledged: Callable[[int, str | None], None]
    turn: Callable[[], None]


class Link:
    """A paho client, used by the one thread that calls `run`; only `wake` may be called from others.

    Given no username or password it logs in without. The password goes nowhere but into CONNECT.
    """

    def __init__(self, config: MqttConfig, client_id: str, hooks: Hooks, will: Outbound | None = None) -> None:
        self._hooks = hooks
        self._address = f"{config.host}:{config.port}"
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told: set[str] = set()
        self._up = False
        self._refused = False
        self._client = self._make_client(config, client_id, will)
        self.progress = Progress("mqtt")

    def _make_client(self, config: MqttConfig, client_id: str, will: Outbound | None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
        if config.username is not None or config.password is not None:
            client.username_pw_set(config.username, config.password.get_secret_value() if config.password else None)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect_async(config.host, config.port, config.keepalive_s, clean_start=True, properties=properties)
        return client

    def run(self, stop: Event, tick_s: float = IDLE_S) -> None:
        """Keep connected until `stop` is set and the connection, if there is one, was ended by the owner.

        Never raises for anything a network or a broker does. Between tries it waits a jittered, capped time.
        """
        self.progress.begin()
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        while not stop.is_set():
            began = time.monotonic()
            self._connect_once(stop, tick_s)
            if time.monotonic() - began >= STEADY_S:
                backoff.reset()
            self._rest(stop, backoff.next_s())

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

    def publish(self, message: Outbound) -> int:
        """Hand one message to paho and return its id; of QoS 1, paho keeps it until it is acknowledged."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def disconnect(self) -> None:
        """End the connection so that the broker forgets the last will."""
        self._client.disconnect()

    def abort(self) -> None:
        """Cut the connection: the broker then publishes the last will."""
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _connect_once(self, stop: Event, tick_s: float) -> None:
        self._refused = False
        try:
            self.progress.mark(CONNECT_S)
            self._client.reconnect()
            self._hurry(socket.TCP_NODELAY)
            while (sock := self._client.socket()) is not None and sock.fileno() >= 0:
                self._turn(sock.fileno(), ENDING_TICK_S if stop.is_set() else tick_s)
            if not (self._up or self._refused or stop.is_set()):
                self._tell(f"the MQTT broker at {self._address} did not answer as MQTT 5 asks; trying again")
        except OSError as error:
            self._tell(f"no connection to the MQTT broker at {self._address}: {error.strerror or error}; trying again")
        except Exception as error:  # paho raises whatever a packet that is not MQTT makes it raise
            log.debug("in the MQTT loop", exc_info=True)
            found = f"{type(error).__name__}: {error}"
            self._tell(f"the MQTT broker at {self._address} did not send MQTT 5 ({found}); trying again")
        finally:
            self.abort()
            if self._up:
                self._up = False
                self._hooks.disconnected()

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
            self._client.loop_read()
            self._hurry(socket.TCP_QUICKACK)
        if happened.get(socket_fd, 0) & select.POLLOUT:
            self._client.loop_write()
        self._client.loop_misc()
        self._hooks.turn()

    def _on_connect(self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._refused = True
            self._tell(f"the MQTT broker at {self._address} refused the login: {_explain(reason)}; trying again")
            return
        log.info("connected to the MQTT broker at %s", self._address)
        self._told.clear()
        self._up = True
        self._hooks.connected()

    def _on_disconnect(self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        if self._up and reason.is_failure:
            self._tell(f"lost the MQTT broker at {self._address}: {_explain(reason)}; connecting again")

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self._hooks.received(message.topic, bytes(message.payload), message.retain)

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._hooks.acknowledged(mid, _explain(reason) if reason.is_failure else None)

    def _on_subscribe(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._tell(f"the MQTT broker at {self._address} refused a subscription: {_explain(reason)}")

    def _tell(self, message: str) -> None:
        """Log a trouble once, until the next connection: it may come back with every try."""
        if message not in self._told:
            self._told.add(message)
            log.warning("%s", message)


def _explain(reason: ReasonCode) -> str:
    advice = ADVICE.get(reason.value)
    return f"{reason}: {advice}" if advice else str(reason)
