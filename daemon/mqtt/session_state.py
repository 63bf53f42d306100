"""The state that publishers, the outbox and the MQTT thread share: the messages to send, the connection, the stop."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.broker.waker import Waker
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.send_queue import Outbound, SendQueue

ONLINE = b"online"
OFFLINE = b"offline"


@dataclass(frozen=True, slots=True)
class NodeTopics:
    """The topics of one node. `birth` is where Home Assistant announces its start; None: nobody needs that."""

    node: str
    birth: str | None = None

    @property
    def base(self) -> str:
        """The beginning of every topic of the node."""
        return f"perceptd/{self.node}/"

    @property
    def health(self) -> str:
        """The topic of the node's health."""
        return f"{self.base}health"

    def availability(self, payload: bytes) -> Outbound:
        """Return the retained message that says whether the node is online."""
        return Outbound(f"{self.base}availability", payload, qos=1, retain=True)


class SharedState:
    """The messages to send, and the state of the connection. Implements EventQueue for the outbox.

    Whoever changes an attribute holds `changed`. Methods for the outbox take it; the other methods expect it.
    """

    def __init__(self, topics: NodeTopics, counters: Counters) -> None:
        self.changed = threading.Condition()
        self.stop = threading.Event()
        self.waker = Waker()
        self.counters = counters
        self.send_queue = SendQueue()
        self.send_queue.retain(topics.availability(ONLINE))
        self.connected, self.since_ns = False, monotonic_ns()
        self.limits: BrokerLimits | None = None
        self.connects = 0
        self.births, self.is_home_assistant_up = 0, False
        # announcements that the broker has not taken, by topic and whether they are retained
        self.announcing: dict[tuple[str, bool], Outbound] = {}
        self.is_woken = False
        self._base = topics.base
        self._outbox_until_ns: int | None = None
        self._send_until_ns: int | None = None

    def queue(self, message: Outbound) -> str | None:
        """Queue a message; return why it was dropped, or None."""
        if self.stop.is_set():
            return "stopped"
        if message.retain:
            self.send_queue.retain(message)
        elif message.qos > 0:
            if self.send_queue.qos1_room == 0:
                return "backlog"
            self.send_queue.add_qos1(message)
        elif not self.connected:
            return "not_connected"
        elif self.send_queue.is_qos0_full:
            return "backlog"
        else:
            self.send_queue.add_qos0(message)
        return None

    def accepted(self, message: Outbound) -> None:
        """Note that the broker has taken a message. An empty value of an announcement is not sent again."""
        for key in ((message.topic, True), (message.topic, False)):
            latest = self.announcing.get(key)
            if latest is not None and latest.payload == message.payload:
                del self.announcing[key]
                self.send_queue.forget_empty(message.topic)
        if message.retain:
            self.send_queue.end_delay(message.topic)

    def refused(self, message: Outbound, *, is_kept: bool) -> None:
        """Note that the broker has refused a message; `is_kept`: it is tried again later.

        Some brokers end the connection after a refusal. They would do so after each connect.
        An announcement that is not kept is held back until Home Assistant starts.
        """
        if is_kept and message.sequence is not None:
            self.send_queue.put_back(message)
        elif is_kept:
            self.send_queue.delay(message.topic)
        elif (message.topic, message.retain) in self.announcing:
            self.send_queue.hold(message.topic)

    def wake(self) -> None:
        """Make the MQTT thread send what is queued; it need not be woken twice."""
        if self.connected and not self.is_woken:
            self.is_woken = True
            self.waker.wake()

    def begin_stop(self, send_s: float) -> None:
        """Refuse further messages. The MQTT thread sends for `send_s`; the outbox adds events for half of that."""
        now_ns = monotonic_ns()
        self._send_until_ns = now_ns + round(send_s * NS_PER_S)
        self._outbox_until_ns = now_ns + round(send_s / 2 * NS_PER_S)
        self.stop.set()
        self.waker.wake()
        self.changed.notify_all()

    @property
    def is_outbox_over(self) -> bool:
        """Whether the stop takes no more events from the outbox."""
        return self._outbox_until_ns is not None and monotonic_ns() >= self._outbox_until_ns

    @property
    def is_sending_over(self) -> bool:
        """Whether the time is over that the stop has for sending."""
        return self._send_until_ns is not None and monotonic_ns() >= self._send_until_ns

    def room(self) -> int:
        """Return how many more events of the outbox can be queued. Called on the outbox's thread."""
        with self.changed:
            return 0 if self.is_outbox_over else self.send_queue.qos1_room

    def is_connected(self) -> bool:
        """Return whether there is a broker. Called on the outbox's thread."""
        with self.changed:
            return self.connected

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue events of the outbox. Called on the outbox's thread."""
        with self.changed:
            for entry in entries:
                self.send_queue.add_qos1(
                    Outbound(self._base + entry.topic, entry.payload, qos=1, sequence=entry.sequence)
                )
            self.changed.notify_all()
            self.wake()
