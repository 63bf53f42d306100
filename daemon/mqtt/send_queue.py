"""What waits to be sent: the latest value of each retained topic, QoS 1 in order, and passing messages."""

from collections import deque
from dataclasses import dataclass

MAX_EVENTS = 200
"""QoS 1 messages in memory, on their way from the outbox to the broker: enough to keep the broker busy."""

MAX_PASSING = 500
"""QoS 0 messages not yet written to the socket: some seconds of every recognition of a few streams."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message as it goes to the broker.

    What comes from the outbox has its `sequence` there. In MQTT 5 alone: the broker forgets it after `expiry_s`, an
    answer is asked for under `response_topic`, and `correlation` says what it belongs to.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    sequence: int | None = None
    expiry_s: int | None = None
    response_topic: str | None = None
    correlation: bytes | None = None

    @property
    def kind(self) -> str:
        """The last level of the topic: what counters call it."""
        return self.topic.rpartition("/")[2]


class SendQueue:
    """The messages to send, bounded. Not thread-safe: its owner holds a lock around each call."""

    def __init__(self) -> None:
        self._retained: dict[str, Outbound] = {}
        self._due: dict[str, None] = {}
        self._events: deque[Outbound] = deque()
        self._passing: deque[Outbound] = deque()

    def __len__(self) -> int:
        return len(self._due) + len(self._events) + len(self._passing)

    def retain(self, message: Outbound) -> None:
        """Remember the value of a retained topic; only the latest value is sent."""
        self._retained[message.topic] = message
        self._due[message.topic] = None

    def repeat_retained(self) -> None:
        """Every retained topic is due again."""
        self._due = dict.fromkeys(self._retained)

    @property
    def room(self) -> int:
        """For how many QoS 1 messages there is room."""
        return max(0, MAX_EVENTS - len(self._events))

    def add_event(self, message: Outbound) -> None:
        """Append a QoS 1 message; the caller has seen that there is room."""
        self._events.append(message)

    def put_back(self, messages: list[Outbound]) -> None:
        """What was not acknowledged on a connection that is lost comes first again; retained values are due anyway."""
        self._events.extendleft(message for message in reversed(messages) if not message.retain)

    @property
    def passing_full(self) -> bool:
        """Whether there is no room for a QoS 0 message."""
        return len(self._passing) >= MAX_PASSING

    def add_passing(self, message: Outbound) -> None:
        """Append a QoS 0 message; the caller has seen that there is room."""
        self._passing.append(message)

    def take(self, may_await_ack: bool) -> Outbound | None:
        """The next message to send: retained values, then events, then the rest.

        Messages of QoS 1 only while `may_await_ack`: the broker limits how many it has not acknowledged.
        """
        for topic in self._due:
            if may_await_ack or self._retained[topic].qos == 0:
                del self._due[topic]
                return self._retained[topic]
        if may_await_ack and self._events:
            return self._events.popleft()
        return self._passing.popleft() if self._passing else None

    def is_in_turn(self, message: Outbound) -> bool:
        """Whether there is room for a message, and nothing of another kind that it could overtake."""
        if message.retain:
            return not self._events and not self._passing and message.topic not in self._due
        if message.qos > 0:
            return self.has_only_events
        return not self._due and not self._events and not self.passing_full

    @property
    def has_only_events(self) -> bool:
        """Whether one more QoS 1 message, if there is room for it, would overtake nothing."""
        return not self._due and not self._passing and self.room > 0

    def drop_passing(self) -> list[Outbound]:
        """Remove and return the QoS 0 messages."""
        dropped = list(self._passing)
        self._passing.clear()
        return dropped

    def drop_events(self) -> list[Outbound]:
        """Remove and return the events."""
        dropped = list(self._events)
        self._events.clear()
        return dropped
