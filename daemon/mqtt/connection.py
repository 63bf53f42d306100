"""Keeps a connection to the broker: reconnects forever, finds the protocol version, logs each trouble once."""

import logging
import os
import select
import ssl
import time
from dataclasses import dataclass
from functools import partial
from threading import Event

from daemon.config.mqtt import MqttConfig
from daemon.core.timing import Backoff
from daemon.mqtt.client import TAKEN_OVER, UNSUPPORTED_PROTOCOL, BrokerClient, MqttCallbacks, ProtocolVersion
from daemon.mqtt.credentials import Endpoint, endpoint_of
from daemon.mqtt.limits import BrokerLimits
from daemon.mqtt.send_queue import Outbound
from daemon.runtime.heartbeat import IDLE_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0

# A connection that lasted this long was a working one: the next wait is a short one again.
STEADY_S = 5.0

# QoS 1 messages that are sent and not acknowledged. Brokers cut off a client above their limit (mosquitto's is 20).
MAX_AWAITING_ACK = 10

# The system's resolver asks every name server twice for 5 s; connecting then takes up to 5 s for each address.
CONNECT_S = 120.0

# A broker that has not answered CONNECT by then is given up.
CONNACK_S = 10.0

CLOSING_TICK_S = 0.05
JOIN_S = 2.0

# Waits between attempts while another client uses the same name, because each attempt cuts off that client.
FIRST_TAKEOVER_WAIT_S, LONGEST_TAKEOVER_WAIT_S = 60.0, 3600.0

# Bounds the memory for different troubles: a hostile peer may give each attempt another one.
MAX_TROUBLES = 8


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong: what was found, what to do (None: not known), and what the program does next."""

    finding: str
    remedy: str | None = None
    next_step: str | None = None

    def __str__(self) -> str:
        return "; ".join(part for part in (self.finding, self.remedy, self.next_step) if part is not None)


class Waker:
    """Lets other threads interrupt the poll of a connection's thread."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable after `wake`."""
        return self._descriptor

    def wake(self) -> None:
        """Make the connection's loop take a turn now. Never blocks; callable from any thread until `close`."""
        os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Make the descriptor unreadable again."""
        os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Close the descriptor. The loop must have ended, and nobody may call `wake` any more."""
        os.close(self._descriptor)


class Connection:
    """Uses one client after another. Belongs to the thread that calls `run`; only `troubles` is for other threads too.

    Without username and password it logs in anonymously. The password is sent in CONNECT and nowhere else.
    """

    def __init__(self, endpoint: Endpoint, callbacks: MqttCallbacks, waker: Waker, heartbeat: Heartbeat) -> None:
        self._endpoint = endpoint
        self._callbacks = callbacks
        self._waker = waker
        self._heartbeat = heartbeat
        self._troubles: dict[Trouble, None] = {}
        self._is_up = False
        self._up_at = 0.0
        self._is_taken_over = False
        self._protocol: ProtocolVersion = "5"
        self._client = self._new_client()

    def run(self, stop: Event, tick_s: float = IDLE_S) -> None:
        """Stay connected until `stop` is set and the owner has ended the connection, if there is one.

        Never raises because of a network or a broker. Waits a random, bounded time between attempts.
        """
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        takeover_backoff = Backoff(FIRST_TAKEOVER_WAIT_S, LONGEST_TAKEOVER_WAIT_S)
        while not stop.is_set():
            began = time.monotonic()
            self._connect_once(stop, tick_s)
            lasted_s = time.monotonic() - began
            if lasted_s >= STEADY_S:
                backoff.reset()
            if lasted_s >= LONGEST_TAKEOVER_WAIT_S:
                takeover_backoff.reset()
            self._wait(stop, takeover_backoff.next_s() if self._is_taken_over else backoff.next_s())

    @property
    def is_ready(self) -> bool:
        """Whether the connection is up and all earlier messages are written to the socket."""
        return self._is_up and not self._client.wants_to_write

    @property
    def limits(self) -> BrokerLimits:
        """The limits of the connection. Valid while it is up."""
        return self._client.limits

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe to a filter with QoS 1."""
        self._client.subscribe(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        """End the subscription to a filter."""
        self._client.unsubscribe(topic_filter)

    def publish(self, message: Outbound) -> int:
        """Send one message; return the id by which this connection acknowledges it, if its QoS is 1."""
        return self._client.publish(message)

    def disconnect(self) -> None:
        """End the connection in order, so that the broker does not publish the last will."""
        self._client.disconnect()

    def give_way(self, trouble: Trouble) -> None:
        """Report that another client uses the same name, and disconnect for a minute or more."""
        self.report(trouble)
        self._is_taken_over = True
        self._client.disconnect()

    def abort(self) -> None:
        """Cut the connection, so that the broker publishes the last will."""
        self._client.abort()

    @property
    def troubles(self) -> list[Trouble]:
        """The troubles since a connection last was steady. Callable from any thread."""
        return list(self._troubles.copy())

    def report(self, trouble: Trouble) -> None:
        """Log a trouble once until a connection was steady, because each attempt may meet it again."""
        if trouble not in self._troubles and len(self._troubles) < MAX_TROUBLES:
            self._troubles[trouble] = None
            log.warning("%s", trouble)

    def _new_client(self) -> BrokerClient:
        return BrokerClient(self._endpoint, self._protocol, self._callbacks)

    def _connect_once(self, stop: Event, tick_s: float) -> None:
        self._is_taken_over = False
        client = self._client = self._new_client()
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        try:
            self._heartbeat.mark(CONNECT_S)
            client.connect()
            give_up_at = time.monotonic() + CONNACK_S
            while (descriptor := client.descriptor) is not None:
                wait_s = tick_s if self._is_up else min(tick_s, max(0.0, give_up_at - time.monotonic()))
                self._turn(poll, descriptor, min(wait_s, CLOSING_TICK_S) if stop.is_set() else wait_s)
                if not self._is_up and time.monotonic() > give_up_at:
                    break
            self._report_end(client)
            if not (client.is_accepted or client.refusal or stop.is_set()):
                self._try_other_protocol("did not answer as MQTT requires")
        except OSError as error:
            cause, remedy = _cause(error)
            finding = f"no connection to the MQTT broker at {self._endpoint.address}: {cause}"
            self.report(Trouble(finding, remedy, "trying again"))
        except Exception as error:  # a packet that is not MQTT makes paho raise many different errors
            log.debug("in the MQTT loop", exc_info=True)
            self._try_other_protocol(f"did not send MQTT ({type(error).__name__}: {error})")
        finally:
            client.abort()
            if self._is_up:
                self._is_up = False
                self._callbacks.on_disconnected()

    def _turn(self, poll: "select.poll", descriptor: int, wait_s: float) -> None:
        self._heartbeat.mark()
        client = self._client
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if client.wants_to_write else 0))
        ready = dict(poll.poll(wait_s * 1000))
        if self._waker.fileno() in ready:
            self._waker.clear()
        if ready.get(descriptor, 0) & ~select.POLLOUT:
            while client.read():
                self._heartbeat.mark()
        if ready.get(descriptor, 0) & select.POLLOUT:
            client.write()
        client.keep_alive()
        if client.is_accepted and not self._is_up:
            log.info("connected to the MQTT broker at %s, MQTT %s", self._endpoint.address, self._protocol)
            self._is_up, self._up_at = True, time.monotonic()
            self._callbacks.on_connected()
        while client.refused_subscriptions:
            reason = client.refused_subscriptions.pop()
            finding = f"the MQTT broker at {self._endpoint.address} refused a subscription: {reason.name}"
            self.report(Trouble(finding, reason.remedy))
        self._callbacks.on_turn()

    def _report_end(self, client: BrokerClient) -> None:
        """Report why the login was refused or the connection was lost, if one of them happened."""
        if self._is_up and time.monotonic() - self._up_at >= STEADY_S:
            self._troubles.clear()
        refusal, loss = client.refusal, client.loss
        if refusal is not None and refusal.code == UNSUPPORTED_PROTOCOL:
            self._try_other_protocol("does not speak this version of MQTT")
        elif refusal is not None:
            finding = f"the MQTT broker at {self._endpoint.address} refused the login: {refusal.name}"
            self.report(Trouble(finding, refusal.remedy, "trying again"))
        if loss is not None:
            self._is_taken_over = self._is_taken_over or loss.code == TAKEN_OVER
            if self._is_up:
                finding = f"lost the MQTT broker at {self._endpoint.address}: {loss.name}"
                self.report(Trouble(finding, loss.remedy, "connecting again"))

    def _try_other_protocol(self, fault: str) -> None:
        finding = f"the MQTT broker at {self._endpoint.address} {fault}"
        self.report(Trouble(finding, next_step="trying again with MQTT 3.1.1 and 5 alternately"))
        self._protocol = "3.1.1" if self._protocol == "5" else "5"

    def _wait(self, stop: Event, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while (remaining_s := until - time.monotonic()) > 0 and not stop.is_set():
            self._heartbeat.mark()
            stop.wait(min(remaining_s, IDLE_S))


class BackgroundClient(MqttCallbacks):
    """A connection with a thread of its own, for programs that only ask or listen. Start it; close it at the end."""

    def __init__(self, config: MqttConfig, client_id: str, thread_name: str) -> None:
        """Raises Refused when the password or a certificate that the config names cannot be used."""
        endpoint = endpoint_of(config, client_id)
        self._closing = Event()
        self._waker = Waker()
        heartbeat = Heartbeat(thread_name)
        self.connection = Connection(endpoint, self, self._waker, heartbeat)
        self._thread = LoopThread(heartbeat, partial(self.connection.run, self._closing))

    def start(self) -> None:
        """Begin to connect, and go on until `close`."""
        self._thread.start()

    def on_turn(self) -> None:
        """End the connection once `close` was called."""
        if self._closing.is_set():
            self.connection.disconnect()

    def close(self) -> None:
        """Disconnect and end the thread; a thread that hangs is abandoned."""
        self._closing.set()
        self._waker.wake()
        if self._thread.join(JOIN_S):
            self._waker.close()


def _cause(error: OSError) -> tuple[str, str | None]:
    """Return why connecting failed, and what to do (None: not known)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted ({error.verify_message})", "check mqtt.tls and the broker's name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})", "check mqtt.port and mqtt.tls in config.yaml"
    if isinstance(error, TimeoutError) and error.strerror is None:  # its text names a line of Python's source
        return "no answer in time", None
    return error.strerror or str(error), None
