"""When the source is looked at: at random, so that many devices never ask at once."""

import random

from daemon.runtime.backoff import Backoff

HOUR_S = 3600.0
FIRST_RETRY_S = 60.0
"""A network that is away comes back in minutes; a first look waits as long, for the node to settle."""


class Schedule:
    """The next look at the source; instants are seconds of a clock that is never set."""

    def __init__(self, period_s: float, now_s: float) -> None:
        """The first look comes within an hour, or within the period where that is shorter."""
        self._period_s = period_s
        self._backoff = Backoff(FIRST_RETRY_S, period_s)
        first_s = min(HOUR_S, period_s)
        self._due_s = now_s + _between(min(FIRST_RETRY_S, first_s), first_s)

    def is_due(self, now_s: float) -> bool:
        """Whether to look now."""
        return now_s >= self._due_s

    def ask(self, now_s: float) -> None:
        """Somebody wants a look now."""
        self._due_s = now_s

    def settled(self, now_s: float) -> None:
        """A look found what there is to know: the next one comes after a period, give or take a quarter."""
        self._backoff.reset()
        self._due_s = now_s + self._period_s * _between(0.75, 1.25)

    def failed(self, now_s: float) -> None:
        """A look, or what it led to, failed for now: the next one comes sooner, but later each time."""
        self._due_s = now_s + self._backoff.next_s()


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311  (spreads load, keeps no secret)
