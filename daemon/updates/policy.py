"""Whether a bundle that has just taken over does as well as the one before it. Pure."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.manifest import Number

SLOWER = 1.5
"""Times the old p99 latency: more is a slower bundle rather than a busier moment."""

WEAKER = 0.8
"""Times the old mean top score: less is a bundle that recognises less, for the same scenes follow each other."""

Count = Annotated[int, Field(ge=0)]


class Vitals(BaseModel):
    """How a bundle does: of its latest moments, at most a window of them, or of all since it took over.

    `p99_ms` is the latency from capture to recognition, `mean_top_score` the mean of the highest score of each moment;
    None where there is no moment to tell from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    moments: Count
    errors: Count
    p99_ms: Annotated[Number, Field(ge=0)] | None
    mean_top_score: Annotated[Number, Field(ge=0)] | None


@dataclass(frozen=True, slots=True)
class ProbationRules:
    """A bundle is judged after so many moments, and again after each so many more; after `longest_s` for good."""

    window_moments: int = 500
    longest_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """To keep the bundle, to go back and why, or to wait."""

    decision: Literal["keep", "back", "wait"]
    reason: str | None = None


def judge(before: Vitals, now: Vitals, elapsed_s: float, windows_judged: int, rules: ProbationRules) -> Verdict:
    """The verdict on a bundle that took over `elapsed_s` ago and was judged after so many whole windows already.

    A bundle with more errors goes at once; one that is slow or weak may yet recover until the time is over.
    """
    if reason := _more_errors(before, now, rules.window_moments):
        return Verdict("back", reason)
    if now.moments == 0 < before.moments:
        return Verdict("wait")  # nothing was seen of it: paused, or without a source
    over = elapsed_s >= rules.longest_s
    if not over and now.moments // rules.window_moments <= windows_judged:
        return Verdict("wait")
    reason = _slower(before, now) or _weaker(before, now)
    if reason is None:
        return Verdict("keep")
    return Verdict("back", reason) if over else Verdict("wait")


def _more_errors(before: Vitals, now: Vitals, window_moments: int) -> str | None:
    # as many as the old one makes in a whole window may come at once; beyond it, what counts is their rate
    allowed = before.errors * max(now.moments, window_moments) / max(before.moments, 1)
    if before.errors == 0 or before.moments == 0:
        allowed = 0
    if now.errors <= allowed:
        return None
    return (
        f"{_times(now.errors, 'error')} in {_times(now.moments, 'moment')},"
        f" where the one before had {before.errors} in {before.moments}"
    )


def _slower(before: Vitals, now: Vitals) -> str | None:
    if before.p99_ms is None or now.p99_ms is None or now.p99_ms <= SLOWER * before.p99_ms:
        return None
    return f"p99 latency is {now.p99_ms:.0f} ms, more than {SLOWER:g} times the {before.p99_ms:.0f} ms before"


def _weaker(before: Vitals, now: Vitals) -> str | None:
    if before.mean_top_score is None or now.mean_top_score is None:
        return None
    if now.mean_top_score >= WEAKER * before.mean_top_score:
        return None
    return (
        f"the mean top score is {now.mean_top_score:.2f}, less than {WEAKER:g} times the"
        f" {before.mean_top_score:.2f} before"
    )


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
