"""The subscriptions of one connection: which are granted, and when a refused one is asked for again."""

import math
from dataclasses import dataclass

from daemon.core.timing import Backoff
from daemon.mqtt.broker.waits import Waits


@dataclass(slots=True)
class _Subscription:
    """`due_s` is when to ask; while `message_id` is set, when the answer is late instead."""

    qos: int
    backoff: Backoff
    due_s: float = -math.inf
    message_id: int | None = None
    is_refused: bool = False


class Subscriptions:
    """Topic filters by name, without I/O; instants are seconds. One thread uses it; `refused` is for every thread."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._by_filter: dict[str, _Subscription] = {}

    @property
    def refused(self) -> list[str]:
        """The filters that the broker has refused or has not answered, and not granted since."""
        return [topic_filter for topic_filter, each in self._by_filter.copy().items() if each.is_refused]

    def add(self, topic_filter: str, qos: int) -> None:
        """Ask for a filter, at once."""
        backoff = Backoff(self._waits.first_resubscribe_s, self._waits.longest_resubscribe_s)
        self._by_filter[topic_filter] = _Subscription(qos, backoff)

    def due(self, now_s: float) -> list[tuple[str, int]]:
        """Return the filters to ask for now, each with its QoS."""
        waiting = [(name, each) for name, each in self._by_filter.items() if each.message_id is None]
        return [(name, each.qos) for name, each in waiting if each.due_s <= now_s]

    def asked(self, topic_filter: str, message_id: int, now_s: float) -> None:
        """Note that a filter was asked for, by the id that the broker's answer repeats."""
        each = self._by_filter[topic_filter]
        each.message_id, each.due_s = message_id, now_s + self._waits.suback_s

    def granted(self, message_id: int) -> str | None:
        """Note that the broker has granted what was asked for by this id; return the filter. None: an unknown id."""
        name = self._asked_by(message_id)
        if name is not None:
            each = self._by_filter[name]
            each.message_id, each.due_s, each.is_refused = None, math.inf, False
            each.backoff.reset()
        return name

    def refused_by(self, message_id: int, now_s: float) -> str | None:
        """Note that the broker has refused what was asked for by this id; return the filter. None: an unknown id."""
        name = self._asked_by(message_id)
        if name is not None:
            self._refuse(name, now_s)
        return name

    def unanswered(self, now_s: float) -> list[str]:
        """Return the filters whose answer is late; each counts as refused."""
        asked = [(name, each) for name, each in self._by_filter.items() if each.message_id is not None]
        late = [name for name, each in asked if each.due_s <= now_s]
        for name in late:
            self._refuse(name, now_s)
        return late

    def give_up(self, topic_filter: str) -> None:
        """Count a filter as refused that this connection cannot carry; it is not asked for."""
        each = self._by_filter[topic_filter]
        each.message_id, each.due_s, each.is_refused = None, math.inf, True

    def _refuse(self, topic_filter: str, now_s: float) -> None:
        each = self._by_filter[topic_filter]
        each.message_id, each.due_s, each.is_refused = None, now_s + each.backoff.next_s(), True

    def _asked_by(self, message_id: int) -> str | None:
        return next((name for name, each in self._by_filter.items() if each.message_id == message_id), None)
