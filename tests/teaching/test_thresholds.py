"""Thresholds of taught labels: the smoothed score of a press, and the tail of the background."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.streams import EventsConfig
from daemon.core.records import Modality
from daemon.fusion.events import EventSettings, add_scores, advance, initial_state
from daemon.teaching.judging import votes
from daemon.teaching.rows import EventTimes
from daemon.teaching.thresholds import CHANCES_A_DAY, sustained, tail_of

NS_PER_S = 1_000_000_000
TIMES = EventTimes()
NO_ENCODERS: dict[Modality, list[str]] = {}


def starts(scores: list[float], threshold: float) -> bool:
    """Whether moments half a second apart start an event in the code of events."""
    settings = EventSettings(
        NO_ENCODERS,
        ["bell"],
        [True],
        np.array([threshold], np.float32),
        np.array([threshold / 2], np.float32),
        round(TIMES.smoothing_s * NS_PER_S),
        round(TIMES.min_duration_s * NS_PER_S),
        3600 * NS_PER_S,
        3600 * NS_PER_S,
        "independent",
    )
    state, found = initial_state(settings), []
    numbers = itertools.count()
    for place, score in enumerate(scores):
        at_ns = place * NS_PER_S // 2
        state, events = add_scores(
            state, np.array([score], np.float32), {}, at_ns, settings, lambda: str(next(numbers))
        )
        found += events
    _, events = advance(state, len(scores) * NS_PER_S // 2, settings, lambda: str(next(numbers)))
    return bool(found + events)


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), min_size=2, max_size=8),
    st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.7, 0.9]),
)
def test_a_press_is_found_where_it_starts_an_event(scores: list[float], threshold: float) -> None:
    times = [500 * place for place in range(len(scores))]
    level = float(sustained(np.array(scores, np.float32)[:, np.newaxis], times, TIMES)[0])
    if abs(level - threshold) > 0.03:  # the level is computed in steps of time
        assert starts(scores, threshold) == (level > threshold)


def test_a_picture_alone_is_judged_as_if_it_stayed() -> None:
    alone = sustained(np.array([[0.7]], np.float32), [0], TIMES)[0]
    stays = sustained(np.full((10, 1), 0.7, np.float32), list(range(0, 5000, 500)), TIMES)[0]
    assert alone == pytest.approx(stays, abs=0.01)


def test_without_smoothing_the_score_itself_is_held() -> None:
    assert sustained(np.array([[0.2], [0.9], [0.1]], np.float32), [0, 500, 1000], EventTimes(smoothing_s=0))[
        0
    ] == pytest.approx(0.9)


@given(st.integers(0, 1000), st.integers(30, 400), st.floats(1, 8))
def test_a_tail_gives_the_probability_of_the_level_that_it_gives(seed: int, count: int, gap: float) -> None:
    logits = np.random.default_rng(seed).normal(-5, 1, count).astype(np.float32)
    tail = tail_of(logits, float(logits.max()) + gap)
    for probability in (1e-3, 1e-4, 1e-5):
        level = tail.level(probability)
        assert level >= logits.max()
        assert tail.probability(level) == pytest.approx(min(probability, 1 / count), rel=0.01)
    assert tail.level(1e-5) >= tail.level(1e-4) >= tail.level(1e-3)


def test_a_level_within_the_background_is_exceeded_as_often_as_was_seen() -> None:
    tail = tail_of(np.arange(100, dtype=np.float32), 200.0)
    rate = tail.rate(89.5, hours=2.0)
    assert rate.expected == pytest.approx(CHANCES_A_DAY / 10)
    assert rate.low < rate.expected <= rate.high <= CHANCES_A_DAY


def test_the_interval_grows_with_what_was_not_seen() -> None:
    tail = tail_of(np.random.default_rng(1).normal(-5, 1, 100).astype(np.float32), 3.0)
    near, far = (tail.rate(tail.level(probability), 1.0) for probability in (1e-2, 1e-5))
    assert far.high / far.expected > near.high / near.expected


def test_a_state_has_the_score_that_most_of_its_votes_reach() -> None:
    moments = np.array([[0.9, 0.2], [0.7, 0.3], [0.2, 0.6]], np.float32)
    assert votes(moments) == pytest.approx(np.array([0.7, 0.0]))
    assert votes(moments[:1]) == pytest.approx(np.array([0.9, 0.0]))
    assert votes(moments[1:]) == pytest.approx(np.array([0.0, 0.0]))  # one vote each: no majority


@pytest.mark.parametrize("level", [-1e6, 0.0, 5.0, 1e3, 1e6])
def test_a_rate_is_a_number_however_far_the_level_is_from_the_background(level: float) -> None:
    background = np.random.default_rng(1).normal(-8, 0.01, 30).astype(np.float32)
    rate = tail_of(background, middle=6.0).rate(level, hours=3.0)
    assert 0 <= rate.low <= rate.expected <= rate.high
    assert np.isfinite([rate.low, rate.expected, rate.high]).all()


def test_the_default_times_are_those_of_the_config() -> None:
    config = EventsConfig()
    assert (TIMES.smoothing_s, TIMES.min_duration_s) == (config.smoothing_s, config.min_duration_s)
