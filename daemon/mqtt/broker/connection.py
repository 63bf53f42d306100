"""Keeps a connection to a broker: tries addresses in turn for ever, subscribes, logs each trouble once."""

import logging
import select
import ssl
import time
from dataclasses import replace
from threading import Event

from daemon.mqtt.broker.addresses import Address, Addresses, Resolver, resolve
from daemon.mqtt.broker.attempts import Attempts, End
from daemon.mqtt.broker.callbacks import (
    AWAY,
    TAKEN_OVER,
    UNSUPPORTED_PROTOCOL,
    WILL_REFUSALS,
    BrokerReason,
    MqttCallbacks,
)
from daemon.mqtt.broker.client import MAX_RECEIVED_BYTES, BrokerClient
from daemon.mqtt.broker.credentials import Endpoint
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.broker.subscribing import Subscribing
from daemon.mqtt.broker.troubles import Trouble, Troubles
from daemon.mqtt.broker.waits import STANDARD, Waits
from daemon.mqtt.broker.waker import Waker
from daemon.mqtt.send_queue import Outbound
from daemon.runtime.heartbeat import IDLE_S, Heartbeat

log = logging.getLogger(__name__)

# QoS 1 messages that are sent and not acknowledged. Brokers cut off a client above their limit (mosquitto's is 20).
MAX_AWAITING_ACK = 10

# The system's resolver asks every name server twice for 5 s; connecting then takes up to 5 s, and TLS as long.
CONNECT_S = 120.0

CLOSING_TICK_S = 0.05

OTHER_VERSIONS = "trying again with MQTT 3.1.1 and 5 alternately"


class Connection:
    """Uses one client after another. Belongs to the thread that calls `run`.

    Only `troubles` and `refused` are for other threads too.
    Without username and password it logs in anonymously. The password is sent in CONNECT and nowhere else.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        callbacks: MqttCallbacks,
        waker: Waker,
        heartbeat: Heartbeat,
        waits: Waits = STANDARD,
        resolver: Resolver = resolve,
    ) -> None:
        config = endpoint.config
        self._endpoint = endpoint
        self._callbacks = callbacks
        self._waker = waker
        self._heartbeat = heartbeat
        self._waits = waits
        self._troubles = Troubles()
        self._attempts = Attempts(Addresses(config.hosts, config.port, resolver), waits, config.reconnect_spread_s)
        self._limits_by_host: dict[str, BrokerLimits] = {}
        self._address = Address(config.hosts[0], config.port, config.hosts[0])
        self._client = self._new_client()
        self._subscribing = self._new_subscribing()
        self._is_up = False
        self._up_at: float | None = None
        self._left: tuple[End, Trouble] | None = None

    def run(self, stop: Event) -> None:
        """Stay connected until `stop` is set and the owner has ended the connection, if there is one.

        Never raises because of a network or a broker. Waits a random, bounded time between rounds of attempts.
        """
        while not stop.is_set():
            end = self._connect_once(stop)
            self._wait(stop, self._attempts.wait_s(end, self._lasted_s))

    @property
    def is_ready(self) -> bool:
        """Whether the connection is up and all earlier messages are written to the socket."""
        return self._is_up and not self._client.wants_to_write

    @property
    def limits(self) -> BrokerLimits:
        """What the broker has announced. Valid while the connection is up."""
        return self._client.limits

    @property
    def address(self) -> Address:
        """The address of the present or latest connection."""
        return self._address

    @property
    def loss(self) -> BrokerReason | None:
        """Why the broker or the network has ended the connection; None: it has not, or this side has."""
        return self._client.loss

    @property
    def troubles(self) -> list[Trouble]:
        """The troubles since a connection last was steady. Callable from any thread."""
        return self._troubles.all

    @property
    def refused(self) -> list[str]:
        """The topic filters to which the broker does not let subscribe now. Callable from any thread."""
        return self._subscribing.refused

    def report(self, trouble: Trouble) -> None:
        """Log a trouble once until a connection was steady, because each attempt may meet it again."""
        self._troubles.report(trouble)

    def subscribe(self, topic_filter: str, qos: int = 0) -> None:
        """Subscribe to a filter, again and again while the broker refuses it and the connection lasts."""
        self._subscribing.add(topic_filter, qos)

    def publish(self, message: Outbound) -> int:
        """Send one message; return the id by which this connection acknowledges it, if its QoS is 1."""
        return self._client.publish(message)

    def disconnect(self) -> None:
        """End the connection in order, so that the broker does not publish the last will."""
        self._client.disconnect()

    def give_way(self, trouble: Trouble) -> None:
        """Report that another client uses the same name, and disconnect for a minute or more."""
        self._leave("taken_over", trouble)

    def leave(self, trouble: Trouble) -> None:
        """Report what is wrong with the broker, and go to the next address, which may be the same one."""
        self._leave("sent_away", trouble)

    def abort(self) -> None:
        """Cut the connection, so that the broker publishes the last will."""
        self._client.abort()

    @property
    def _lasted_s(self) -> float:
        """How long the present or latest connection has been up."""
        return 0.0 if self._up_at is None else time.monotonic() - self._up_at

    def _leave(self, end: End, trouble: Trouble) -> None:
        self._left = end, trouble
        self._client.disconnect()

    def _new_client(self) -> BrokerClient:
        known = self._limits_by_host.get(self._address.host, BrokerLimits())
        return BrokerClient(self._endpoint, self._address, self._attempts.protocol.version, known, self._callbacks)

    def _new_subscribing(self) -> Subscribing:
        return Subscribing(self._client, self._address, self._endpoint.login[0], self._troubles, self._waits)

    def _connect_once(self, stop: Event) -> End:
        """Connect, and return how the connection or the attempt ended."""
        self._left = self._up_at = None
        self._heartbeat.mark(CONNECT_S)
        try:
            self._address = self._attempts.address()
        except OSError as error:
            self._report_no_connection(self._attempts.name, error)
            return "failed"
        client = self._client = self._new_client()
        self._subscribing = self._new_subscribing()
        try:
            client.connect(self._attempts.connack_s)
            self._serve(client, stop)
            return self._end_of(client, stop)
        except OSError as error:
            self._report_no_connection(str(self._address), error)
            return "lost" if client.is_accepted else "failed"
        except Exception as error:  # a packet that is not MQTT makes paho raise many different errors
            log.debug("in the MQTT loop", exc_info=True)
            finding = f"the MQTT broker at {self._address} did not send MQTT ({type(error).__name__}: {error})"
            self.report(Trouble(finding, next_step=self._next_step))
            return "sent_away" if client.is_accepted else "unanswered"
        finally:
            client.abort()
            if self._is_up:
                self._is_up = False
                self._callbacks.on_disconnected()

    def _serve(self, client: BrokerClient, stop: Event) -> None:
        """Serve the connection until it ends, or until CONNECT has not been answered in time."""
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        tick_s = self._waits.tick_s
        give_up_at = time.monotonic() + self._attempts.connack_s
        while (descriptor := client.descriptor) is not None:
            wait_s = tick_s if self._is_up else min(tick_s, max(0.0, give_up_at - time.monotonic()))
            self._turn(poll, descriptor, min(wait_s, CLOSING_TICK_S) if stop.is_set() else wait_s)
            if not self._is_up and time.monotonic() > give_up_at:
                return

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
            log.info("connected to the MQTT broker at %s, MQTT %s", self._address, self._attempts.protocol.version)
            self._is_up, self._up_at = True, time.monotonic()
            self._limits_by_host[self._address.host] = client.limits
            self._attempts.works()
            self._callbacks.on_connected()
        self._subscribing.tend()
        self._callbacks.on_turn()
        client.confirm()

    def _end_of(self, client: BrokerClient, stop: Event) -> End:
        """Report why the login was refused or the connection has ended; return how it ended."""
        if self._lasted_s >= self._waits.steady_s:
            self._troubles.clear()
        if client.has_oversized_packet:
            finding = f"the MQTT broker at {self._address} sent a packet of more than {MAX_RECEIVED_BYTES >> 20} MiB"
            remedy = "limit what others may publish there (mosquitto: message_size_limit)"
            self.report(Trouble(finding, remedy, "connecting again"))
        if not client.is_accepted:
            return self._end_without_login(client, stop)
        if self._left is not None:
            end, trouble = self._left
            self.report(trouble)
            return end
        if (loss := client.loss) is None:  # this side has ended it
            return "lost"
        finding = f"lost the MQTT broker at {self._address}: {loss.name}"
        self.report(Trouble(finding, loss.remedy_of_loss, "connecting again"))
        if loss.code == TAKEN_OVER:
            return "taken_over"
        return "sent_away" if loss.code in AWAY else "lost"

    def _end_without_login(self, client: BrokerClient, stop: Event) -> End:
        refusal, host = client.refusal, self._address.host
        if refusal is None:
            if not stop.is_set():
                finding = f"the MQTT broker at {self._address} did not answer as MQTT requires"
                self.report(Trouble(finding, next_step=self._next_step))
            return "unanswered"
        if refusal.code == UNSUPPORTED_PROTOCOL:
            finding = f"the MQTT broker at {self._address} does not speak this version of MQTT"
            self.report(Trouble(finding, next_step=OTHER_VERSIONS))
            return "unsupported"
        known = self._limits_by_host.get(host, BrokerLimits())
        if refusal.code in WILL_REFUSALS and (other := replace(known, **WILL_REFUSALS[refusal.code])) != known:
            self._limits_by_host[host] = other
            return "other_will"
        finding = f"the MQTT broker at {self._address} refused the login: {refusal.name}"
        self.report(Trouble(finding, refusal.remedy, "trying again"))
        return "failed"

    @property
    def _next_step(self) -> str:
        return "trying again" if self._attempts.protocol.is_known else OTHER_VERSIONS

    def _report_no_connection(self, address: str, error: OSError) -> None:
        cause, remedy = _cause(error)
        self.report(Trouble(f"no connection to the MQTT broker at {address}: {cause}", remedy, "trying again"))

    def _wait(self, stop: Event, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while (remaining_s := until - time.monotonic()) > 0 and not stop.is_set():
            self._heartbeat.mark()
            stop.wait(min(remaining_s, IDLE_S))


def _cause(error: OSError) -> tuple[str, str | None]:
    """Return why connecting failed, and what to do (None: not known)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted ({error.verify_message})", "check mqtt.tls and the broker's name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})", "check mqtt.port and mqtt.tls in config.yaml"
    if isinstance(error, TimeoutError) and error.strerror is None:  # its text names a line of Python's source
        return "no answer in time", None
    return error.strerror or str(error), None
