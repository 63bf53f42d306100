"""The status of a source follows its deliveries: examples, and properties for every sequence of events."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_S
from daemon.runtime.liveness import DELIVERS, REOPEN_EVERY_NS, Complaint, Expectation, Liveness

STALL_S, OPENING_S = 3, 5
DARK = Complaint("dark", reopens=True)
LOUD = Complaint("loud", reopens=False)


def watched(*expects: str) -> Liveness:
    expectation = Expectation(frozenset(expects or ("image",)), STALL_S * NS_PER_S, OPENING_S * NS_PER_S)
    liveness = Liveness(expectation, 0)
    liveness.on_opening(0)
    return liveness


SLOW = "; if it sends fewer, set stall_after_s to three times the seconds between two pictures"


def at(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_it_is_healthy_once_it_delivers_and_stalled_when_it_stops() -> None:
    source = watched()
    assert source.status.state == "recovering"
    source.on_delivery("image", None, at(1))
    assert (source.status.state, source.status.since_ns) == ("healthy", at(1))
    assert not source.check(at(3.9))
    assert source.check(at(4))
    assert (source.status.state, source.status.stalls) == ("stalled", 1)
    assert source.status.reason == f"no picture for 3 s{SLOW}"
    assert not source.check(at(9)), "it is closed once"
    source.on_delivery("image", None, at(9))
    assert source.status.state == "stalled", "it is being closed"
    source.on_return(None, at(10))
    assert (source.status.state, source.status.failures) == ("backing_off", 1)
    source.on_opening(at(11))
    source.on_delivery("image", None, at(12))
    assert (source.status.state, source.status.recoveries) == ("healthy", 1)
    assert source.status.reason == f"no picture for 3 s{SLOW}"


def test_an_open_source_without_deliveries_has_stalled() -> None:
    source = watched()
    assert not source.check(at(4.9))
    assert source.check(at(5))
    source.on_return("interrupted", at(6))
    assert (source.status.state, source.status.reason) == ("backing_off", "delivers nothing for 5 s")


def test_picture_and_sound_must_both_arrive() -> None:
    source = watched("image", "audio")
    source.on_delivery("audio", None, at(1))
    source.on_delivery("image", None, at(1))
    source.on_delivery("image", None, at(4))
    assert source.check(at(4.5))
    assert source.status.reason == "no sound for 3 s"


def test_a_camera_that_stops_has_no_advice() -> None:
    source = watched()
    for second in range(1, 4):
        source.on_delivery("image", None, at(second))
    assert source.check(at(6))
    assert source.status.reason == "no picture for 3 s"


def test_a_stalled_camera_with_one_picture_each_time_is_told_what_to_set() -> None:
    source = watched()
    reasons = []
    for picture_s in (1, 6, 11):
        source.on_opening(at(picture_s - 1))
        source.on_delivery("image", None, at(picture_s))
        assert source.check(at(picture_s + 3))
        reasons.append(source.status.reason)
        source.on_return(None, at(picture_s + 3))
    advice = "no picture for 3 s; if it sends one every 5 s, set stall_after_s to 15"
    assert reasons == [f"no picture for 3 s{SLOW}", advice, advice]


def test_two_openings_soon_after_each_other_do_not_tell_how_often_a_camera_sends() -> None:
    source = watched()
    source.on_opening(at(0))
    source.on_delivery("image", None, at(1))
    source.on_return("the stream has ended", at(1.1))
    source.on_opening(at(1.2))
    source.on_delivery("image", None, at(1.3))
    assert source.check(at(4.3))
    assert source.status.reason == f"no picture for 3 s{SLOW}"


def test_a_source_that_reports_its_stall_before_the_check_has_stalled() -> None:
    source = watched()
    source.on_delivery("image", None, at(1))
    source.on_delivery("image", None, at(2))
    assert source.on_return("no answer in time", at(5))
    assert (source.status.state, source.status.reason) == ("backing_off", "no picture for 3 s")
    assert (source.status.stalls, source.status.failures) == (1, 1)


def test_an_error_before_the_time_of_a_stall_keeps_its_reason() -> None:
    source = watched()
    source.on_delivery("image", None, at(1))
    assert source.on_return("the stream has ended", at(3.9))
    assert (source.status.reason, source.status.stalls) == ("the stream has ended", 0)


def test_a_modality_that_is_missing_from_the_start_degrades_and_reopens_the_source() -> None:
    source = watched("image", "audio")
    source.on_delivery("image", None, at(4))
    assert not source.check(at(4.9))
    source.on_delivery("image", None, at(5))
    assert source.check(at(5))
    assert (source.status.state, source.status.reason) == ("degraded", "no sound since it was opened")
    source.on_return(None, at(5))
    source.on_opening(at(5))
    source.on_delivery("image", None, at(6))
    assert source.status.state == "degraded"
    assert not source.check(at(7))
    source.on_delivery("audio", None, at(8))
    assert (source.status.state, source.status.failures, source.status.reopened) == ("healthy", 0, 1)


def test_a_degraded_source_is_used_and_reopened_at_most_every_ten_minutes() -> None:
    source = watched()
    reopened = []
    for second in range(2000):
        source.on_delivery("image", DARK, at(second))
        if source.check(at(second)):
            reopened.append(second)
            source.on_return(None, at(second))
            source.on_opening(at(second))
        else:
            assert source.status.state == "degraded"
    assert reopened == [0, 600, 1200, 1800]
    assert (source.status.reopened, source.status.failures) == (4, 0)
    source.on_delivery("image", None, at(2000))
    assert (source.status.state, source.status.reason) == ("healthy", "dark")


def test_a_problem_that_reopening_cannot_solve_is_only_reported() -> None:
    source = watched("audio", "image")
    source.on_delivery("audio", LOUD, at(1))
    source.on_delivery("image", None, at(1))
    assert (source.status.state, source.status.reason) == ("degraded", "loud")
    assert not source.check(at(2))
    source.on_delivery("image", DARK, at(2))
    assert source.status.reason == "dark; loud"


def test_without_an_expectation_only_failures_count() -> None:
    source = Liveness(None, 0)
    source.on_opening(0)
    source.on_delivery("image", None, 0)
    assert not source.check(at(1000))
    assert not source.on_return(None, at(1000))
    assert source.status.state == "healthy", "its last input may still be processed"
    source.on_end("ended", at(1001))
    assert source.status.state == "ended"


steps = st.lists(
    st.tuples(
        st.sampled_from(["image", "audio", "dark", "loud", "check", "fail", "pass"]),
        st.floats(0, 20).map(at),
    ),
    max_size=60,
)


@given(steps)
def test_counts_and_times_agree_after_any_events(events: list[tuple[str, int]]) -> None:
    """The test acts as the supervisor: a source that is closed returns, and one that failed is opened again."""
    source = watched("image", "audio")
    now_ns, reopened_at_ns = 0, []
    for what, later_ns in events:
        now_ns += later_ns
        before = source.status
        if what in ("image", "audio"):
            source.on_delivery(what, None, now_ns)
        elif what in ("dark", "loud"):
            source.on_delivery("image", DARK if what == "dark" else LOUD, now_ns)
        elif what == "check":
            if source.check(now_ns):
                if source.status.state in DELIVERS:
                    reopened_at_ns.append(now_ns)
                source.on_return(None, now_ns)
                source.on_opening(now_ns)
        elif what == "fail":
            source.on_return("failed", now_ns)
            source.on_opening(now_ns)
        after = source.status
        assert after.state not in ("ended", "stopped")
        assert after.since_ns <= now_ns
        assert after.stalls <= after.failures
        assert after.recoveries <= after.failures
        assert (after.state == before.state) or after.since_ns == now_ns
        assert after.state != "degraded" or after.reason
    assert all(b - a >= REOPEN_EVERY_NS for a, b in itertools.pairwise(reopened_at_ns))
    assert source.status.reopened == len(reopened_at_ns)


@pytest.mark.parametrize("silent_s", [3, 4, 60])
def test_a_stall_is_detected_at_the_first_check_after_its_time(silent_s: float) -> None:
    source = watched()
    source.on_delivery("image", None, at(1))
    source.on_delivery("image", None, at(1))
    assert source.check(at(1 + silent_s))
    assert source.status.reason == "no picture for 3 s"


def test_a_source_that_opens_slowly_gets_more_time_at_every_try() -> None:
    source, limits_s = watched(), []
    for _ in range(5):
        begun_ns = source.status.since_ns
        now_ns = begun_ns
        while not source.check(now_ns):
            now_ns += NS_PER_S
        limits_s.append((now_ns - begun_ns) // NS_PER_S)
        source.on_return(None, now_ns)
        source.on_opening(now_ns)
    assert limits_s == [5, 10, 20, 30, 30]
    source.on_delivery("image", None, source.status.since_ns)
    assert source.check(source.status.since_ns + at(3))


def test_a_suspended_program_blames_no_source() -> None:
    source = watched()
    source.on_delivery("image", None, at(1))
    source.excuse(at(60))
    assert not source.check(at(63))
    assert source.check(at(64))


def test_what_is_not_used_degrades_a_source_beside_its_content_and_opening_it_again_would_not_help() -> None:
    source = watched("image", "audio")
    source.on_delivery("image", LOUD, at(1))
    source.on_use("image", Complaint("unused", reopens=False), at(1))
    source.on_use("audio", Complaint("unheard", reopens=False), at(1))
    assert (source.status.state, source.status.reason) == ("degraded", "loud; unused; unheard")
    assert not source.check(at(2))
    source.on_delivery("image", None, at(2))
    source.on_use("audio", None, at(2))
    assert (source.status.state, source.status.reason) == ("degraded", "unused")
    source.on_use("image", None, at(2))
    assert source.status.state == "healthy"


def test_a_file_is_judged_by_its_use_too() -> None:
    source = Liveness(None, 0)
    source.on_opening(0)
    source.on_use("image", Complaint("unused", reopens=False), 0)
    assert source.status.state == "recovering", "it delivers nothing yet"
    source.on_delivery("image", None, at(1))
    source.on_use("image", Complaint("unused", reopens=False), at(1))
    assert (source.status.state, source.status.reason) == ("degraded", "unused")


def test_a_closed_source_has_no_use_to_complain_of() -> None:
    source = watched()
    source.on_delivery("image", None, at(1))
    source.on_use("image", Complaint("unused", reopens=False), at(1))
    source.on_pause(at(2))
    source.on_use("image", Complaint("unused", reopens=False), at(3))
    source.on_opening(at(4))
    source.on_delivery("image", None, at(5))
    assert source.status.state == "healthy"
