"""Which moment the device asks about, because an answer would teach it most. Pure functions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from daemon.teaching.records import Why

# at most one question in this time
PAUSE_S = 300.0

SPOT_CHECK_S = 86400.0

# A score is near its threshold at this distance of their logits: 0.5 and 0.62, or 0.9 and 0.94.
NEAR = 0.5

# Events that come and go: so many of one label in so long.
FLIPS = 3
FLIPS_S = 60.0

# scores of 0 and 1 have no logit
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Seen:
    """The strongest moment of a taught label in an event (`recognised`), or of a time in which none started.

    `threshold` is the score that starts an event of the label in that stream.
    """

    label: str
    stream: str
    score: float
    threshold: float
    recognised: bool


@dataclass(frozen=True, slots=True)
class Review:
    """When the device has asked last, and when a spot check was the reason; None: never.

    `events` has the latest events of each label and stream, at most FLIPS.
    """

    asked_s: float | None = None
    spot_checked_s: float | None = None
    events: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)


def consider(state: Review, seen: Seen, now_s: float) -> tuple[Review, Why | None]:
    """Return the state after a moment, and why to ask about it; None: do not ask.

    `now_s` is the wall time, because a day is longer than most runs. A clock that was set back counts as a new one.
    """
    state = _noted(state, seen, now_s)
    if not _is_over(state.asked_s, PAUSE_S, now_s):
        return state, None
    why = _reason(state, seen, now_s)
    if why is not None:
        spot_checked_s = now_s if why == "spot_check" else state.spot_checked_s
        state = replace(state, asked_s=now_s, spot_checked_s=spot_checked_s)
    return state, why


def _reason(state: Review, seen: Seen, now_s: float) -> Why | None:
    if abs(_logit(seen.score) - _logit(seen.threshold)) <= NEAR:
        return "near_threshold"
    if not seen.recognised:
        return None
    if len(state.events.get((seen.label, seen.stream), ())) == FLIPS:
        return "flip_flop"
    return "spot_check" if _is_over(state.spot_checked_s, SPOT_CHECK_S, now_s) else None


def _noted(state: Review, seen: Seen, now_s: float) -> Review:
    """Note an event, and forget those that are no longer a part of a flip-flop."""
    events = {}
    for key, times in state.events.items():
        if recent := tuple(time_s for time_s in times if 0.0 <= now_s - time_s <= FLIPS_S):
            events[key] = recent
    if seen.recognised:
        key = (seen.label, seen.stream)
        events[key] = (*events.get(key, ()), now_s)[-FLIPS:]
    return replace(state, events=events)


def _is_over(since_s: float | None, wait_s: float, now_s: float) -> bool:
    return since_s is None or not 0.0 <= now_s - since_s < wait_s


def _logit(score: float) -> float:
    bounded = min(max(score, _LEAST), 1.0 - _LEAST)
    return math.log(bounded / (1.0 - bounded))
