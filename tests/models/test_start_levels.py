"""A start level is the highest threshold at which daemon.fusion.events starts an event."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from home_evaluation.start_levels import Track, start_levels
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Array64
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.fusion.events import EventSettings, add_scores, advance, initial_state

LABELS = ["a", "b", "nothing"]
# The events compute in float32.
TOLERANCE = 1e-4


def settings_of(smoothing_ms: int, min_ms: int) -> EventSettings:
    thresholds = np.full(3, 0.5, np.float32)
    times_ns = [smoothing_ms * NS_PER_MS, min_ms * NS_PER_MS, 86_400 * NS_PER_S, 86_400 * NS_PER_S]
    return EventSettings({"audio": ["audio"]}, LABELS, [True, True, True], thresholds, thresholds / 2, *times_ns)


def started(track: Track, start: Array64, settings: EventSettings) -> set[str]:
    """Return the labels whose events start in the track, by the daemon's own code, with the thresholds `start`."""
    settings = replace(settings, start=start.astype(np.float32), end=(start / 2).astype(np.float32))
    ids = map(str, itertools.count())
    state, events = initial_state(settings), []
    following_ns = [*track.times_ns[1:], np.iinfo(np.int64).max]
    for at_ns, until_ns, next_ns, scores in zip(*_columns(track, following_ns), strict=True):
        state, made = add_scores(state, scores.astype(np.float32), {}, at_ns, settings, ids.__next__)
        events += made
        if until_ns < next_ns:
            state, made = add_scores(state, None, {}, until_ns, settings, ids.__next__)
            events += made
    state, made = advance(state, int(track.until_ns[-1]), settings, ids.__next__)
    return {event.label for event in [*events, *made] if event.phase == "start"}


def _columns(track: Track, following_ns: list[int]) -> tuple[list[int], list[int], list[int], Array64]:
    return track.times_ns.tolist(), track.until_ns.tolist(), following_ns, track.scores


scores = st.lists(st.floats(0.001, 0.999), min_size=3, max_size=3)
moments = st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000), scores), min_size=1, max_size=12)


@given(moments, st.integers(20, 1000), st.integers(1, 900))
def test_an_event_starts_below_its_start_level_and_not_above(
    rows: list[tuple[int, int, list[float]]], smoothing_ms: int, min_ms: int
) -> None:
    times_ns = np.cumsum([wait_ms for wait_ms, _, _ in rows]) * NS_PER_MS
    until_ns = times_ns + np.array([age_ms for _, age_ms, _ in rows]) * NS_PER_MS
    track = Track(times_ns, until_ns, np.array([values for _, _, values in rows]))
    settings = settings_of(smoothing_ms, min_ms)
    levels = start_levels(track, settings)
    # a level near 0 is below what float32 can smooth
    assert started(track, np.maximum(levels * (1 + TOLERANCE), 1e-5), settings) == set()
    expected = {label for label, level in zip(LABELS, levels, strict=True) if level > 1e-5}
    assert started(track, np.maximum(levels * (1 - TOLERANCE), 1e-6), settings) >= expected


def test_a_score_that_stays_is_its_own_level_and_a_short_one_is_lower() -> None:
    track = Track(np.array([0]), np.array([20 * NS_PER_S]), np.array([[0.9, 0.3, 0.5]]))
    assert start_levels(track, settings_of(300, 200)) == pytest.approx([0.9, 0.3, 0.5])
    short = replace(track, until_ns=np.array([300 * NS_PER_MS]))
    # reached after 100 ms, then held for 200 ms
    assert start_levels(short, settings_of(300, 200)) == pytest.approx(track.scores[0] * (1 - np.exp(-1 / 3)))
    assert start_levels(short, settings_of(300, 301)).tolist() == [0, 0, 0]


def test_a_peak_over_two_moments_counts_as_one() -> None:
    at_ns = np.array([0, 150, 300]) * NS_PER_MS
    track = Track(at_ns, at_ns + NS_PER_S, np.array([[0.9, 0.9, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.9]]))
    a, b, nothing = start_levels(track, settings_of(100, 200))
    assert 0.1 < b < a < 0.9
    assert nothing == pytest.approx(0.9, abs=1e-3)
