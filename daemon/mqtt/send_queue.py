"""The messages that wait to be sent: the latest value of each retained topic, QoS 1 in order, QoS 0 in order."""

from collections import deque
from dataclasses import dataclass

# QoS 1 messages in memory, between the outbox and the broker: enough to keep the broker busy.
MAX_QOS1 = 200

# QoS 0 messages not yet written to the socket: a few seconds of every recognition of a few streams.
MAX_QOS0 = 500


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to the broker.

    `sequence` is its number in the outbox, if it comes from there. `counted_as` begins the names of its counters;
    without it the last level of the topic does.
    The last three fields exist in MQTT 5 alone. After `expiry_s` the broker drops the message.
    The receiver answers under `response_topic`, and repeats `correlation`.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    sequence: int | None = None
    counted_as: str | None = None
    expiry_s: int | None = None
    response_topic: str | None = None
    correlation: bytes | None = None

    @property
    def kind(self) -> str:
        """What begins the names of its counters."""
        return self.counted_as or self.topic.rpartition("/")[2]


class SendQueue:
    """The messages to send, bounded. Not thread-safe: its owner holds a lock around each call."""

    def __init__(self) -> None:
        self._retained: dict[str, Outbound] = {}
        self._due: dict[str, None] = {}
        self._held: set[str] = set()
        self._delayed: set[str] = set()
        self._qos1: deque[Outbound] = deque()
        self._qos0: deque[Outbound] = deque()

    def __len__(self) -> int:
        return len(self._due) + len(self._qos1) + len(self._qos0)

    def retain(self, message: Outbound) -> None:
        """Store the value of a retained topic; only the latest value is sent."""
        self._retained[message.topic] = message
        if message.topic not in self._held | self._delayed:
            self._due[message.topic] = None

    def resend_retained(self) -> None:
        """Make every retained topic due again, but for those that are held back or delayed."""
        self._due = {topic: None for topic in self._retained if topic not in self._held | self._delayed}

    def delay(self, topic: str) -> None:
        """Hold a topic back until `resend`."""
        self._delayed.add(topic)
        self._due.pop(topic, None)

    def end_delay(self, topic: str) -> None:
        """Make a topic due again that was delayed: the broker has accepted a later value."""
        if topic in self._delayed:
            self.resend(topic)

    def hold(self, topic: str) -> None:
        """Hold a topic back until `release`."""
        self._held.add(topic)
        self._delayed.discard(topic)
        self._due.pop(topic, None)

    def is_held(self, topic: str) -> bool:
        """Whether a topic is held back."""
        return topic in self._held

    def release(self) -> None:
        """Hold no topic back any longer."""
        self._held.clear()

    def forget_empty(self, topic: str) -> None:
        """Store a retained topic no longer, if its latest value is empty and was sent."""
        stored = self._retained.get(topic)
        if stored is not None and not stored.payload and topic not in self._due:
            del self._retained[topic]

    @property
    def retained(self) -> dict[str, bytes]:
        """The latest value of each retained topic."""
        return {topic: message.payload for topic, message in self._retained.items()}

    @property
    def qos1_room(self) -> int:
        """For how many more QoS 1 messages there is room."""
        return max(0, MAX_QOS1 - len(self._qos1))

    def add_qos1(self, message: Outbound) -> None:
        """Append a QoS 1 message. The caller has checked that there is room."""
        self._qos1.append(message)

    def resend(self, topic: str) -> bool:
        """Make a retained topic due now; return False where it is not stored any more, or held back until `release`."""
        self._delayed.discard(topic)
        if topic not in self._retained or topic in self._held:
            return False
        self._due[topic] = None
        return True

    def requeue(self, messages: list[Outbound]) -> None:
        """Put messages first that a lost connection did not acknowledge; retained topics become due anyway."""
        for message in reversed(messages):
            if message.sequence is not None:
                self.put_back(message)
            elif not message.retain:
                self._qos1.appendleft(message)

    def put_back(self, event: Outbound) -> None:
        """Put an event of the outbox before all later ones."""
        later = (
            place
            for place, other in enumerate(self._qos1)
            if event.sequence is not None and other.sequence is not None and other.sequence > event.sequence
        )
        self._qos1.insert(next(later, len(self._qos1)), event)

    @property
    def is_qos0_full(self) -> bool:
        """Whether there is no room for a QoS 0 message."""
        return len(self._qos0) >= MAX_QOS0

    def add_qos0(self, message: Outbound) -> None:
        """Append a QoS 0 message. The caller has checked that there is room."""
        self._qos0.append(message)

    def take(self, may_await_ack: bool, may_send_event: bool = True) -> Outbound | None:
        """Remove and return the next message to send: retained values first, then QoS 1, then QoS 0.

        Returns messages of QoS 1 only while `may_await_ack`: the broker limits how many are unacknowledged.
        Returns events of the outbox only while `may_send_event`.
        """
        for topic in self._due:
            if may_await_ack or self._retained[topic].qos == 0:
                del self._due[topic]
                return self._retained[topic]
        if may_await_ack and (place := self._next_qos1(may_send_event)) is not None:
            message = self._qos1[place]
            del self._qos1[place]
            return message
        return self._qos0.popleft() if self._qos0 else None

    def is_empty(self, may_send_event: bool = True) -> bool:
        """Whether nothing is left to send; events count only while `may_send_event`."""
        return not self._due and not self._qos0 and self._next_qos1(may_send_event) is None

    def _next_qos1(self, may_send_event: bool) -> int | None:
        """Return the place of the next QoS 1 message that may be sent."""
        sendable = (place for place, found in enumerate(self._qos1) if may_send_event or found.sequence is None)
        return next(sendable, None)

    def keeps_order(self, message: Outbound) -> bool:
        """Whether there is room for a message, and it would overtake no message of another kind."""
        if message.retain:
            return not self._qos1 and not self._qos0 and message.topic not in self._due
        if message.qos > 0:
            return self.qos1_keeps_order
        return not self._due and not self._qos1 and not self.is_qos0_full

    @property
    def qos1_keeps_order(self) -> bool:
        """The same for any QoS 1 message."""
        return not self._due and not self._qos0 and self.qos1_room > 0

    def drop_qos0(self) -> list[Outbound]:
        """Remove and return the QoS 0 messages."""
        dropped = list(self._qos0)
        self._qos0.clear()
        return dropped

    def drop_qos1(self) -> list[Outbound]:
        """Remove and return the QoS 1 messages."""
        dropped = list(self._qos1)
        self._qos1.clear()
        return dropped
