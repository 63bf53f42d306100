"""When a label is there and when it is gone: smoothing and hysteresis on time constants. Pure functions.

Between two moments the scores of the first hold, and the smoothed score s follows them: ds/dt = (p - s) / tau. So s
has a closed form at any instant, and so have the instants at which it crosses a threshold; how often moments come
changes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np

from daemon.core.records import Array, EndedBy, Event


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Labels, which of them make events, their thresholds of shape (L,), and the time constants."""

    labels: Sequence[str]
    makes_events: Sequence[bool]
    start: Array
    end: Array
    smoothing_ns: int
    min_duration_ns: int
    max_duration_ns: int
    update_every_ns: int


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that has started and not ended."""

    id: str
    started_ns: int
    reported_ns: int
    peak: float


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of one stream.

    `held` (L,) are the scores since `since_ns`, `smoothed` (L,) their smoothed values at that instant. `above_ns` says
    since when a label without an open event has been above its start threshold. Up to `reached_ns` it is decided what
    happened: what a moment that comes late would change before then is past.
    """

    held: Array
    smoothed: Array
    since_ns: int = 0
    above_ns: Mapping[int, int] = field(default_factory=dict)
    open: Mapping[int, OpenEvent] = field(default_factory=dict)
    reached_ns: int = 0


Value = TypeVar("Value")
Step = Literal["rise", "fall", "start", "update", "absent", "timeout"]


def initial_state(rules: EventSettings) -> EventState:
    """The state before the first moment."""
    zeros = np.zeros(len(rules.labels), np.float32)
    return EventState(zeros, zeros)


def add_scores(
    state: EventState, scores: Array | None, at_ns: int, rules: EventSettings, new_id: Callable[[], str]
) -> tuple[EventState, list[Event]]:
    """Take the scores (L,) of a moment, or None for an empty one, which ends every event at once."""
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    state, events = advance(state, at_ns, rules, new_id)
    if scores is None:
        state, ended = end_all(state, at_ns, "absent", rules)
        return state, events + ended
    smoothed = _smoothed_at(state, at_ns, rules)
    # between moments the smoothed score is monotonic, so its peaks lie at moments
    peaks = {label: replace(event, peak=max(event.peak, float(smoothed[label]))) for label, event in state.open.items()}
    return replace(state, held=scores, smoothed=smoothed, since_ns=at_ns, open=peaks), events


def advance(
    state: EventState, now_ns: int, rules: EventSettings, new_id: Callable[[], str]
) -> tuple[EventState, list[Event]]:
    """Let time pass until `now_ns`. Gives the new state and the events that fell due on the way, in order."""
    events: list[Event] = []
    while (due := _next_step(state, rules)) is not None and due[0] <= now_ns:
        state, event = _apply(state, *due, rules, new_id)
        events += event
    return state, events


def next_due_ns(state: EventState, rules: EventSettings) -> int | None:
    """When `advance` next has something to do, or None."""
    due = _next_step(state, rules)
    return None if due is None else due[0]


def end_all(state: EventState, at_ns: int, ended_by: EndedBy, rules: EventSettings) -> tuple[EventState, list[Event]]:
    """End every open event and forget all scores."""
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    events = [_event("end", state, label, at_ns, rules, ended_by) for label in sorted(state.open)]
    return replace(initial_state(rules), since_ns=at_ns), events


def _next_step(state: EventState, rules: EventSettings) -> tuple[int, int, Step] | None:
    """The next instant at which something changes if the held scores stay: (when, label, what)."""
    rising = np.flatnonzero(state.held >= rules.start).tolist()
    labels = sorted({*rising, *state.above_ns, *state.open})
    steps = [step for label in labels if rules.makes_events[label] for step in _steps_of(state, label, rules)]
    return min(steps, default=None)


def _steps_of(state: EventState, label: int, rules: EventSettings) -> list[tuple[int, int, Step]]:
    if label in state.open:
        event = state.open[label]
        fading = _crossing_ns(state, label, float(rules.end[label]), rules, falling=True)
        steps: list[tuple[int, int, Step]] = [
            (event.started_ns + rules.max_duration_ns, label, "timeout"),
            (event.reported_ns + rules.update_every_ns, label, "update"),
        ]
        return steps if fading is None else [*steps, (fading, label, "absent")]
    start = float(rules.start[label])
    if label in state.above_ns:
        falling = _crossing_ns(state, label, start, rules, falling=True)
        steps = [(state.above_ns[label] + rules.min_duration_ns, label, "start")]
        return steps if falling is None else [*steps, (falling, label, "fall")]
    rising = _crossing_ns(state, label, start, rules, falling=False)
    return [] if rising is None else [(rising, label, "rise")]


def _apply(
    state: EventState, at_ns: int, label: int, step: Step, rules: EventSettings, new_id: Callable[[], str]
) -> tuple[EventState, list[Event]]:
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    state = replace(state, reached_ns=at_ns)
    if step == "rise":
        return replace(state, above_ns={**state.above_ns, label: at_ns}), []
    if step == "fall":
        return replace(state, above_ns=_without(state.above_ns, label)), []
    score = _score_at(state, label, at_ns, rules)
    if step == "start":
        event = OpenEvent(new_id(), state.above_ns[label], at_ns, score)
        state = replace(state, above_ns=_without(state.above_ns, label), open={**state.open, label: event})
        return state, [_event("start", state, label, at_ns, rules)]
    if step == "update":
        event = replace(state.open[label], reported_ns=at_ns, peak=max(state.open[label].peak, score))
        state = replace(state, open={**state.open, label: event})
        return state, [_event("update", state, label, at_ns, rules)]
    ended_by: EndedBy = "timeout" if step == "timeout" else _why_it_faded(state, label, rules)
    ended = _event("end", state, label, at_ns, rules, ended_by)
    above = {**state.above_ns, label: at_ns} if step == "timeout" else state.above_ns
    return replace(state, open=_without(state.open, label), above_ns=above), [ended]


def _why_it_faded(state: EventState, label: int, rules: EventSettings) -> EndedBy:
    top = int(np.argmax(state.held))
    return "other" if top != label and rules.makes_events[top] else "absent"


def _event(
    phase: Literal["start", "update", "end"],
    state: EventState,
    label: int,
    at_ns: int,
    rules: EventSettings,
    ended_by: EndedBy | None = None,
) -> Event:
    event, score = state.open[label], _score_at(state, label, at_ns, rules)
    peak = max(event.peak, score)
    return Event(phase, rules.labels[label], event.id, event.started_ns, at_ns, score, peak, ended_by)


def _crossing_ns(state: EventState, label: int, threshold: float, rules: EventSettings, *, falling: bool) -> int | None:
    """When the smoothed score reaches the threshold from the other side, or None if it never does.

    From s(t) = p + (s - p) exp(-t / tau): t = tau ln((s - p) / (threshold - p)).
    """
    held, smoothed = float(state.held[label]), float(state.smoothed[label])
    reaches = held < threshold if falling else held >= threshold
    if not reaches:
        return None
    if rules.smoothing_ns == 0 or (smoothed < threshold if falling else smoothed >= threshold):
        return state.since_ns
    if held == threshold:
        return None
    ratio = (smoothed - held) / (threshold - held)
    return state.since_ns + math.ceil(rules.smoothing_ns * math.log(ratio))


def _smoothed_at(state: EventState, at_ns: int, rules: EventSettings) -> Array:
    if rules.smoothing_ns == 0:
        return state.held
    weight = np.float32(math.exp((state.since_ns - at_ns) / rules.smoothing_ns))
    smoothed: Array = state.held + (state.smoothed - state.held) * weight
    return smoothed


def _score_at(state: EventState, label: int, at_ns: int, rules: EventSettings) -> float:
    return float(_smoothed_at(state, at_ns, rules)[label])


def _without(mapping: Mapping[int, Value], label: int) -> dict[int, Value]:
    return {key: value for key, value in mapping.items() if key != label}
