"""Probation: decides whether a new active bundle works as well as the one before it."""

from dataclasses import dataclass
from typing import Literal

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.updates.state import BundleMetrics, UpdateState
from daemon.updates.steps import Host

# a p99 latency above this multiple of the old one comes from a slower bundle, not from a busier moment
MAX_LATENCY_RATIO = 1.5

# both bundles see the same scenes: a mean top score below this part of the old one means that less is recognised
MIN_SCORE_RATIO = 0.8

# A taught label takes a part of the score of the others, so the top score may fall to the half of what it was. It does
# not fall below, unless several labels share what one alone had, or the base recognises something else than before.
MIN_TAUGHT_SCORE_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class ProbationPolicy:
    """A bundle is evaluated after each `window_moments` moments, and for the last time after `max_duration_s`."""

    window_moments: int = 500
    max_duration_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Confirm the bundle, revert to the previous one because of `reason`, or wait for more moments."""

    decision: Literal["confirm", "revert", "wait"]
    reason: str | None = None


class ProbationWatch:
    """Watches the active bundle from now on. After a restart of the daemon its time begins anew."""

    def __init__(self, host: Host, policy: ProbationPolicy) -> None:
        self._host = host
        self._policy = policy
        self._began_ns = monotonic_ns()
        self._windows_evaluated = 0

    def evaluate(self, before: BundleMetrics, min_score_ratio: float = MIN_SCORE_RATIO) -> Verdict:
        """The verdict at this moment; `before` are the metrics of the previous bundle."""
        metrics = self._host.bundle_metrics()
        elapsed_s = (monotonic_ns() - self._began_ns) / NS_PER_S
        verdict = evaluate_probation(
            before, metrics, elapsed_s, self._windows_evaluated, self._policy, min_score_ratio=min_score_ratio
        )
        self._windows_evaluated = max(self._windows_evaluated, metrics.moments // self._policy.window_moments)
        return verdict


def comparable(state: UpdateState, before: BundleMetrics) -> BundleMetrics:
    """Return what of the previous bundle's metrics the active one is compared with. Pure.

    A bundle of another name recognises other things, with other models: neither its latency nor its scores say that
    something is wrong.
    """
    previous = state.base if state.previous is None else state.previous.id
    if state.active is None or previous is None or previous.partition("@")[0] == state.active.name:
        return before
    return before.model_copy(update={"p99_ms": None, "mean_top_score": None})


def evaluate_probation(
    before: BundleMetrics,
    now: BundleMetrics,
    elapsed_s: float,
    windows_evaluated: int,
    policy: ProbationPolicy,
    *,
    min_score_ratio: float = MIN_SCORE_RATIO,
) -> Verdict:
    """The verdict on a bundle that became active `elapsed_s` ago. Pure.

    `before` are the metrics of the previous bundle, `now` those of the active one.
    `windows_evaluated` full windows have been evaluated already. The mean top score must reach `min_score_ratio` of
    that before.
    """
    # errors are not waited out; latency and score may still improve
    if reason := _more_errors(before, now, policy.window_moments):
        return Verdict("revert", reason)
    if now.moments == 0 < before.moments:
        return Verdict("wait")  # all streams are paused, or have no source
    is_over = elapsed_s >= policy.max_duration_s
    if not is_over and now.moments // policy.window_moments <= windows_evaluated:
        return Verdict("wait")
    reason = _slower(before, now) or _weaker(before, now, min_score_ratio)
    if reason is None:
        return Verdict("confirm")
    return Verdict("revert", reason) if is_over else Verdict("wait")


def _more_errors(before: BundleMetrics, now: BundleMetrics, window_moments: int) -> str | None:
    # in the first window the errors of a full window are allowed; after it, the old rate of errors counts
    allowed = before.errors * max(now.moments, window_moments) / max(before.moments, 1)
    if before.errors == 0 or before.moments == 0:
        allowed = 0
    if now.errors <= allowed:
        return None
    return (
        f"{_count_of(now.errors, 'error')} in {_count_of(now.moments, 'moment')},"
        f" the previous bundle had {before.errors} in {before.moments}"
    )


def _slower(before: BundleMetrics, now: BundleMetrics) -> str | None:
    if before.p99_ms is None or now.p99_ms is None or now.p99_ms <= MAX_LATENCY_RATIO * before.p99_ms:
        return None
    limit = f"more than {MAX_LATENCY_RATIO:g} times the {before.p99_ms:.0f} ms before"
    return f"p99 latency is {now.p99_ms:.0f} ms, {limit}"


def _weaker(before: BundleMetrics, now: BundleMetrics, min_ratio: float) -> str | None:
    if before.mean_top_score is None or now.mean_top_score is None:
        return None
    if now.mean_top_score >= min_ratio * before.mean_top_score:
        return None
    return (
        f"the mean top score is {now.mean_top_score:.2f}, less than {min_ratio:g} times the"
        f" {before.mean_top_score:.2f} before"
    )


def _count_of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
