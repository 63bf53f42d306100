import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.updates.policy import ProbationRules, judge
from daemon.updates.state import Vitals

RULES = ProbationRules()


def vitals(moments: int = 500, errors: int = 0, p99_ms: float | None = 100.0, score: float | None = 0.8) -> Vitals:
    return Vitals(moments=moments, errors=errors, p99_ms=p99_ms, mean_top_score=score)


NONE = vitals(0, 0, None, None)


@pytest.mark.parametrize(
    ("before", "now", "elapsed_s", "judged", "decision"),
    [
        (vitals(), vitals(499), 1, 0, "wait"),
        (vitals(), vitals(500), 1, 0, "keep"),
        (vitals(), vitals(500, p99_ms=150.0), 1, 0, "keep"),
        (vitals(), vitals(500, p99_ms=150.1), 1, 0, "wait"),
        (vitals(), vitals(999, p99_ms=90.0), 1, 1, "wait"),
        (vitals(), vitals(1000, p99_ms=90.0), 1, 1, "keep"),
        (vitals(), vitals(5000, p99_ms=151.0), 600, 9, "back"),
        (vitals(score=0.5), vitals(500, score=0.4), 1, 0, "keep"),
        (vitals(score=0.5), vitals(500, score=0.39), 1, 0, "wait"),
        (vitals(), vitals(3, score=0.63), 600, 0, "back"),
        (vitals(), vitals(3), 599.9, 0, "wait"),
        (vitals(), vitals(3), 600, 0, "keep"),
        (vitals(), NONE, 600, 0, "wait"),
        (NONE, NONE, 600, 0, "keep"),
        (NONE, vitals(500, p99_ms=9999.0, score=0.01), 1, 0, "keep"),
        (NONE, vitals(1, 1), 0, 0, "back"),
        (vitals(errors=0), vitals(1, 1), 0, 0, "back"),
        (vitals(errors=5), vitals(10, 5), 0, 0, "wait"),
        (vitals(errors=5), vitals(10, 6), 0, 0, "back"),
        (vitals(errors=5), vitals(1000, 10), 1, 1, "keep"),
        (vitals(errors=5), vitals(1000, 11), 1, 1, "back"),
        (vitals(moments=50, errors=1), vitals(500, 10), 1, 0, "keep"),
    ],
)
def test_verdicts(before: Vitals, now: Vitals, elapsed_s: float, judged: int, decision: str) -> None:
    verdict = judge(before, now, elapsed_s, judged, RULES)
    assert verdict.decision == decision
    assert (verdict.reason is not None) == (decision == "back")


def some_vitals() -> st.SearchStrategy[Vitals]:
    numbers = st.none() | st.floats(0, 1e4)
    return st.builds(
        Vitals, moments=st.integers(0, 9999), errors=st.integers(0, 99), p99_ms=numbers, mean_top_score=numbers
    )


@given(some_vitals(), some_vitals(), st.floats(0, 1e4), st.integers(0, 30))
def test_when_the_time_is_over_there_is_a_verdict(before: Vitals, now: Vitals, elapsed_s: float, judged: int) -> None:
    assume(now.moments > 0 or before.moments == 0)  # of silence nothing can be said
    assert judge(before, now, RULES.longest_s + elapsed_s, judged, RULES).decision != "wait"


@given(some_vitals(), st.integers(1, 9999), st.floats(0, 1e4))
def test_a_bundle_that_does_the_same_is_never_sent_back(before: Vitals, moments: int, elapsed_s: float) -> None:
    errors = before.errors * moments // before.moments if before.moments else 0
    now = before.model_copy(update={"moments": moments, "errors": errors})
    assert judge(before, now, elapsed_s, 0, RULES).decision != "back"


@given(some_vitals(), some_vitals(), st.floats(0, 1e4))
def test_more_errors_never_help(before: Vitals, now: Vitals, elapsed_s: float) -> None:
    worse = now.model_copy(update={"errors": now.errors + 1})
    if judge(before, now, elapsed_s, 0, RULES).decision == "back":
        assert judge(before, worse, elapsed_s, 0, RULES).decision == "back"
