"""How the state changes: each step gives the next state. Pure.

`now_s` is wall time in seconds since the epoch.
"""

from collections.abc import Iterable

from daemon.bundle.release import MAX_OFFERS, Offer, Release
from daemon.core.records import UpdateStage
from daemon.updates.state import (
    REFUSED,
    BundleMetrics,
    Candidate,
    Check,
    Probation,
    Refusal,
    Result,
    Slot,
    UpdateState,
    one_line,
)

MOST_ENDINGS = 3
"""So often may the daemon end in one stage of a bundle, by a crash or a power cut: it may be the bundle's doing."""

MOST_STARTS = 3
"""The start inside probation with which the daemon goes back: two may have been power cuts."""

OF_CONTENT: tuple[UpdateStage, ...] = ("check", "selftest", "switch")
"""Stages in which a bundle can be the cause of the daemon's end: before them it is bytes that nobody reads."""


def sought(state: UpdateState, name: str, version: str, now_s: float, *, asked: bool) -> UpdateState:
    """A version is to be installed."""
    candidate = Candidate(name=name, version=version, stage="resolve", since=now_s, asked=asked)
    return state.model_copy(update={"candidate": candidate})


def entered(state: UpdateState, stage: UpdateStage, now_s: float, release: Release | None = None) -> UpdateState:
    """The candidate is about to begin a stage."""
    if state.candidate is None:
        return state
    update = {"stage": stage, "since": now_s, "closed": False, "release": release or state.candidate.release}
    return state.model_copy(update={"candidate": state.candidate.model_copy(update=update)})


def closed(state: UpdateState) -> UpdateState:
    """The daemon stops in order, in the middle of the candidate's stage."""
    if state.candidate is None:
        return state
    return state.model_copy(update={"candidate": state.candidate.model_copy(update={"closed": True})})


def found_unfinished(state: UpdateState, now_s: float) -> UpdateState:
    """The daemon starts and finds the candidate of the time before: it begins again, unless it has ended too many."""
    candidate = state.candidate
    if candidate is None or candidate.closed or candidate.stage not in OF_CONTENT:
        return state
    ended_in = (*candidate.ended_in, candidate.stage)
    state = state.model_copy(update={"candidate": candidate.model_copy(update={"ended_in": ended_in})})
    if ended_in.count(candidate.stage) < MOST_ENDINGS:
        return state
    return refused(state, f"ended with the daemon three times in {candidate.stage}", now_s)


def dropped(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """The candidate cannot be installed now; it may be tried again."""
    candidate = state.candidate
    if candidate is None:
        return state
    result = _failure(candidate.id, candidate.stage, reason, now_s)
    return state.model_copy(update={"candidate": None, "last_result": result})


def refused(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """The candidate is no good: it is not tried again by itself."""
    candidate = state.candidate
    if candidate is None:
        return state
    content = None if candidate.release is None else candidate.release.content
    return _with_refusal(dropped(state, reason, now_s), candidate.id, content, candidate.stage, reason, now_s)


def switched(state: UpdateState, slot: Slot, base: str, before: BundleMetrics, now_s: float) -> UpdateState:
    """The candidate takes over, on probation; `base` is the config's own bundle."""
    return state.model_copy(
        update={
            "base": base,
            "active": slot,
            "previous": state.active,
            "candidate": None,
            "probation": Probation(since=now_s, starts=0, before=before),
            "refused": tuple(refusal for refusal in state.refused if refusal.id != slot.id),
        }
    )


def confirmed(state: UpdateState, now_s: float) -> UpdateState:
    """The active bundle has done well."""
    if state.active is None:
        return state
    result = Result(id=state.active.id, ok=True, stage="probation", reason=None, time=now_s)
    return state.model_copy(update={"probation": None, "last_result": result})


def started(state: UpdateState) -> UpdateState:
    """The daemon starts, and the active bundle is on probation."""
    if state.probation is None:
        return state
    starts = state.probation.starts + 1
    return state.model_copy(update={"probation": state.probation.model_copy(update={"starts": starts})})


def left(state: UpdateState, stage: UpdateStage, reason: str, now_s: float, *, refuse: bool = True) -> UpdateState:
    """The active bundle makes way for the one before it; without one, for the config's own."""
    slot = state.active
    if slot is None:
        return state
    state = state.model_copy(
        update={
            "base": None if state.previous is None else state.base,
            "active": state.previous,
            "previous": None,
            "probation": None,
            "last_result": _failure(slot.id, stage, reason, now_s),
        }
    )
    return _with_refusal(state, slot.id, slot.content, stage, reason, now_s) if refuse else state


def stays(state: UpdateState, stage: UpdateStage, reason: str, now_s: float) -> UpdateState:
    """The active bundle was to make way and must stay: there is no other."""
    if state.active is None:
        return state
    return state.model_copy(update={"probation": None, "last_result": _failure(state.active.id, stage, reason, now_s)})


def revert_to_built_in(state: UpdateState) -> UpdateState:
    """The config's own bundle takes over from whatever was active."""
    return state.model_copy(update={"base": None, "active": None, "previous": None, "probation": None})


def based_on(state: UpdateState, base: str) -> UpdateState:
    """The config's own bundle is another now, and stays beneath the active one."""
    return state if state.active is None else state.model_copy(update={"base": base})


def checked(state: UpdateState, now_s: float, offers: Iterable[Offer]) -> UpdateState:
    """The source was looked at, and has these."""
    check = Check(ok=True, reason=None, time=now_s)
    state = seen(state, now_s)
    return state.model_copy(update={"last_check": check, "available": tuple(offers)[:MAX_OFFERS]})


def check_failed(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """The source could not be looked at."""
    return state.model_copy(update={"last_check": Check(ok=False, reason=one_line(reason), time=now_s)})


def pinned(state: UpdateState, now_s: float, *, on: bool) -> UpdateState:
    """Whether what is active stays until somebody asks for another; a candidate nobody asked for is given up."""
    if on and state.candidate is not None and not state.candidate.asked:
        state = dropped(state, "the active bundle was pinned", now_s)
    return state.model_copy(update={"pinned": on})


def seen(state: UpdateState, now_s: float) -> UpdateState:
    """It was so late once: the clock cannot be right when it shows less.

    Noted when signed metadata was valid at that time, which bounds how far a clock that is wrong can lead us astray.
    """
    return state if now_s <= state.seen_time else state.model_copy(update={"seen_time": now_s})


def _failure(bundle: str, stage: UpdateStage, reason: str, now_s: float) -> Result:
    return Result(id=bundle, ok=False, stage=stage, reason=one_line(reason), time=now_s)


def _with_refusal(
    state: UpdateState, bundle: str, content: str | None, stage: UpdateStage, reason: str, now_s: float
) -> UpdateState:
    refusal = Refusal(id=bundle, content=content, stage=stage, reason=one_line(reason), time=now_s)
    others = [known for known in state.refused if known.id != bundle]
    return state.model_copy(update={"refused": (*others, refusal)[-REFUSED:]})
