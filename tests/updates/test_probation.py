import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.updates.probation import ProbationPolicy, comparable, evaluate_probation
from daemon.updates.state import BundleMetrics, Slot, UpdateState

POLICY = ProbationPolicy()


def bundle_metrics(
    moments: int = 500, errors: int = 0, p99_ms: float | None = 100.0, score: float | None = 0.8
) -> BundleMetrics:
    return BundleMetrics(moments=moments, errors=errors, p99_ms=p99_ms, mean_top_score=score)


NONE = bundle_metrics(0, 0, None, None)


@pytest.mark.parametrize(
    ("before", "now", "elapsed_s", "judged", "decision"),
    [
        (bundle_metrics(), bundle_metrics(499), 1, 0, "wait"),
        (bundle_metrics(), bundle_metrics(500), 1, 0, "confirm"),
        (bundle_metrics(), bundle_metrics(500, p99_ms=150.0), 1, 0, "confirm"),
        (bundle_metrics(), bundle_metrics(500, p99_ms=150.1), 1, 0, "wait"),
        (bundle_metrics(), bundle_metrics(999, p99_ms=90.0), 1, 1, "wait"),
        (bundle_metrics(), bundle_metrics(1000, p99_ms=90.0), 1, 1, "confirm"),
        (bundle_metrics(), bundle_metrics(5000, p99_ms=151.0), 600, 9, "revert"),
        (bundle_metrics(score=0.5), bundle_metrics(500, score=0.4), 1, 0, "confirm"),
        (bundle_metrics(score=0.5), bundle_metrics(500, score=0.39), 1, 0, "wait"),
        (bundle_metrics(), bundle_metrics(3, score=0.63), 600, 0, "revert"),
        (bundle_metrics(), bundle_metrics(3), 599.9, 0, "wait"),
        (bundle_metrics(), bundle_metrics(3), 600, 0, "confirm"),
        (bundle_metrics(), NONE, 600, 0, "wait"),
        (NONE, NONE, 600, 0, "confirm"),
        (NONE, bundle_metrics(500, p99_ms=9999.0, score=0.01), 1, 0, "confirm"),
        (NONE, bundle_metrics(1, 1), 0, 0, "revert"),
        (bundle_metrics(errors=0), bundle_metrics(1, 1), 0, 0, "revert"),
        (bundle_metrics(errors=5), bundle_metrics(10, 5), 0, 0, "wait"),
        (bundle_metrics(errors=5), bundle_metrics(10, 6), 0, 0, "revert"),
        (bundle_metrics(errors=5), bundle_metrics(1000, 10), 1, 1, "confirm"),
        (bundle_metrics(errors=5), bundle_metrics(1000, 11), 1, 1, "revert"),
        (bundle_metrics(moments=50, errors=1), bundle_metrics(500, 10), 1, 0, "confirm"),
    ],
)
def test_verdicts(before: BundleMetrics, now: BundleMetrics, elapsed_s: float, judged: int, decision: str) -> None:
    verdict = evaluate_probation(before, now, elapsed_s, judged, POLICY)
    assert verdict.decision == decision
    assert (verdict.reason is not None) == (decision == "revert")


def slot(name: str) -> Slot:
    return Slot(name=name, version="1.0.0", content="0" * 64, memory_mb=1)


@pytest.mark.parametrize(
    ("active", "previous", "base", "is_compared"),
    [
        ("digits", "digits", "home@1.0.0", True),
        ("digits", None, "digits@0.4.0", True),
        ("home", "digits", "home@1.0.0", False),
        ("home", None, "digits@0.4.0", False),
    ],
)
def test_latency_and_scores_are_compared_with_those_of_the_same_bundle(
    active: str, previous: str | None, base: str, is_compared: bool
) -> None:
    state = UpdateState(active=slot(active), previous=None if previous is None else slot(previous), base=base)
    before = bundle_metrics(errors=5)
    expected = before if is_compared else bundle_metrics(errors=5, p99_ms=None, score=None)
    assert comparable(state, before) == expected
    assert evaluate_probation(expected, bundle_metrics(10, 6), 0, 0, POLICY).decision == "revert"
    slow = evaluate_probation(expected, bundle_metrics(p99_ms=999.0, score=0.1), 600, 0, POLICY)
    assert slow.decision == ("revert" if is_compared else "confirm")


def some_metrics() -> st.SearchStrategy[BundleMetrics]:
    return st.builds(
        BundleMetrics,
        moments=st.integers(0, 9999),
        errors=st.integers(0, 99),
        p99_ms=st.none() | st.floats(0, 1e4),
        mean_top_score=st.none() | st.floats(0, 1),
    )


@given(some_metrics(), some_metrics(), st.floats(0, 1e4), st.integers(0, 30))
def test_at_the_end_there_is_a_verdict(
    before: BundleMetrics, now: BundleMetrics, elapsed_s: float, judged: int
) -> None:
    assume(now.moments > 0 or before.moments == 0)  # of silence nothing can be said
    assert evaluate_probation(before, now, POLICY.max_duration_s + elapsed_s, judged, POLICY).decision != "wait"


@given(some_metrics(), st.integers(1, 9999), st.floats(0, 1e4))
def test_a_bundle_with_the_same_metrics_is_never_reverted(
    before: BundleMetrics, moments: int, elapsed_s: float
) -> None:
    errors = before.errors * moments // before.moments if before.moments else 0
    now = before.model_copy(update={"moments": moments, "errors": errors})
    assert evaluate_probation(before, now, elapsed_s, 0, POLICY).decision != "revert"


@given(some_metrics(), some_metrics(), st.floats(0, 1e4))
def test_more_errors_never_help(before: BundleMetrics, now: BundleMetrics, elapsed_s: float) -> None:
    worse = now.model_copy(update={"errors": now.errors + 1})
    if evaluate_probation(before, now, elapsed_s, 0, POLICY).decision == "revert":
        assert evaluate_probation(before, worse, elapsed_s, 0, POLICY).decision == "revert"
