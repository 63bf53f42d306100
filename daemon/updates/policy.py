"""Decides which release is installed, and when the source is checked for releases. Pure but for random delays."""

import random
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from daemon.bundle.release import Offer, version_key
from daemon.core.timing import Backoff
from daemon.updates.state import UpdateState
from daemon.updates.transitions import rebase, revert_to_built_in

HOUR_S = 3600.0

# a network outage is often over in minutes; the first check also waits this long, so that the node can settle
FIRST_RETRY_S = 60.0

# time servers set a clock back by less than this
CLOCK_SLACK_S = 60.0


@dataclass(frozen=True, slots=True)
class BuiltInBundle:
    """The bundle that config.yaml names. It runs unless another one is active, and when no other can run."""

    id: str
    directory: Path

    @property
    def name(self) -> str:
        """The part of the id before @."""
        return self.id.partition("@")[0]

    @property
    def version(self) -> str:
        """The part of the id after @."""
        return self.id.partition("@")[2]


def active_id(state: UpdateState, built_in: BuiltInBundle) -> str:
    """The id of the bundle that runs, name@version."""
    return built_in.id if state.active is None else state.active.id


def newer_offer(state: UpdateState, built_in: BuiltInBundle, perceptd: str) -> Offer | None:
    """The newest release of the active bundle's name, if it is newer and runs with this version of perceptd."""
    name, _, version = active_id(state, built_in).partition("@")
    offer = _newest(state, name, perceptd)
    return offer if offer is not None and version_key(offer.version) > version_key(version) else None


def newest_offer(state: UpdateState, built_in: BuiltInBundle, name: str, perceptd: str) -> Offer | None:
    """The release to install if a request gives no version. For the active bundle's name it must be newer."""
    if name == active_id(state, built_in).partition("@")[0]:
        return newer_offer(state, built_in, perceptd)
    return _newest(state, name, perceptd)


def automatic_offer(state: UpdateState, built_in: BuiltInBundle, perceptd: str) -> Offer | None:
    """The release to install without a request: the newest, unless the active bundle is pinned."""
    offer = None if state.pinned else newer_offer(state, built_in, perceptd)
    if offer is None:
        return None
    # a node that has refused a version, or rolled it back, does not install an older one instead
    refused = [refusal.id.partition("@") for refusal in state.refused]
    versions = [version_key(version) for name, _, version in refused if name == offer.name]
    return offer if all(version_key(offer.version) > version for version in versions) else None


def apply_config(state: UpdateState, built_in: BuiltInBundle) -> tuple[UpdateState, str | None]:
    """The state after a start with this bundle in config.yaml, and a remark for the log.

    If the configured bundle has changed it takes over, unless it is an older version of the active one.
    """
    if state.active is None or state.base == built_in.id:
        return state, None
    if built_in.name == state.active.name and version_key(built_in.version) < version_key(state.active.version):
        return rebase(state, built_in.id), None
    remark = f"config.yaml names {built_in.id} instead of {state.base}: it replaces {state.active.id}"
    return revert_to_built_in(state), remark


class Schedule:
    """When the source is checked next. Times are seconds of a monotonic clock."""

    def __init__(self, period_s: float, now_s: float) -> None:
        """The first check is due within an hour, or within the period if that is shorter."""
        self._period_s = period_s
        self._backoff = Backoff(FIRST_RETRY_S, period_s)
        first_s = min(HOUR_S, period_s)
        self._due_s = now_s + _between(min(FIRST_RETRY_S, first_s), first_s)

    def is_due(self, now_s: float) -> bool:
        """Whether to check now."""
        return now_s >= self._due_s

    def request(self, now_s: float) -> None:
        """Make a check due now."""
        self._due_s = now_s

    def succeed(self, now_s: float) -> None:
        """Plan the next check after one period, give or take a quarter."""
        self._backoff.reset()
        self._due_s = now_s + self._period_s * _between(0.75, 1.25)

    def fail(self, now_s: float) -> None:
        """Plan a retry; each one waits longer than the one before, up to the period."""
        self._due_s = now_s + self._backoff.next_s()


def clock_problem(now_s: float, seen_s: float) -> str | None:
    """Why the clock is wrong; None if it may be right.

    `now_s` is the wall time, `seen_s` the latest wall time at which signed metadata was valid.
    """
    if now_s >= seen_s - CLOCK_SLACK_S:
        return None
    return f"the clock says {_utc_text(now_s)}, before {_utc_text(seen_s)}: waiting for it to be set"


def plausible_seen_time(seen_s: float, valid_until_s: float | None) -> float:
    """The latest known wall time, or 0 if it cannot be one: the file that stores it was changed.

    `valid_until_s` is the expiry of the cached timestamp metadata, which was valid at that time; None: not known.
    """
    return 0.0 if valid_until_s is not None and seen_s > valid_until_s + HOUR_S else seen_s


def _newest(state: UpdateState, name: str, perceptd: str) -> Offer | None:
    usable = [
        offer
        for offer in state.available
        if offer.name == name and version_key(offer.needs_perceptd) <= version_key(perceptd)
    ]
    return max(usable, key=_version_of, default=None)


def _version_of(offer: Offer) -> tuple[int, ...]:
    return version_key(offer.version)


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311  (spreads the load on the source; no secret)


def _utc_text(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s, timezone.utc):%Y-%m-%d %H:%M}"
