"""Keeps connected to the broker: connects again for ever, in the protocol it speaks, and says what goes wrong once."""

import logging
import os
import select
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from daemon.config.mqtt import MqttConfig
from daemon.core.timing import Backoff
from daemon.mqtt.client import Answers, BrokerClient, Inbound, Protocol, Way
from daemon.mqtt.credentials import login, tls_context
from daemon.mqtt.send_queue import Outbound
from daemon.runtime.heartbeat import IDLE_S, Heartbeat

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
STEADY_S = 5.0
"""A connection that lasted this long worked: the next wait is a short one."""

MAX_AWAITING_ACK = 10
"""QoS 1 messages on the way at once. Brokers cut off a client that exceeds their limit (mosquitto's is 20)."""

CONNECT_S = 120.0
"""Connecting waits for the system's resolver, which asks every name server twice for 5 s, and for 5 s per address."""

ENDING_TICK_S = 0.05

ANSWER_S = 10.0
"""A broker that has not taken or refused the login by then will not."""

FIRST_EVASION_S, LONGEST_EVASION_S = 60.0, 3600.0
"""Between tries while another client uses our name: each try cuts it off."""

MOST_TOLD = 8
"""Different troubles: a hostile peer may give each try another."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a link's owner wants to hear; all are called on the thread that runs the link, and must be quick."""

    connected: Callable[[], None]
    disconnected: Callable[[], None]
    received: Callable[[Inbound], None]
    acknowledged: Callable[[int, str | None], None]
    turn: Callable[[], None]


class Connection:
    """One client after the other, used by the one thread that calls `run`; only `wake` may be called from others.

    Given no username or password it logs in without. The password goes nowhere but into CONNECT.
    """

    def __init__(self, config: MqttConfig, client_id: str, hooks: Hooks, will: Outbound | None = None) -> None:
        """Raises Refused when a password or a certificate that the config names is no good."""
        tls = None if config.tls is None else tls_context(config.tls)
        self._way = Way(config, client_id, login(config), tls, will)
        self._hooks = hooks
        self._answers = Answers(
            self._on_taken, self._on_refused, self._on_lost, hooks.received, hooks.acknowledged, self._on_declined
        )
        self._address = f"{config.host}:{config.port}"
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told: dict[str, None] = {}
        self._up = False
        self._up_at = 0.0
        self._refused = self._taken_over = False
        self._protocol: Protocol = "5"
        self._client = self._new_client()
        self.progress = Heartbeat("mqtt")

    def _new_client(self) -> BrokerClient:
        return BrokerClient(self._way, self._protocol, self._answers)

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
        return self._up and not self._client.wants_to_write

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages up to QoS 1."""
        self._client.subscribe(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for them no more."""
        self._client.unsubscribe(topic_filter)

    def publish(self, message: Outbound) -> int:
        """Send one message; gives its id, by which it is acknowledged on this connection, if of QoS 1."""
        return self._client.publish(message)

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
        self._client.abort()

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
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        is_answered = False
        try:
            self.progress.mark(CONNECT_S)
            self._client.connect()
            answer_by = time.monotonic() + ANSWER_S
            while (descriptor := self._client.descriptor) is not None:
                left_s = tick_s if self._up else max(0.0, answer_by - time.monotonic())
                self._turn(poll, descriptor, ENDING_TICK_S if stop.is_set() else min(tick_s, left_s))
                is_answered = is_answered or self._up
                if not self._up and time.monotonic() > answer_by:
                    break
            if not (is_answered or self._refused or stop.is_set()):
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
        self._protocol = "3.1.1" if self._protocol == "5" else "5"

    def _rest(self, stop: Event, rest_s: float) -> None:
        until = time.monotonic() + rest_s
        while (left_s := until - time.monotonic()) > 0 and not stop.is_set():
            self.progress.mark()
            stop.wait(min(left_s, IDLE_S))

    def _turn(self, poll: "select.poll", descriptor: int, tick_s: float) -> None:
        self.progress.mark()
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if self._client.wants_to_write else 0))
        happened = dict(poll.poll(tick_s * 1000))
        if self._wake_fd in happened:
            os.eventfd_read(self._wake_fd)
        if happened.get(descriptor, 0) & ~select.POLLOUT:
            while self._client.read():
                self.progress.mark()
        if happened.get(descriptor, 0) & select.POLLOUT:
            self._client.write()
        self._client.keep_alive()
        self._hooks.turn()

    def _on_taken(self) -> None:
        log.info("connected to the MQTT broker at %s, MQTT %s", self._address, self._protocol)
        self._up, self._up_at = True, time.monotonic()
        self._hooks.connected()

    def _on_refused(self, why: str, because_of_the_protocol: bool) -> None:
        self._refused = True
        if because_of_the_protocol:
            self._try_the_other_protocol("does not speak this version of MQTT")
        else:
            self.tell(f"the MQTT broker at {self._address} refused the login: {why}; trying again")

    def _on_lost(self, why: str | None, is_taken_over: bool) -> None:
        self._taken_over = self._taken_over or is_taken_over
        if self._up and time.monotonic() - self._up_at >= STEADY_S:
            self._told.clear()
        if self._up and why is not None:
            self.tell(f"lost the MQTT broker at {self._address}: {why}; connecting again")

    def _on_declined(self, why: str) -> None:
        self.tell(f"the MQTT broker at {self._address} refused a subscription: {why}")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message}): check mqtt.tls and the broker's name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}): check mqtt.port and mqtt.tls in config.yaml"
    return error.strerror or str(error)
