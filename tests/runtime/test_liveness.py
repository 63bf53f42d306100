"""A source is judged by what it delivers: by table, and by what must hold whatever happens to it."""

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
    watch = Expectation(frozenset(expects or ("image",)), STALL_S * NS_PER_S, OPENING_S * NS_PER_S)
    liveness = Liveness(watch, 0)
    liveness.opens(0)
    return liveness


def at(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_it_is_healthy_once_it_delivers_and_stalled_when_it_ceases_to() -> None:
    source = watched()
    assert source.status.state == "recovering"
    source.delivers("image", None, at(1))
    assert (source.status.state, source.status.since_ns) == ("healthy", at(1))
    assert not source.looks(at(3.9))
    assert source.looks(at(4))
    assert (source.status.state, source.status.reason, source.status.stalls) == ("stalled", "no picture for 3 s", 1)
    assert not source.looks(at(9)), "it is asked to close once"
    source.delivers("image", None, at(9))
    assert source.status.state == "stalled", "it is being closed"
    source.returns(None, at(10))
    assert (source.status.state, source.status.failures) == ("backing_off", 1)
    source.opens(at(11))
    source.delivers("image", None, at(12))
    assert (source.status.state, source.status.recoveries) == ("healthy", 1)
    assert source.status.reason == "no picture for 3 s"


def test_what_is_opened_and_delivers_nothing_has_stalled() -> None:
    source = watched()
    assert not source.looks(at(4.9))
    assert source.looks(at(5))
    source.returns("interrupted", at(6))
    assert (source.status.state, source.status.reason) == ("backing_off", "delivers nothing for 5 s")


def test_each_of_picture_and_sound_must_come() -> None:
    source = watched("image", "audio")
    source.delivers("audio", None, at(1))
    source.delivers("image", None, at(1))
    source.delivers("image", None, at(4))
    assert source.looks(at(4.5))
    assert source.status.reason == "no sound for 3 s"


def test_what_is_missing_from_the_beginning_degrades_and_is_looked_for_again() -> None:
    source = watched("image", "audio")
    source.delivers("image", None, at(4))
    assert not source.looks(at(4.9))
    source.delivers("image", None, at(5))
    assert source.looks(at(5))
    assert (source.status.state, source.status.reason) == ("degraded", "no sound since it was opened")
    source.returns(None, at(5))
    source.opens(at(5))
    source.delivers("image", None, at(6))
    assert source.status.state == "degraded"
    assert not source.looks(at(7))
    source.delivers("audio", None, at(8))
    assert (source.status.state, source.status.failures, source.status.reopened) == ("healthy", 0, 1)


def test_what_looks_wrong_is_used_and_opened_again_at_most_every_ten_minutes() -> None:
    source = watched()
    reopened = []
    for second in range(2000):
        source.delivers("image", DARK, at(second))
        if source.looks(at(second)):
            reopened.append(second)
            source.returns(None, at(second))
            source.opens(at(second))
        else:
            assert source.status.state == "degraded"
    assert reopened == [0, 600, 1200, 1800]
    assert (source.status.reopened, source.status.failures) == (4, 0)
    source.delivers("image", None, at(2000))
    assert (source.status.state, source.status.reason) == ("healthy", "dark")


def test_what_opening_again_cannot_help_is_only_said() -> None:
    source = watched("audio", "image")
    source.delivers("audio", LOUD, at(1))
    source.delivers("image", None, at(1))
    assert (source.status.state, source.status.reason) == ("degraded", "loud")
    assert not source.looks(at(2))
    source.delivers("image", DARK, at(2))
    assert source.status.reason == "dark; loud"


def test_without_a_watch_only_failures_count() -> None:
    source = Liveness(None, 0)
    source.opens(0)
    source.delivers("image", None, 0)
    assert not source.looks(at(1000))
    assert not source.returns(None, at(1000))
    assert source.status.state == "healthy", "what follows from its end may take a while"
    source.ends("ended", at(1001))
    assert source.status.state == "ended"


steps = st.lists(
    st.tuples(
        st.sampled_from(["image", "audio", "dark", "loud", "look", "fail", "pass"]),
        st.floats(0, 20).map(at),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_counts_and_times_agree(happenings: list[tuple[str, int]]) -> None:
    """The supervisor's part is played: what is asked to close returns, what has failed is opened again."""
    source = watched("image", "audio")
    now_ns, reopened_at_ns = 0, []
    for what, later_ns in happenings:
        now_ns += later_ns
        before = source.status
        if what in ("image", "audio"):
            source.delivers(what, None, now_ns)
        elif what in ("dark", "loud"):
            source.delivers("image", DARK if what == "dark" else LOUD, now_ns)
        elif what == "look":
            if source.looks(now_ns):
                if source.status.state in DELIVERS:
                    reopened_at_ns.append(now_ns)
                source.returns(None, now_ns)
                source.opens(now_ns)
        elif what == "fail":
            source.returns("failed", now_ns)
            source.opens(now_ns)
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
def test_a_stall_is_seen_at_the_first_look_after_its_time(silent_s: float) -> None:
    source = watched()
    source.delivers("image", None, at(1))
    assert source.looks(at(1 + silent_s))
    assert source.status.reason == "no picture for 3 s"


def test_what_opens_slowly_is_given_more_time_at_every_try() -> None:
    source, limits_s = watched(), []
    for _ in range(5):
        begun_ns = source.status.since_ns
        now_ns = begun_ns
        while not source.looks(now_ns):
            now_ns += NS_PER_S
        limits_s.append((now_ns - begun_ns) // NS_PER_S)
        source.returns(None, now_ns)
        source.opens(now_ns)
    assert limits_s == [5, 10, 20, 30, 30]
    source.delivers("image", None, source.status.since_ns)
    assert source.looks(source.status.since_ns + at(3))


def test_a_program_that_was_held_up_blames_no_source() -> None:
    source = watched()
    source.delivers("image", None, at(1))
    source.excuses(at(60))
    assert not source.looks(at(63))
    assert source.looks(at(64))
