"""Events, by tables and by properties."""

import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import MODALITIES, Array, Event, Modality
from daemon.fusion.events import EventSettings, add_scores, advance, initial_state, next_due_ns

MS = 1_000_000
LABELS = ["a", "b", "nothing"]
ONE_EACH: dict[Modality, list[str]] = {modality: [modality] for modality in MODALITIES}


def event_settings(
    smoothing_ms: float = 100, min_ms: float = 50, max_ms: float = 60_000, update_ms: float = 60_000
) -> EventSettings:
    start, end = np.full(3, 0.7, np.float32), np.full(3, 0.4, np.float32)
    in_ns = [round(value * MS) for value in (smoothing_ms, min_ms, max_ms, update_ms)]
    return EventSettings(ONE_EACH, LABELS, [True, True, False], start, end, *in_ns)


def play(
    steps: list[tuple[float, list[float] | None]],
    until_ms: float,
    settings: EventSettings,
    looks_ms: list[float] | None = None,
) -> list[Event]:
    ids = map(str, itertools.count())
    state, events = initial_state(settings), []
    pending = sorted(looks_ms or [])
    for at_ms, scores in steps:
        while pending and pending[0] < at_ms:
            state, made = advance(state, round(pending.pop(0) * MS), settings, ids.__next__)
            events += made
        vector = None if scores is None else np.array(scores, np.float32)
        state, made = add_scores(state, vector, {}, round(at_ms * MS), settings, ids.__next__)
        events += made
    state, made = advance(state, round(until_ms * MS), settings, ids.__next__)
    return events + made


def summary(events: list[Event]) -> list[tuple[str, str, float]]:
    return [(event.phase, event.label, round(event.time_ns / MS, 1)) for event in events]


A, B, NOTHING = [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.02, 0.02, 0.96]


def test_a_late_moment_does_not_change_past_events() -> None:
    settings, ids = event_settings(smoothing_ms=300, min_ms=0), map(str, itertools.count())
    state, events = initial_state(settings), []
    for scores, at_ms, comes_ms in ((A, 1000, 1010), (NOTHING, 1040, 1500), (NOTHING, 1500, 3000)):
        state, made = advance(state, comes_ms * MS, settings, ids.__next__)
        events += made
        state, made = add_scores(state, np.array(scores, np.float32), {}, at_ms * MS, settings, ids.__next__)
        events += made
    start, end = events
    assert (start.phase, end.phase) == ("start", "end")
    assert start.time_ns <= end.time_ns


def test_an_event_starts_when_the_smoothed_score_has_stayed_above_the_threshold() -> None:
    crossing_ms = 1000 + 100 * math.log(0.9 / 0.2)
    start, *rest = play([(1000, A)], 5000, event_settings())
    assert (start.phase, start.label) == ("start", "a")
    assert start.started_ns / MS == pytest.approx(crossing_ms, abs=0.01)
    assert start.time_ns / MS == pytest.approx(crossing_ms + 50, abs=0.01)
    assert rest == []


def test_one_moment_is_enough_and_one_spike_is_not() -> None:
    assert summary(play([(1000, A), (4000, None)], 5000, event_settings())) == [
        ("start", "a", 1200.4),
        ("end", "a", 4000.0),
    ]
    assert play([(1000, A), (1100, NOTHING)], 5000, event_settings()) == []


def test_the_end_has_its_own_threshold_and_a_cause() -> None:
    def end_of(last: list[float] | None) -> Event:
        return play([(1000, A), (2000, last)], 5000, event_settings())[1]

    assert end_of(NOTHING).ended_by == "absent"
    assert end_of(None).ended_by == "absent"
    assert end_of(B).ended_by == "other"
    fading_ms = 2000 + 100 * math.log((0.9 - 0.02) / (0.4 - 0.02))
    assert end_of(NOTHING).time_ns / MS == pytest.approx(fading_ms, abs=0.1)
    assert end_of(None).time_ns / MS == 2000
    assert summary(play([(1000, A), (2000, [0.5, 0.1, 0.4])], 5000, event_settings())) == [("start", "a", 1200.4)]


def test_updates_come_at_their_interval_and_a_long_event_is_split() -> None:
    events = play([(0, A)], 1000, event_settings(smoothing_ms=0, min_ms=0, max_ms=500, update_ms=200))
    assert [(event.phase, event.time_ns / MS, event.ended_by) for event in events] == [
        ("start", 0, None),
        ("update", 200, None),
        ("update", 400, None),
        ("end", 500, "timeout"),
        ("start", 500, None),
        ("update", 700, None),
        ("update", 900, None),
        ("end", 1000, "timeout"),
        ("start", 1000, None),
    ]
    assert len({event.id for event in events}) == 3


def test_background_labels_make_no_events() -> None:
    assert play([(0, NOTHING)], 5000, event_settings()) == []


def test_the_peak_is_the_highest_smoothed_score() -> None:
    events = play([(0, A), (2000, [0.99, 0.0, 0.01]), (4000, [0.6, 0.2, 0.2]), (6000, None)], 7000, event_settings())
    assert events[-1].peak == pytest.approx(0.99, abs=1e-3)
    assert events[-1].score == pytest.approx(0.6, abs=1e-3)


def shares_of(moments: list[tuple[float, list[float] | None, dict[Modality, list[float]]]]) -> list[list[float]]:
    """The shares of picture, sound and text in each step of the events at these moments."""
    settings, ids = event_settings(smoothing_ms=0, min_ms=0, update_ms=1000), map(str, itertools.count())
    state, events = initial_state(settings), []
    for at_ms, scores, parts in moments:
        vector = None if scores is None else np.array(scores, np.float32)
        evidence: dict[Modality, Array] = {m: np.array(part, np.float32) for m, part in parts.items()}
        state, made = add_scores(state, vector, evidence, round(at_ms * MS), settings, ids.__next__)
        events += made
    return [[event.shares[m] for m in MODALITIES] for event in events]


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        ({"image": [3, 0, 0], "audio": [1, 5, 0]}, [0.75, 0.25, 0]),
        ({"image": [2, 0, 0], "audio": [-9, 0, 0]}, [1, 0, 0]),
        ({"text": [0.5, 0, 0]}, [0, 0, 1]),
        ({"image": [-1, 0, 0], "audio": [0, 0, 0]}, [0, 0, 0]),
        ({}, [0, 0, 0]),
    ],
)
def test_the_shares_are_the_parts_of_what_speaks_for_the_label(
    parts: dict[Modality, list[float]], shares: list[float]
) -> None:
    start, end = shares_of([(0, A, parts), (500, A, parts), (900, None, {})])
    assert start == end == shares


def test_the_shares_are_those_of_the_latest_moment_at_which_the_label_was_recognised() -> None:
    seen, heard, against = {"image": [4, 0, 0]}, {"audio": [4, 0, 0]}, {"text": [1, 9, 9]}
    assert shares_of([(0, A, seen), (500, A, heard), (1500, A, heard), (1600, NOTHING, against), (1700, None, {})]) == [
        [1, 0, 0],  # start
        [0, 1, 0],  # update
        [0, 1, 0],  # end: what came when the label had gone says nothing of it
    ]


def independent(start: float = 0.7) -> EventSettings:
    """Two encoders of pictures, one of sound; labels that do not exclude each other."""
    settings = event_settings(smoothing_ms=0, min_ms=0)
    encoders: dict[Modality, list[str]] = {"image": ["scene", "people"], "audio": ["sound"]}
    return replace(settings, encoders=encoders, scoring="independent", start=np.full(3, start, np.float32))


def test_independent_labels_are_open_at_once_and_none_ends_because_of_another() -> None:
    both, second = [0.9, 0.8, 0.1], [0.1, 0.95, 0.05]
    events = play([(1000, [0.9, 0.1, 0.1]), (2000, both), (3000, second), (4000, None)], 5000, independent())
    assert [(event.phase, event.label, event.time_ns / MS, event.ended_by) for event in events] == [
        ("start", "a", 1000, None),
        ("start", "b", 2000, None),
        ("end", "a", 3000, "absent"),
        ("end", "b", 4000, "absent"),
    ]


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        ({"scene": 3, "people": 1, "sound": 4}, {"image": 0.5, "audio": 0.5}),
        ({"scene": 3, "people": -2, "sound": 1}, {"image": 0.5, "audio": 0.5}),
        ({"scene": 1, "people": -2, "sound": 1}, {"image": 0, "audio": 1}),
        ({"people": 2}, {"image": 1, "audio": 0}),
        ({}, {"image": 0, "audio": 0}),
    ],
)
def test_the_share_of_a_sense_is_that_of_the_sum_of_its_encoders(
    parts: dict[str, float], shares: dict[Modality, float]
) -> None:
    settings = independent()
    evidence = {name: np.array([part, 0, 0], np.float32) for name, part in parts.items()}
    state, _ = add_scores(initial_state(settings), np.array([0.9, 0, 0.1], np.float32), evidence, MS, settings, str)
    _, (start,) = advance(state, 2 * MS, settings, str)
    assert start.shares == shares


score_vectors = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda v: [x / (sum(v) or 1.0) for x in v])
timelines = st.lists(st.tuples(st.integers(0, 700), st.none() | score_vectors), max_size=25)
exclusive = st.builds(
    event_settings, st.sampled_from([0, 30, 300]), st.sampled_from([0, 100]), st.sampled_from([200, 3000]), st.just(150)
)
all_settings = exclusive | exclusive.map(partial(replace, scoring="independent"))


def absolute(timeline: list[tuple[int, list[float] | None]]) -> list[tuple[float, list[float] | None]]:
    times = itertools.accumulate(wait for wait, _ in timeline)
    return [(at_ms, scores) for at_ms, (_, scores) in zip(times, timeline, strict=True)]


@given(timelines, all_settings)
def test_every_event_starts_is_updated_and_ends(
    timeline: list[tuple[int, list[float] | None]], settings: EventSettings
) -> None:
    steps = absolute(timeline)
    end_ms = (steps[-1][0] if steps else 0) + 1
    events = play([*steps, (end_ms, None)], end_ms + 10_000, settings)
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)
    for event_id in {event.id for event in events}:
        same = [event for event in events if event.id == event_id]
        assert [event.phase for event in same] == ["start", *["update"] * (len(same) - 2), "end"]
        assert len({event.label for event in same}) == 1
        assert same[0].label != "nothing"
        assert same[0].time_ns - same[0].started_ns == settings.min_duration_ns
        assert same[-1].time_ns - same[0].started_ns <= settings.max_duration_ns
        assert all(0 <= event.score <= event.peak + 1e-6 <= 1 + 1e-5 for event in same)


@given(timelines, all_settings, st.lists(st.integers(0, 20_000), max_size=30))
def test_more_calls_of_advance_change_nothing(
    timeline: list[tuple[int, list[float] | None]], settings: EventSettings, looks_ms: list[int]
) -> None:
    steps = absolute(timeline)
    assert play(steps, 30_000, settings, looks_ms) == play(steps, 30_000, settings)


@given(timelines, all_settings)
def test_nothing_is_due_after_an_empty_moment(
    timeline: list[tuple[int, list[float] | None]], settings: EventSettings
) -> None:
    state = initial_state(settings)
    for at_ms, scores in [*absolute(timeline), (50_000.0, None)]:
        vector = None if scores is None else np.array(scores, np.float32)
        state, _ = add_scores(state, vector, {}, round(at_ms * MS), settings, str)
    assert next_due_ns(state, settings) is None


@pytest.mark.parametrize("days", [1, 105, 400, 4000])
def test_events_are_the_same_after_years_of_uptime(days: int) -> None:
    """Beyond 104 days a monotonic time in nanoseconds is no exact float."""
    steps = [(1000, A), (1400, B), (1900, NOTHING), (2600, A), (2650.123456, None)]
    late_ms = days * 86_400_000
    first = play(steps, 9000, event_settings())
    later = play([(at_ms + late_ms, scores) for at_ms, scores in steps], 9000 + late_ms, event_settings())
    assert [(each.phase, each.label) for each in first] == [(each.phase, each.label) for each in later]
    for one, other in zip(first, later, strict=True):
        assert abs(other.time_ns - one.time_ns - days * 86_400 * 10**9) <= 1000
        assert abs(one.peak - other.peak) < 1e-6
