"""Whether a bundle that has just taken over does as well as the one before it. Pure."""

import random
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from daemon.bundle.release import Offer, version_key
from daemon.core.timing import Backoff
from daemon.updates.state import BundleMetrics, UpdateState
from daemon.updates.transitions import rebase, revert_to_built_in

SLOWER = 1.5
"""Times the old p99 latency: more is a slower bundle rather than a busier moment."""

WEAKER = 0.8
"""Times the old mean top score: less is a bundle that recognises less, for the same scenes follow each other."""


@dataclass(frozen=True, slots=True)
class ProbationPolicy:
    """A bundle is judged after so many moments, and again after each so many more; after `longest_s` for good."""

    window_moments: int = 500
    longest_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """To keep the bundle, to go back and why, or to wait."""

    decision: Literal["keep", "back", "wait"]
    reason: str | None = None


def evaluate_probation(
    before: BundleMetrics, now: BundleMetrics, elapsed_s: float, windows_judged: int, rules: ProbationPolicy
) -> Verdict:
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


def _more_errors(before: BundleMetrics, now: BundleMetrics, window_moments: int) -> str | None:
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


def _slower(before: BundleMetrics, now: BundleMetrics) -> str | None:
    if before.p99_ms is None or now.p99_ms is None or now.p99_ms <= SLOWER * before.p99_ms:
        return None
    return f"p99 latency is {now.p99_ms:.0f} ms, more than {SLOWER:g} times the {before.p99_ms:.0f} ms before"


def _weaker(before: BundleMetrics, now: BundleMetrics) -> str | None:
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


@dataclass(frozen=True, slots=True)
class BuiltInBundle:
    """The config's own bundle: the one that runs unless another was activated, and the last resort."""

    id: str
    directory: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.partition("@")[0]

    @property
    def version(self) -> str:
        """Its version."""
        return self.id.partition("@")[2]


def active_id(state: UpdateState, built_in: BuiltInBundle) -> str:
    """Name and version of the bundle that runs."""
    return built_in.id if state.active is None else state.active.id


def newer_offer(state: UpdateState, built_in: BuiltInBundle, perceptd: str) -> Offer | None:
    """The newest release of the active bundle's name that this version of the program can run, if newer."""
    name, _, version = active_id(state, built_in).partition("@")
    newer = [offer for offer in state.available if offer.name == name and _can_replace(offer, version, perceptd)]
    return max(newer, key=lambda offer: version_key(offer.version), default=None)


def newest_offer(state: UpdateState, built_in: BuiltInBundle, name: str, perceptd: str) -> Offer | None:
    """The newest release of a name to install where no version is named; of the active bundle's name a newer one."""
    if name == active_id(state, built_in).partition("@")[0]:
        return newer_offer(state, built_in, perceptd)
    known = [offer for offer in state.available if offer.name == name and _is_for(offer, perceptd)]
    return max(known, key=lambda offer: version_key(offer.version), default=None)


def automatic_offer(state: UpdateState, built_in: BuiltInBundle, perceptd: str) -> Offer | None:
    """The release to install by itself: the newest, unless the active one is pinned.

    Where versions were refused, only what is newer than all of them: who went back does not want the one between.
    """
    offer = None if state.pinned else newer_offer(state, built_in, perceptd)
    if offer is None:
        return None
    refused = [refusal.id.partition("@") for refusal in state.refused]
    versions = [version_key(version) for name, _, version in refused if name == offer.name]
    return offer if all(version_key(offer.version) > version for version in versions) else None


def apply_config(state: UpdateState, built_in: BuiltInBundle) -> tuple[UpdateState, str | None]:
    """What is active when the daemon starts with this bundle of its config, and what there is to say of it.

    Another one than was there before wins, for somebody changed it, unless it is only an older version.
    """
    if state.active is None or state.base == built_in.id:
        return state, None
    if built_in.name == state.active.name and version_key(built_in.version) < version_key(state.active.version):
        return rebase(state, built_in.id), None
    remark = f"the config's bundle is {built_in.id} now, it was {state.base}: it takes over from {state.active.id}"
    return revert_to_built_in(state), remark


def _can_replace(offer: Offer, version: str, perceptd: str) -> bool:
    return version_key(offer.version) > version_key(version) and _is_for(offer, perceptd)


def _is_for(offer: Offer, perceptd: str) -> bool:
    return version_key(offer.needs_perceptd) <= version_key(perceptd)


HOUR_S = 3600.0
FIRST_RETRY_S = 60.0
"""A network that is away comes back in minutes; a first look waits as long, for the node to settle."""


class Schedule:
    """The next look at the source; instants are seconds of a clock that is never set."""

    def __init__(self, period_s: float, now_s: float) -> None:
        """The first look comes within an hour, or within the period where that is shorter."""
        self._period_s = period_s
        self._backoff = Backoff(FIRST_RETRY_S, period_s)
        first_s = min(HOUR_S, period_s)
        self._due_s = now_s + _between(min(FIRST_RETRY_S, first_s), first_s)

    def is_due(self, now_s: float) -> bool:
        """Whether to look now."""
        return now_s >= self._due_s

    def ask(self, now_s: float) -> None:
        """Somebody wants a look now."""
        self._due_s = now_s

    def settled(self, now_s: float) -> None:
        """A look found what there is to know: the next one comes after a period, give or take a quarter."""
        self._backoff.reset()
        self._due_s = now_s + self._period_s * _between(0.75, 1.25)

    def failed(self, now_s: float) -> None:
        """A look, or what it led to, failed for now: the next one comes sooner, but later each time."""
        self._due_s = now_s + self._backoff.next_s()


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311  (spreads load, keeps no secret)


CLOCK_SLACK_S = 60.0
"""A clock that is set is put back by less now and then."""


def clock_problem(now_s: float, seen_s: float) -> str | None:
    """Why the clock cannot be right, which says `now_s` where it was `seen_s` before; None if it can."""
    if now_s >= seen_s - CLOCK_SLACK_S:
        return None
    return f"the clock says {_words(now_s)}, before {_words(seen_s)}: waiting for it to be set"


def _words(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s, timezone.utc):%Y-%m-%d %H:%M}"
