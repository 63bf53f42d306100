"""When a message is tried again that the broker has refused. Pure; used by the MQTT thread.

An event that is refused for a reason that can pass is put back in its place. While it waits no other event is sent, so
that events stay in order. A refused retained topic is held back for a while, also over a lost connection, because some
brokers end the connection after a refusal. Everything else is sent meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.core.timing import NS_PER_S, Backoff
from daemon.mqtt.broker.callbacks import BrokerReason
from daemon.mqtt.broker.refusals import can_pass
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.cuts import Cuts, is_cut
from daemon.mqtt.send_queue import Outbound

FIRST_S, LONGEST_S = 1.0, 60.0

# The same for a topic that is refused for a reason that cannot pass by itself, such as a missing right.
FIRST_LACK_S, LONGEST_LACK_S = 60.0, 900.0

TRYING_AGAIN = "trying again"

# Health names so many refused topics of each sort.
MOST_NAMED = 3

# So often a refused event is tried alone. Then each try lets one more of the later events go with it.
TRIES_ALONE = 5

# An event is given up that is refused so often while the broker accepts events after it: the event is at fault.
MOST_OVERTAKEN = 3


class EventRetries:
    """Which events the broker has refused, by their numbers in the outbox, and how many events may be under way."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_S, LONGEST_S)
        self._until_ns: int | None = None
        self._tries: dict[int, int] = {}
        self._overtaken: dict[int, int] = {}

    def refused(self, number: int, now_ns: int) -> bool:
        """Note that an event was refused; return whether to try it again."""
        if self._overtaken.get(number, 0) >= MOST_OVERTAKEN:
            self.forget(number)
            return False
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._until_ns is None or now_ns >= self._until_ns:  # others that were under way wait no longer for that
            self._until_ns = now_ns + _next_ns(self._backoff)
        return True

    def accepted(self, number: int) -> None:
        """Note that the broker has accepted an event."""
        if number in self._tries:
            self.forget(number)
            return
        for earlier, tries in self._tries.items():
            if earlier < number and tries >= TRIES_ALONE:
                self._overtaken[earlier] = self._overtaken.get(earlier, 0) + 1
                self._backoff.reset()

    def may_send(self, under_way: int, now_ns: int) -> bool:
        """Return whether an event may be sent while so many are not acknowledged."""
        if self._until_ns is None:
            return True
        first_tries = self._tries[min(self._tries)]
        return now_ns >= self._until_ns and under_way <= max(0, first_tries - TRIES_ALONE)

    @property
    def is_waiting(self) -> bool:
        """Whether an event waits that was refused."""
        return bool(self._tries)

    def hasten(self) -> None:
        """End the wait."""
        if self._until_ns is not None:
            self._until_ns = 0

    def forget(self, number: int) -> None:
        """Note that an event is not tried again, if it was refused."""
        if number not in self._tries:
            return
        self._tries.pop(number, None)
        self._overtaken.pop(number, None)
        self._backoff.reset()
        if not self._tries:
            self._until_ns = None


@dataclass(slots=True)
class _Refusal:
    """A refused topic: whether the reason can pass, when to try again (None: a try is under way), what to report."""

    passes: bool
    trouble: Trouble
    backoff: Backoff
    due_ns: int | None = None


class TopicRetries:
    """Which retained topics the broker has refused. Each is held back until its latest value is tried again."""

    def __init__(self) -> None:
        self._refusals: dict[str, _Refusal] = {}

    def refused(self, topic: str, trouble: Trouble, now_ns: int, *, passes: bool) -> None:
        """Note that a value was refused."""
        refusal = self._refusals.get(topic)
        if refusal is None or refusal.passes != passes:
            waits = (FIRST_S, LONGEST_S) if passes else (FIRST_LACK_S, LONGEST_LACK_S)
            refusal = self._refusals[topic] = _Refusal(passes, trouble, Backoff(*waits))
        refusal.trouble, refusal.due_ns = trouble, now_ns + _next_ns(refusal.backoff)

    def accepted(self, topic: str) -> None:
        """Note that a value was accepted. Where a right was lacking, other topics are tried at once."""
        refusal = self._refusals.pop(topic, None)
        if refusal is not None and not refusal.passes:
            self.hasten()

    def forget(self, topic: str) -> None:
        """Note that the topic has no value any more, or none that the broker can take."""
        self._refusals.pop(topic, None)

    def is_tried(self, topic: str) -> bool:
        """Whether a refused topic is under way again, for a reason that cannot pass."""
        refusal = self._refusals.get(topic)
        return refusal is not None and refusal.due_ns is None and not refusal.passes

    def hasten(self) -> None:
        """Make every topic due that waits."""
        for refusal in self._refusals.values():
            refusal.due_ns = None if refusal.due_ns is None else 0

    def take_due(self, now_ns: int) -> list[str]:
        """Return the topics whose latest value is to be tried again now."""
        due = [topic for topic, each in self._refusals.items() if each.due_ns is not None and now_ns >= each.due_ns]
        for topic in due:
            self._refusals[topic].due_ns = None
        return due

    @property
    def passing(self) -> list[str]:
        """The topics that are refused for a reason that can pass."""
        return sorted(topic for topic, each in self._refusals.items() if each.passes)

    @property
    def lacks(self) -> list[Trouble]:
        """What to report of the other refused topics."""
        return [each.trouble for each in self._refusals.values() if not each.passes]


class Retries:
    """Decides about every refused message. `troubles` are for other threads too."""

    def __init__(self) -> None:
        self._events = EventRetries()
        self._topics, self._cuts = TopicRetries(), Cuts()
        self._host = ""
        self._refusing: set[str] = set()  # hosts
        self._name = ""
        self.troubles: tuple[Trouble, ...] = ()

    def begin(self, host: str) -> bool:
        """Note a connection to a host; return whether only others have refused something. Then all is tried at once."""
        self._host = host
        is_new = bool(self._refusing) and host not in self._refusing
        if is_new:
            self._events.hasten()
            self._topics.hasten()
        return is_new

    def refused(
        self, message: Outbound, reason: BrokerReason, trouble: Trouble, now_ns: int, *, has_worked: bool
    ) -> bool:
        """Note a refusal; return whether the message is tried again: an event, or a retained topic's latest value.

        Answers are not: whoever asks does not wait for long. `trouble` tells of the refusal. `has_worked`: the broker
        has accepted something on this connection. An account without any right must not get events: they would be lost.
        """
        passes = can_pass(reason.code)
        self._refusing.add(self._host)
        if message.sequence is not None:
            is_kept = passes and self._events.refused(message.sequence, now_ns)
        else:
            # a refused announcement waits for a start of Home Assistant
            is_kept = message.retain and (passes or (has_worked and message.counted_as is None))
        if not is_kept:
            self.forget(message)
        elif message.retain:
            self._topics.refused(message.topic, replace(trouble, next_step=TRYING_AGAIN), now_ns, passes=passes)
        if passes:
            self._name = reason.name
        self._tell()
        return is_kept

    def is_careful(self, lasted_ns: int) -> bool:
        """Return whether to send one message at a time now; see Cuts."""
        return self._cuts.is_careful(lasted_ns)

    def lost(
        self, unacknowledged: Sequence[Outbound], lasted_ns: int, loss: BrokerReason | None, *, has_worked: bool
    ) -> list[Outbound]:
        """Return the retained messages at which the broker has ended the connection; they count as refused."""
        found = self._cuts.lost(unacknowledged, lasted_ns, loss, has_worked=has_worked)
        if not is_cut(loss):
            return []
        tried = [message for message in unacknowledged if message.retain and self._topics.is_tried(message.topic)]
        return tried or ([] if found is None else [found])

    def accepted(self, message: Outbound) -> None:
        """Note that the broker has accepted a message."""
        if not self.troubles:
            return
        if message.sequence is not None:
            self._events.accepted(message.sequence)
        elif message.retain:
            self._topics.accepted(message.topic)
        self._tell()
        if not self.troubles:
            self._refusing.clear()

    def forget(self, message: Outbound) -> None:
        """Note that a message is not tried again."""
        if message.sequence is not None:
            self._events.forget(message.sequence)
        elif message.retain:
            self._topics.forget(message.topic)
        self._tell()

    def withdraw(self, topic: str) -> None:
        """Note that a retained topic has no value any more."""
        self._topics.forget(topic)
        self._tell()

    @property
    def has_refused_events(self) -> bool:
        """Whether an event waits that was refused."""
        return self._events.is_waiting

    def may_send_event(self, under_way: int, now_ns: int) -> bool:
        """Return whether an event may be sent now, while so many events are not acknowledged."""
        return self._events.may_send(under_way, now_ns)

    def take_due_topics(self, now_ns: int) -> list[str]:
        """Return the retained topics to send again now."""
        return self._topics.take_due(now_ns)

    def _tell(self) -> None:
        passing = (["events"] if self._events.is_waiting else []) + self._topics.passing[:MOST_NAMED]
        text = f"the MQTT broker refuses {', '.join(passing)} for now: {self._name}"
        troubles = [Trouble(text, next_step=TRYING_AGAIN)] if passing else []
        self.troubles = (*troubles, *self._topics.lacks[:MOST_NAMED])


def _next_ns(backoff: Backoff) -> int:
    return round(backoff.next_s() * NS_PER_S)
