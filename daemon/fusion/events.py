"""Events: when a label starts and ends, by smoothing and hysteresis with time constants. Pure functions.

The scores p of a moment hold until the next moment. The smoothed score s follows them: ds/dt = (p - s) / tau.
So s has a closed form at any instant, and so has the instant at which it crosses a threshold.
The result does not depend on how often `advance` is called.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np

from daemon.core.records import Array, EndedBy, Event, EventPhase, Modality, Scoring

# What happens to a label. `rise` and `fall`: its smoothed score crosses the start threshold, and it has no open event.
# `start`, `update`: its event starts or is updated. `absent`, `timeout`: its event ends by fading or by its age.
Transition = Literal["rise", "fall", "start", "update", "absent", "timeout"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Encoders of each modality, labels, which of the labels make events, thresholds (L,), and time constants.

    `scoring` says whether the labels exclude each other.
    """

    encoders: Mapping[Modality, Sequence[str]]
    labels: Sequence[str]
    makes_events: Sequence[bool]
    start: Array
    end: Array
    smoothing_ns: int
    min_duration_ns: int
    max_duration_ns: int
    update_every_ns: int
    scoring: Scoring = "exclusive"


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that has started and not ended. `peak` is its highest smoothed score; `shares`: see Event."""

    id: str
    started_ns: int
    reported_ns: int
    peak: float
    shares: Mapping[Modality, float]


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of one stream.

    `scores` (L,) are the scores since `since_ns`, and `smoothed` (L,) their smoothed values at that instant.
    `evidence` has the contribution (L,) of each encoder to the logits behind the scores.
    `above_ns` has the labels without an open event that are above their start threshold, and since when.
    Everything up to `reached_ns` is final: a late moment changes nothing before then.
    """

    scores: Array
    smoothed: Array
    evidence: Mapping[str, Array] = field(default_factory=dict)
    since_ns: int = 0
    above_ns: Mapping[int, int] = field(default_factory=dict)
    open: Mapping[int, OpenEvent] = field(default_factory=dict)
    reached_ns: int = 0


def initial_state(settings: EventSettings) -> EventState:
    """Return the state before the first moment."""
    zeros = np.zeros(len(settings.labels), np.float32)
    return EventState(zeros, zeros)


def add_scores(
    state: EventState,
    scores: Array | None,
    evidence: Mapping[str, Array],
    at_ns: int,
    settings: EventSettings,
    new_id: Callable[[], str],
) -> tuple[EventState, list[Event]]:
    """Take scores and evidence (L,) of a moment at `at_ns`. Return the new state and the events up to then, in order.

    Scores of None stand for an empty moment, which ends every event at once.
    """
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    state, events = advance(state, at_ns, settings, new_id)
    if scores is None:
        state, ended = end_all(state, at_ns, "absent", settings)
        return state, events + ended
    smoothed = _smoothed_at(state, at_ns, settings)
    open_events = dict(state.open)
    for label, event in state.open.items():
        # between two moments the smoothed score is monotonic, so its peaks lie at moments
        peak = max(event.peak, float(smoothed[label]))
        # while the label fades its evidence says nothing any more
        shares = shares_of(evidence, label, settings) if scores[label] >= settings.end[label] else event.shares
        open_events[label] = replace(event, peak=peak, shares=shares)
    state = replace(state, scores=scores, smoothed=smoothed, evidence=evidence, since_ns=at_ns, open=open_events)
    return state, events


def advance(
    state: EventState, now_ns: int, settings: EventSettings, new_id: Callable[[], str]
) -> tuple[EventState, list[Event]]:
    """Let time pass until `now_ns`. Return the new state and the events that were due until then, in order."""
    events: list[Event] = []
    while (due := _next_transition(state, settings)) is not None and due[0] <= now_ns:
        state, event = _apply(state, *due, settings, new_id)
        events += event
    return state, events


def next_due_ns(state: EventState, settings: EventSettings) -> int | None:
    """Return the next instant at which `advance` changes something, or None."""
    due = _next_transition(state, settings)
    return None if due is None else due[0]


def end_all(
    state: EventState, at_ns: int, ended_by: EndedBy, settings: EventSettings
) -> tuple[EventState, list[Event]]:
    """End every open event and forget all scores. Return the new state and the end events."""
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    events = [_event("end", state, label, at_ns, settings, ended_by) for label in sorted(state.open)]
    return replace(initial_state(settings), since_ns=at_ns), events


def shares_of(evidence: Mapping[str, Array], label: int, settings: EventSettings) -> dict[Modality, float]:
    """Return the part of each modality in the evidence for a label; what speaks against the label has none.

    The evidence of a modality is the sum of that of its encoders.
    """
    speaks = {
        modality: max(0.0, sum(float(evidence[name][label]) for name in encoders if name in evidence))
        for modality, encoders in settings.encoders.items()
    }
    total = sum(speaks.values())
    return {m: part / total if total else 0.0 for m, part in speaks.items()}


def _next_transition(state: EventState, settings: EventSettings) -> tuple[int, int, Transition] | None:
    """Return the next change while the scores hold: its instant, its label, its transition."""
    rising = np.flatnonzero(state.scores >= settings.start).tolist()
    labels = sorted({*rising, *state.above_ns, *state.open})
    due = [each for label in labels if settings.makes_events[label] for each in _transitions_of(state, label, settings)]
    return min(due, default=None)


def _transitions_of(state: EventState, label: int, settings: EventSettings) -> list[tuple[int, int, Transition]]:
    if label in state.open:
        event = state.open[label]
        fading = _crossing_ns(state, label, float(settings.end[label]), settings, falling=True)
        due: list[tuple[int, int, Transition]] = [
            (event.started_ns + settings.max_duration_ns, label, "timeout"),
            (event.reported_ns + settings.update_every_ns, label, "update"),
        ]
        return due if fading is None else [*due, (fading, label, "absent")]
    start = float(settings.start[label])
    if label in state.above_ns:
        falling = _crossing_ns(state, label, start, settings, falling=True)
        due = [(state.above_ns[label] + settings.min_duration_ns, label, "start")]
        return due if falling is None else [*due, (falling, label, "fall")]
    rising = _crossing_ns(state, label, start, settings, falling=False)
    return [] if rising is None else [(rising, label, "rise")]


def _apply(
    state: EventState,
    at_ns: int,
    label: int,
    transition: Transition,
    settings: EventSettings,
    new_id: Callable[[], str],
) -> tuple[EventState, list[Event]]:
    at_ns = max(at_ns, state.since_ns, state.reached_ns)
    state = replace(state, reached_ns=at_ns)
    if transition == "rise":
        return replace(state, above_ns={**state.above_ns, label: at_ns}), []
    if transition == "fall":
        return replace(state, above_ns=_without(state.above_ns, label)), []
    score = _score_at(state, label, at_ns, settings)
    if transition == "start":
        shares = shares_of(state.evidence, label, settings)
        event = OpenEvent(new_id(), state.above_ns[label], at_ns, score, shares)
        state = replace(state, above_ns=_without(state.above_ns, label), open={**state.open, label: event})
        return state, [_event("start", state, label, at_ns, settings)]
    if transition == "update":
        event = replace(state.open[label], reported_ns=at_ns, peak=max(state.open[label].peak, score))
        state = replace(state, open={**state.open, label: event})
        return state, [_event("update", state, label, at_ns, settings)]
    ended_by: EndedBy = "timeout" if transition == "timeout" else _cause_of_end(state, label, settings)
    ended = _event("end", state, label, at_ns, settings, ended_by)
    above = {**state.above_ns, label: at_ns} if transition == "timeout" else state.above_ns
    return replace(state, open=_without(state.open, label), above_ns=above), [ended]


def _cause_of_end(state: EventState, label: int, settings: EventSettings) -> EndedBy:
    if settings.scoring == "independent":  # no label takes the place of another
        return "absent"
    top = int(np.argmax(state.scores))
    return "other" if top != label and settings.makes_events[top] else "absent"


def _event(
    phase: EventPhase,
    state: EventState,
    label: int,
    at_ns: int,
    settings: EventSettings,
    ended_by: EndedBy | None = None,
) -> Event:
    event, score = state.open[label], _score_at(state, label, at_ns, settings)
    peak = max(event.peak, score)
    name = settings.labels[label]
    return Event(phase, name, event.id, event.started_ns, at_ns, score, peak, ended_by, event.shares)


def _crossing_ns(
    state: EventState, label: int, threshold: float, settings: EventSettings, *, falling: bool
) -> int | None:
    """Return when the smoothed score reaches the threshold from the other side, or None if it never does.

    s(t) = p + (s - p) exp(-t / tau), and hence t = tau ln((s - p) / (threshold - p)).
    """
    score, smoothed = float(state.scores[label]), float(state.smoothed[label])
    reaches = score < threshold if falling else score >= threshold
    if not reaches:
        return None
    if settings.smoothing_ns == 0 or (smoothed < threshold if falling else smoothed >= threshold):
        return state.since_ns
    if score == threshold:
        return None
    ratio = (smoothed - score) / (threshold - score)
    return state.since_ns + math.ceil(settings.smoothing_ns * math.log(ratio))


def _smoothed_at(state: EventState, at_ns: int, settings: EventSettings) -> Array:
    if settings.smoothing_ns == 0:
        return state.scores
    weight = np.float32(math.exp((state.since_ns - at_ns) / settings.smoothing_ns))
    smoothed: Array = state.scores + (state.smoothed - state.scores) * weight
    return smoothed


def _score_at(state: EventState, label: int, at_ns: int, settings: EventSettings) -> float:
    return float(_smoothed_at(state, at_ns, settings)[label])


def _without(mapping: Mapping[int, Value], label: int) -> dict[int, Value]:
    return {key: value for key, value in mapping.items() if key != label}
