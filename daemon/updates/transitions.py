"""The transitions of the update state: each function returns the next state. Pure.

`now_s` is wall time in seconds since the epoch.
"""

from collections.abc import Iterable

from daemon.bundle.release import MAX_OFFERS, Offer, Release
from daemon.core.records import UpdateStage
from daemon.updates.state import (
    MAX_REFUSALS,
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

# a candidate is refused when the daemon has crashed, or lost power, this often in one of its stages
MAX_UNCLEAN_ENDS = 3

# the daemon rolls back at this start within probation: the two starts before may have been power cuts
MAX_STARTS = 3

# only in these stages can a bundle make the daemon crash: before them nobody reads its files
BUNDLE_STAGES: tuple[UpdateStage, ...] = ("check", "selftest", "switch")


def begin_install(state: UpdateState, name: str, version: str, now_s: float, *, asked: bool) -> UpdateState:
    """Make a version the candidate; `asked` says whether it was requested."""
    candidate = Candidate(name=name, version=version, stage="resolve", since=now_s, asked=asked)
    return state.model_copy(update={"candidate": candidate})


def begin_stage(state: UpdateState, stage: UpdateStage, now_s: float, release: Release | None = None) -> UpdateState:
    """Enter the candidate's next stage; `release` is stored once it is known."""
    if state.candidate is None:
        return state
    update = {"stage": stage, "since": now_s, "closed": False, "release": release or state.candidate.release}
    return state.model_copy(update={"candidate": state.candidate.model_copy(update=update)})


def note_shutdown(state: UpdateState) -> UpdateState:
    """Note that the daemon stops in the normal way during the candidate's stage."""
    if state.candidate is None:
        return state
    return state.model_copy(update={"candidate": state.candidate.model_copy(update={"closed": True})})


def resume(state: UpdateState, now_s: float) -> UpdateState:
    """Continue with an unfinished candidate when the daemon starts; refuse it after too many unclean ends."""
    candidate = state.candidate
    if candidate is None or candidate.closed or candidate.stage not in BUNDLE_STAGES:
        return state
    ended_in = (*candidate.ended_in, candidate.stage)
    state = state.model_copy(update={"candidate": candidate.model_copy(update={"ended_in": ended_in})})
    if ended_in.count(candidate.stage) < MAX_UNCLEAN_ENDS:
        return state
    return refuse(state, f"the daemon ended {MAX_UNCLEAN_ENDS} times during {candidate.stage}", now_s)


def drop(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """Give the candidate up for now; it may be installed automatically later."""
    candidate = state.candidate
    if candidate is None:
        return state
    result = _failure(candidate.id, candidate.stage, reason, now_s)
    return state.model_copy(update={"candidate": None, "last_result": result})


def refuse(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """Give the candidate up for good; it is not installed automatically again."""
    candidate = state.candidate
    if candidate is None:
        return state
    content = None if candidate.release is None else candidate.release.content
    return _add_refusal(drop(state, reason, now_s), candidate.id, content, candidate.stage, reason, now_s)


def switch(state: UpdateState, slot: Slot, base: str, before: BundleMetrics, now_s: float) -> UpdateState:
    """Make the candidate active, on probation.

    `base` is the id of the built-in bundle, `before` the metrics of the bundle that was active until now.
    """
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


def confirm(state: UpdateState, now_s: float) -> UpdateState:
    """End the probation of the active bundle with success."""
    if state.active is None:
        return state
    result = Result(id=state.active.id, ok=True, stage="probation", reason=None, time=now_s)
    return state.model_copy(update={"probation": None, "last_result": result})


def count_start(state: UpdateState) -> UpdateState:
    """Count a start of the daemon within probation."""
    if state.probation is None:
        return state
    starts = state.probation.starts + 1
    return state.model_copy(update={"probation": state.probation.model_copy(update={"starts": starts})})


def revert(
    state: UpdateState, stage: UpdateStage, reason: str, now_s: float, *, is_refused: bool = True
) -> UpdateState:
    """Make the previous bundle active again, or the built-in one if there is none.

    `is_refused` says whether the active bundle is refused from now on.
    """
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
    return _add_refusal(state, slot.id, slot.content, stage, reason, now_s) if is_refused else state


def keep_active(state: UpdateState, stage: UpdateStage, reason: str, now_s: float) -> UpdateState:
    """End probation with a failure, but keep the active bundle because no other bundle can run."""
    if state.active is None:
        return state
    return state.model_copy(update={"probation": None, "last_result": _failure(state.active.id, stage, reason, now_s)})


def revert_to_built_in(state: UpdateState) -> UpdateState:
    """Make the built-in bundle active."""
    return state.model_copy(update={"base": None, "active": None, "previous": None, "probation": None})


def rebase(state: UpdateState, base: str) -> UpdateState:
    """Note another built-in bundle, and keep the active one."""
    return state if state.active is None else state.model_copy(update={"base": base})


def note_check(state: UpdateState, now_s: float, offers: Iterable[Offer]) -> UpdateState:
    """Store the releases that the source has."""
    check = Check(ok=True, reason=None, time=now_s)
    state = note_time(state, now_s)
    return state.model_copy(update={"last_check": check, "available": tuple(offers)[:MAX_OFFERS]})


def note_failed_check(state: UpdateState, reason: str, now_s: float) -> UpdateState:
    """Note that the source could not be checked."""
    return state.model_copy(update={"last_check": Check(ok=False, reason=one_line(reason), time=now_s)})


def pin(state: UpdateState, now_s: float, *, on: bool) -> UpdateState:
    """Pin or unpin the active bundle; a pin drops a candidate that nobody requested."""
    if on and state.candidate is not None and not state.candidate.asked:
        state = drop(state, "the active bundle was pinned", now_s)
    return state.model_copy(update={"pinned": on})


def note_time(state: UpdateState, now_s: float) -> UpdateState:
    """Store the latest known time: a clock that shows less is wrong.

    Called when signed metadata was valid at `now_s`. This limits how far a wrong clock can push `seen_time`.
    """
    return state if now_s <= state.seen_time else state.model_copy(update={"seen_time": now_s})


def set_seen_time(state: UpdateState, seen_s: float) -> UpdateState:
    """Replace a latest known time that cannot be one."""
    return state.model_copy(update={"seen_time": seen_s})


def _failure(bundle: str, stage: UpdateStage, reason: str, now_s: float) -> Result:
    return Result(id=bundle, ok=False, stage=stage, reason=one_line(reason), time=now_s)


def _add_refusal(
    state: UpdateState, bundle: str, content: str | None, stage: UpdateStage, reason: str, now_s: float
) -> UpdateState:
    refusal = Refusal(id=bundle, content=content, stage=stage, reason=one_line(reason), time=now_s)
    others = [other for other in state.refused if other.id != bundle]
    return state.model_copy(update={"refused": (*others, refusal)[-MAX_REFUSALS:]})
