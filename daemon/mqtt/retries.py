"""When a message is tried again that the broker has refused for a reason that can pass. Pure; used by the MQTT thread.

A refused event is put back in its place. While it waits no other event is sent, so that events stay in order.
Everything else is sent meanwhile.
"""

from daemon.core.timing import NS_PER_S, Backoff
from daemon.mqtt.broker.refusals import can_pass
from daemon.mqtt.send_queue import Outbound

FIRST_S, LONGEST_S = 1.0, 60.0

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
            self._forget(number)
            return False
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._until_ns is None or now_ns >= self._until_ns:  # others that were under way wait no longer for that
            self._until_ns = now_ns + _next_ns(self._backoff)
        return True

    def accepted(self, number: int) -> None:
        """Note that the broker has accepted an event."""
        if number in self._tries:
            self._forget(number)
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

    def _forget(self, number: int) -> None:
        self._tries.pop(number, None)
        self._overtaken.pop(number, None)
        self._backoff.reset()
        if not self._tries:
            self._until_ns = None


class TopicRetries:
    """Which retained topics the broker has refused; only the latest value of each is tried again."""

    def __init__(self) -> None:
        self._backoffs: dict[str, Backoff] = {}
        self._until_ns: dict[str, int] = {}

    def refused(self, topic: str, now_ns: int) -> None:
        """Note that a value was refused."""
        backoff = self._backoffs.setdefault(topic, Backoff(FIRST_S, LONGEST_S))
        self._until_ns[topic] = now_ns + _next_ns(backoff)

    def forget(self, topic: str) -> None:
        """Note that a value was accepted, or that the topic has none any more."""
        self._backoffs.pop(topic, None)
        self._until_ns.pop(topic, None)

    def take_due(self, now_ns: int) -> list[str]:
        """Return the topics whose latest value is to be tried again now."""
        due = [topic for topic, until_ns in self._until_ns.items() if now_ns >= until_ns]
        for topic in due:
            del self._until_ns[topic]
        return due

    @property
    def topics(self) -> list[str]:
        """The topics whose value is refused."""
        return list(self._backoffs)


class Retries:
    """Decides about every refused message. `trouble` is for other threads too."""

    def __init__(self) -> None:
        self._events = EventRetries()
        self._topics = TopicRetries()
        self.trouble: str | None = None

    def refused(self, message: Outbound, code: int, name: str, now_ns: int) -> bool:
        """Note a refusal; return whether the message is tried again: an event after `put_back`, or a retained value.

        Answers are not: whoever asks does not wait for long.
        """
        if not can_pass(code):
            return False
        if message.sequence is not None:
            is_retried = self._events.refused(message.sequence, now_ns)
        else:
            is_retried = message.retain
            if is_retried:
                self._topics.refused(message.topic, now_ns)
        self._tell(name)
        return is_retried

    def accepted(self, message: Outbound) -> None:
        """Note that the broker has accepted a message."""
        if self.trouble is None:
            return
        if message.sequence is not None:
            self._events.accepted(message.sequence)
        else:
            self._topics.forget(message.topic)
        self._end_trouble()

    def withdraw(self, topic: str) -> None:
        """Note that a retained topic has no value any more."""
        self._topics.forget(topic)
        self._end_trouble()

    def may_send_event(self, under_way: int, now_ns: int) -> bool:
        """Return whether an event may be sent now, while so many events are not acknowledged."""
        return self._events.may_send(under_way, now_ns)

    def take_due_topics(self, now_ns: int) -> list[str]:
        """Return the retained topics to send again now."""
        return self._topics.take_due(now_ns)

    def _end_trouble(self) -> None:
        if not self._events.is_waiting and not self._topics.topics:
            self.trouble = None

    def _tell(self, name: str) -> None:
        refused = (["events"] if self._events.is_waiting else []) + sorted(self._topics.topics)[:3]
        self.trouble = f"the MQTT broker refuses {', '.join(refused)} for now: {name}" if refused else None


def _next_ns(backoff: Backoff) -> int:
    return round(backoff.next_s() * NS_PER_S)
