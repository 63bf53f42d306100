"""When a moment of a stream becomes background. Pure functions: instants and the hour of the day are given.

A moment is taken, and waits until it is certain that nobody shows anything just after it. Then it settles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.core.timing import NS_PER_S
from daemon.teaching.records import NEEDED_BACKGROUND

HOURS = 24

# the reservoir of a stream holds 2,000 moments, as many of each hour of the day
OF_HOUR = 2000 // HOURS

# The first moments come quickly, so that a place is known after five minutes. Then an hour of the day fills within two
# days. After that the reservoir is renewed within three weeks: each moment that makes room is on a page of its own, and
# so costs a card far more than one that is added.
FIRST_NS = 10 * NS_PER_S
FILLING_NS = 60 * NS_PER_S
RENEWING_NS = 900 * NS_PER_S

# no background so long before and after what somebody shows
AROUND_SHOWN_NS = 30 * NS_PER_S

# An event starts some time after its cause begins, and its cause may be heard after its end.
AROUND_EVENT_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Taken:
    """A moment that waits to settle, and the hour of the day in which it was taken."""

    at_ns: int
    hour: int


@dataclass(frozen=True, slots=True)
class Gathering:
    """The state of one stream. `by_hour` counts its background by hour of the day.

    `of_lines`: the stream has text alone, so each of the first lines is a moment, however soon it comes.
    `quiet_until_ns`: no moment is taken before. `is_event_open`: an event of a taught label is open.
    """

    by_hour: tuple[int, ...] = (0,) * HOURS
    of_lines: bool = False
    latest_ns: int | None = None
    quiet_until_ns: int | None = None
    is_event_open: bool = False
    waiting: tuple[Taken, ...] = ()


def initial(by_hour: Sequence[int] = (0,) * HOURS, *, of_lines: bool = False) -> Gathering:
    """Return the state of a stream that has so much background from before, by hour of the day."""
    return Gathering(tuple(by_hour), of_lines)


def is_due(state: Gathering, at_ns: int, hour: int) -> bool:
    """Return whether a moment is to be taken at this instant."""
    if state.is_event_open or (state.quiet_until_ns is not None and at_ns < state.quiet_until_ns):
        return False
    return state.latest_ns is None or at_ns - state.latest_ns >= _interval_ns(state, hour)


def take(state: Gathering, at_ns: int, hour: int) -> Gathering:
    """Note that a moment was taken."""
    return replace(state, latest_ns=at_ns, waiting=(*state.waiting, Taken(at_ns, hour)))


def show(state: Gathering, start_ns: int, end_ns: int) -> Gathering:
    """Note that somebody shows something in this time: what was taken just before it does not count."""
    kept = tuple(each for each in state.waiting if not _is_near(each.at_ns, start_ns, end_ns, AROUND_SHOWN_NS))
    return _quiet(replace(state, waiting=kept), end_ns + AROUND_SHOWN_NS)


def follow_events(state: Gathering, is_open: bool, now_ns: int) -> Gathering:
    """Note whether an event of a taught label is open now."""
    if is_open == state.is_event_open:
        return state
    state = replace(state, is_event_open=is_open)
    if not is_open:
        return _quiet(state, now_ns + AROUND_EVENT_NS)
    return replace(state, waiting=tuple(each for each in state.waiting if each.at_ns < now_ns - AROUND_EVENT_NS))


def settle(state: Gathering, now_ns: int) -> tuple[Gathering, list[int]]:
    """Return the new state, and the instants of the moments that are background now.

    A moment that was taken, and is neither among them nor waits any longer, is none.
    """
    settled = [each for each in state.waiting if now_ns - each.at_ns >= AROUND_SHOWN_NS]
    by_hour = list(state.by_hour)
    for each in settled:
        by_hour[each.hour] += 1
    waiting = tuple(each for each in state.waiting if each not in settled)
    return replace(state, by_hour=tuple(by_hour), waiting=waiting), [each.at_ns for each in settled]


def _interval_ns(state: Gathering, hour: int) -> int:
    if sum(state.by_hour) + len(state.waiting) < NEEDED_BACKGROUND:
        return 0 if state.of_lines else FIRST_NS
    of_hour = state.by_hour[hour] + sum(each.hour == hour for each in state.waiting)
    return FILLING_NS if of_hour < OF_HOUR else RENEWING_NS


def _is_near(at_ns: int, start_ns: int, end_ns: int, around_ns: int) -> bool:
    return start_ns - around_ns <= at_ns <= end_ns + around_ns


def _quiet(state: Gathering, until_ns: int) -> Gathering:
    return replace(state, quiet_until_ns=max(until_ns, state.quiet_until_ns or until_ns))
