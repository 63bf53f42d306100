"""Each event of a stream is matched with one digit, and the stream of digits follows its plan."""

from itertools import pairwise

import numpy as np
import pytest
from evaluation.stream_digits import COUNT, LENGTH_S, PAUSE_S, Pool, captured, plan
from evaluation.stream_frames import SCENE_S, empty_frames
from evaluation.stream_score import GRACE_S, ReportedEvent, Shown, score

from daemon.core.records import Block, Frame, Line
from daemon.core.timing import NS_PER_S

THREE = Shown("3", 1.0, 2.0, ("image",))
SEVEN = Shown("7", 4.0, 5.0, ("audio",))


def test_an_event_matches_from_the_onset_until_shortly_after_the_end() -> None:
    for started_s, right in ((0.99, False), (1.0, True), (2.0 + GRACE_S, True), (2.01 + GRACE_S, False)):
        result = score([THREE], [ReportedEvent("3", started_s, started_s + 0.2)])
        assert bool(result.found) == right
        assert bool(result.missed) != right
        assert bool(result.false) != right


def test_every_digit_has_one_event_and_all_others_are_false() -> None:
    first, again, wrong = ReportedEvent("3", 1.2, 1.4), ReportedEvent("3", 1.8, 2.0), ReportedEvent("1", 4.1, 4.3)
    result = score([THREE, SEVEN], [again, wrong, first])
    assert result.found == [(THREE, first)]
    assert result.missed == [SEVEN]
    assert result.false == [again, wrong]
    assert result.f1 == pytest.approx(2 / (2 + 1 + 2))


def test_delays_count_from_the_onset_and_are_grouped_by_modalities() -> None:
    result = score(
        [THREE, SEVEN], [ReportedEvent("3", 1.25, 1.5), ReportedEvent("7", 4.5, 4.75), ReportedEvent("7", 9.0, 9.5)]
    )
    assert (result.reported_after_s(), result.started_after_s()) == ([0.5, 0.75], [0.25, 0.5])
    heard = result.of(("audio",))
    assert (heard.reported_after_s(), heard.missed, heard.false) == ([0.75], [], [])


def test_two_equal_digits_share_no_event() -> None:
    later = Shown("3", 2.5, 3.5, ("image",))
    within_both = [ReportedEvent("3", 2.6, 2.8), ReportedEvent("3", 2.7, 2.9)]
    result = score([later, THREE], within_both)
    assert result.found == [(THREE, within_both[0]), (later, within_both[1])]
    assert score([], []).f1 == 0


def test_the_plan_fits_into_ten_minutes_without_overlap() -> None:
    shown = plan(np.random.default_rng(1))
    assert len(shown) == COUNT
    assert shown[-1].end_s + PAUSE_S[0] < LENGTH_S
    pauses_s = [after.onset_s - before.end_s for before, after in pairwise(shown)]
    assert min(pauses_s) >= PAUSE_S[0]
    assert len({digit.modalities for digit in shown}) == 7


def test_captured_items_are_in_order_and_show_each_digit_at_its_time() -> None:
    shown = [Shown("3", 1.0, 2.0, ("image", "text")), Shown("7", 4.0, 5.0, ("audio",))]
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 10:18] = 255
    pool = Pool([[bar]] * 10, [[np.ones(4000, np.float32)]] * 10, [[f"room {n}"] for n in range(10)], 8000)
    items = list(captured(shown, pool, 6.0, np.random.default_rng(2)))
    ends_ns = [item.end_ns if isinstance(item, Block) else item.captured_ns for item in items]
    assert ends_ns == sorted(ends_ns)
    assert [item for item in items if isinstance(item, Line)] == [Line("room 3", NS_PER_S)]
    brightness = [(item.captured_ns / NS_PER_S, item.planes[0].mean()) for item in items if isinstance(item, Frame)]
    # the first scene lasts until the middle of the pause
    there = [at_s for at_s, mean in brightness if at_s < 3.0 and abs(mean - brightness[0][1]) > 0.1]
    assert (len(brightness), there[0], there[-1], len(there)) == (60, 1.0, 1.9, 10)
    loud = [item.start_ns / NS_PER_S for item in items if isinstance(item, Block) and item.samples.mean() > 0.5]
    assert (min(loud), len(loud)) == (4.0, 25)


def test_frames_without_a_digit_are_the_same_for_the_same_seed() -> None:
    first, again = (list(empty_frames(8 * SCENE_S, 1 / SCENE_S, [], 3)) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len({frame.tobytes() for frame in first}) == 8
