"""The moment that shows an event: in the middle of those in which its label scored highest."""

from collections.abc import Sequence

import numpy as np
import pytest

from daemon.core.records import Embedding, Moment, Recognition
from daemon.core.timing import NS_PER_S
from daemon.node.history_peak import MAX_NEAR, HistoryPeak, picture_ns
from tests.node.test_history_following import SETTINGS, event, follow, following, recognition


def at(time_s: float, score: float = 0.9, **captured_s: float) -> Recognition:
    vector = np.zeros(2, np.float32)
    embeddings = {
        name: Embedding(name, vector, round(each * NS_PER_S), round(each * NS_PER_S))
        for name, each in captured_s.items()
    }
    scores = np.array([1 - score, score, 0], np.float32)
    return Recognition(Moment(round(time_s * NS_PER_S), embeddings), scores, np.zeros(3, np.float32), {})


@pytest.mark.parametrize(
    ("scores", "middle"),
    [
        ([0.9], 0),
        # the first one may be half in view
        ([0.9, 0.9], 1),
        ([0.1, 0.5, 0.9, 0.5, 0.1], 2),
        ([0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1], 3),
        # the highest one is at an edge
        ([0.1, 0.91, 0.905, 0.905, 0.905, 0.905, 0.1], 3),
        ([0.1, 0.905, 0.905, 0.905, 0.905, 0.91, 0.1], 3),
        # what was high before a higher one counts no more
        ([0.8, 0.8, 0.8, 0.9, 0.905, 0.9], 4),
        ([0.9, 0.9, 0.95, 0.95, 0.95, 0.9, 0.9], 3),
        # it creeps
        ([0.900, 0.906, 0.912, 0.918, 0.924], 4),
        # a moment without it lies between
        ([0.9, 0.9, 0.2, 0.9, 0.9, 0.9], 3),
        # five minutes: the middle of its first four seconds, whose pictures the ring still has
        ([0.9] * 3000, 20),
    ],
)
def test_the_peak_is_in_the_middle_of_the_moments_that_score_as_high(scores: Sequence[float], middle: int) -> None:
    peak = HistoryPeak(1)
    for number, score in enumerate(scores):
        peak.consider(at(number / 10, score))
    assert peak.recognition is not None
    assert peak.recognition.moment.time_ns == round(middle / 10 * NS_PER_S)


def test_a_fast_stream_has_bounded_moments() -> None:
    peak = HistoryPeak(1)
    for number in range(10_000):
        peak.consider(at(number / 1000))
    assert peak.recognition is not None
    assert peak.recognition.moment.time_ns == MAX_NEAR // 2 * NS_PER_S // 1000


def test_the_picture_of_a_moment_is_the_one_that_was_recognised() -> None:
    assert picture_ns(at(3.0, audio=3.0, image=2.5), SETTINGS) == round(2.5 * NS_PER_S)
    assert picture_ns(at(3.0, audio=3.0), SETTINGS) == 3 * NS_PER_S


def test_of_an_event_at_whose_edges_the_label_scores_highest_the_middle_is_shown() -> None:
    stream = following()
    steps = [recognition(10 + number / 10, dog=0.9 if 0 < number < 9 else 0.905) for number in range(10)]
    follow(stream, *steps[:3], event("start", 10.3), *steps[3:], event("end", 11.5, ended_by="absent"))
    (found,) = stream.take()
    assert found.peak_ns == found.picture_ns == round(10.5 * NS_PER_S)
