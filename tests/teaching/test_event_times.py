"""The times of events: a fit judges presses, and sets thresholds, as each stream smooths its scores."""

from dataclasses import replace

import numpy as np
import pytest

from daemon.teaching.fit import fit
from daemon.teaching.report import Rate
from daemon.teaching.rows import EventTimes, LabelToFit
from daemon.teaching.telling import rate_text
from tests.helpers.taught_world import World, training_set
from tests.teaching.test_fit import PRESS, ROOM, bells, no_base


def test_each_stream_has_the_times_of_its_own_events() -> None:
    world = World(4)
    presses = [
        world.example(f"{stream}-{place}", "bell", PRESS, stream=stream, taken_s=place * 3600.0)
        for place in range(4)
        for stream in ("hall", "yard")
    ]
    background = [*world.background(60, ROOM), *world.background(60, ROOM, stream="yard")]
    labels = [LabelToFit("bell", frozenset({"hall", "yard"}))]
    times = {"hall": {}, "yard": {"min_duration_s": 3}, "other": {"smoothing_s": 9}}
    training = training_set([], presses, background, labels=labels)
    found = fit(training, no_base).report.labels[0]
    assert (found.found, found.tried) == (8, 8)
    events = {stream: EventTimes(**each) for stream, each in times.items()}
    fitted = fit(replace(training, events=events), no_base)
    report = fitted.report.labels[0]
    assert (report.found, report.tried) == (4, 8), "no press of the yard lasts for 3 s"
    warning = "4 of its presses are too short for smoothing_s and min_duration_s of hall and yard: make them smaller"
    assert warning in report.warnings


def test_a_threshold_follows_the_smoothing_of_its_stream_as_far_as_false_alarms_allow() -> None:
    world = World(4, noise=0.01)
    smooth = {"hall": EventTimes(smoothing_s=1.0)}
    training = training_set(["bell"], bells(world), world.background(200, ROOM))
    default, smoothed = (fit(replace(training, events=events), no_base) for events in ({}, smooth))
    report = smoothed.report.labels[0]
    assert report.found == 5
    assert smoothed.labels["bell"].streams["hall"].start < default.labels["bell"].streams["hall"].start
    assert report.false_alarms_a_day is not None
    assert report.false_alarms_a_day.expected < 1.1
    np.testing.assert_array_equal(smoothed.weights, default.weights)


@pytest.mark.parametrize(
    ("expected", "high", "text"),
    [
        (0.4, 1.2, "Expected false alarms a day: 0.4 (0.2 to 1.2), from 26 h of background."),
        (0.004, 0.3, "Expected false alarms a day: under 0.01 (under 0.01 to 0.3), from 26 h of background."),
        (2e-69, 0.3, "Expected false alarms: less than one in a year, at most 0.3 a day, from 26 h of background."),
        (2e-69, 1e-60, "Expected false alarms: less than one in a year, from 26 h of background."),
    ],
)
def test_rare_false_alarms_are_told_in_words(expected: float, high: float, text: str) -> None:
    rate = Rate(expected=expected, low=expected / 2, high=high, hours=26.0)
    assert rate_text(rate) == text
