"""The transitions of what was taught: each function returns the next state of `taught/state.json`. Pure.

`base` is the id of the bundle that runs without taught labels; `now_s` is wall time in seconds since the epoch.
"""

from collections.abc import Set

from daemon.bundle.release import BundleFiles
from daemon.core.records import UpdateStage
from daemon.updates.state import BundleMetrics, Probation, Refusal, Result, one_line
from daemon.updates.taught_state import (
    MAX_VERSIONS,
    TaughtCandidate,
    TaughtSlot,
    TaughtState,
    TaughtVersion,
    WaitingBase,
    version_on,
)

# a candidate is refused when the daemon has crashed, or lost power, this often while it was tried
MAX_UNCLEAN_ENDS = 3

# the stage of a version that was not tried at all
UNTRIED: UpdateStage = "resolve"

# of one try after the other of the same version
MOST_ENDS_KEPT = 100


def begin_install(taught: TaughtState, base: str, release: BundleFiles, now_s: float) -> TaughtState:
    """Make a version the candidate. Its slot is complete already."""
    candidate = TaughtCandidate(base=base, release=release, stage="check", since=now_s)
    return taught.model_copy(update={"candidate": candidate})


def begin_stage(taught: TaughtState, stage: UpdateStage, now_s: float) -> TaughtState:
    """Enter the candidate's next stage."""
    return _with_candidate(taught, {"stage": stage, "since": now_s, "closed": False})


def note_shutdown(taught: TaughtState) -> TaughtState:
    """Note that the candidate is not being tried any more, although nothing has crashed."""
    return _with_candidate(taught, {"closed": True})


def resume(taught: TaughtState, now_s: float) -> TaughtState:
    """Continue with an unfinished candidate when the daemon starts; refuse it after too many unclean ends."""
    candidate = taught.candidate
    if candidate is None or candidate.closed:
        return taught
    ends = min(candidate.unclean_ends + 1, MOST_ENDS_KEPT)
    if ends >= MAX_UNCLEAN_ENDS:
        return refuse(taught, f"the daemon ended {MAX_UNCLEAN_ENDS} times during {candidate.stage}", now_s)
    return _with_candidate(taught, {"unclean_ends": ends})


def drop(taught: TaughtState, reason: str, now_s: float) -> TaughtState:
    """Give the candidate up. Nothing is refused."""
    candidate = taught.candidate
    if candidate is None:
        return taught
    result = _failure(candidate.slot.id, candidate.stage, reason, now_s)
    return taught.model_copy(update={"candidate": None, "last_result": result})


def put_off(taught: TaughtState, reason: str, now_s: float) -> TaughtState:
    """Note why the candidate cannot be installed now. It stays the candidate."""
    candidate = taught.candidate
    if candidate is None:
        return taught
    result = _failure(candidate.slot.id, candidate.stage, reason, now_s)
    return note_shutdown(taught.model_copy(update={"last_result": result}))


def refuse(taught: TaughtState, reason: str, now_s: float) -> TaughtState:
    """Give the candidate up because it cannot be used."""
    candidate = taught.candidate
    if candidate is None:
        return taught
    return _add_refusal(drop(taught, reason, now_s), candidate.slot, candidate.stage, reason, now_s)


def switch(taught: TaughtState, base: str, built_in: str, before: BundleMetrics, now_s: float) -> TaughtState:
    """Make the candidate active, on probation.

    `base` is the current base, `before` the metrics of the bundle that was active until now. A version that is still on
    probation is replaced without becoming the previous one.
    """
    candidate, current = taught.candidate, version_on(taught, base)
    if candidate is None:
        return taught
    previous = None if current is None else current.slot
    if current is not None and current.probation is not None:
        previous, before = current.previous, current.probation.before
    version = TaughtVersion(
        base=candidate.base,
        slot=candidate.slot,
        previous=previous,
        came_with_base=current is not None and current.came_with_base and current.base == candidate.base,
        probation=Probation(since=now_s, starts=0, before=before),
    )
    taught = taught.model_copy(update={"candidate": None, "built_in": built_in})
    return _put(_without_wait(taught, candidate.base), version)


def switch_base(taught: TaughtState, base: str, slot: TaughtSlot | None, built_in: str) -> TaughtState:
    """Note what is to run on a new base, which `state.json` makes active next. None: the base itself.

    The taught version of the base before stays: it runs again if the new base is rolled back.
    """
    taught = _without_wait(taught, base)
    if not taught.versions and slot is None:
        return taught
    version = TaughtVersion(base=base, slot=slot, came_with_base=slot is not None)
    return _put(taught.model_copy(update={"built_in": built_in}), version)


def confirm(taught: TaughtState, base: str, now_s: float) -> TaughtState:
    """End the probation of the active version with success."""
    version = version_on(taught, base)
    if version is None or version.slot is None:
        return taught
    result = Result(id=version.slot.id, ok=True, stage="probation", reason=None, time=now_s)
    return _put(taught.model_copy(update={"last_result": result}), version.model_copy(update={"probation": None}))


def count_start(taught: TaughtState, base: str) -> TaughtState:
    """Count a start of the daemon within probation."""
    version = version_on(taught, base)
    if version is None or version.probation is None:
        return taught
    probation = version.probation.model_copy(update={"starts": version.probation.starts + 1})
    return _put(taught, version.model_copy(update={"probation": probation}))


def revert(
    taught: TaughtState,
    base: str,
    stage: UpdateStage,
    reason: str,
    now_s: float,
    *,
    is_refused: bool = True,
    to_base: bool = False,
) -> TaughtState:
    """Make the previous taught version active again, or the base itself if there is none, or if it cannot run."""
    version = version_on(taught, base)
    if version is None or version.slot is None:
        return taught
    slot = None if to_base else version.previous
    back = TaughtVersion(base=base, slot=slot, came_with_base=version.came_with_base)
    result = _failure(version.slot.id, stage, reason, now_s)
    taught = _put(taught.model_copy(update={"last_result": result}), back)
    return _add_refusal(taught, version.slot, stage, reason, now_s) if is_refused else taught


def keep_active(taught: TaughtState, base: str, stage: UpdateStage, reason: str, now_s: float) -> TaughtState:
    """End probation with a failure, but keep the version because nothing else can run."""
    version = version_on(taught, base)
    if version is None or version.slot is None:
        return taught
    result = _failure(version.slot.id, stage, reason, now_s)
    return _put(taught.model_copy(update={"last_result": result}), version.model_copy(update={"probation": None}))


def forget(taught: TaughtState) -> TaughtState:
    """Make the base itself active, and need no taught version any more."""
    return TaughtState(last_result=taught.last_result)


def wait(taught: TaughtState, base: str, reason: str, now_s: float) -> TaughtState:
    """Note why a new base has to wait."""
    waiting = taught.waiting
    since_s = waiting.since if waiting is not None and waiting.id == base else now_s
    return taught.model_copy(update={"waiting": WaitingBase(id=base, reason=one_line(reason), since=since_s)})


def reject(taught: TaughtState, bundle: str, reason: str, now_s: float) -> TaughtState:
    """Note that a version cannot be taken in, which was no candidate."""
    return taught.model_copy(update={"last_result": _failure(bundle, "verify", reason, now_s)})


def leave(taught: TaughtState, bundle: str, reason: str, now_s: float) -> TaughtState:
    """Give a version up that is for another bundle than the one that runs now. Nothing is refused."""
    is_candidate = taught.candidate is not None and taught.candidate.slot.id == bundle
    update = {"last_result": _failure(bundle, UNTRIED, reason, now_s)} | ({"candidate": None} if is_candidate else {})
    return taught.model_copy(update=update)


def keep_for(taught: TaughtState, bases: Set[str], running: str) -> TaughtState:
    """Forget what stands on other bases than these, unless it runs where `running` is the base."""
    runs = version_on(taught, running)
    kept = tuple(version for version in taught.versions if version.base in bases or version == runs)
    return taught if kept == taught.versions else taught.model_copy(update={"versions": kept})


def _with_candidate(taught: TaughtState, update: dict[str, object]) -> TaughtState:
    if taught.candidate is None:
        return taught
    return taught.model_copy(update={"candidate": taught.candidate.model_copy(update=update)})


def _without_wait(taught: TaughtState, base: str) -> TaughtState:
    waits = taught.waiting is not None and taught.waiting.id == base
    return taught.model_copy(update={"waiting": None}) if waits else taught


def _put(taught: TaughtState, version: TaughtVersion) -> TaughtState:
    others = [other for other in taught.versions if other.base != version.base]
    return taught.model_copy(update={"versions": (*others, version)[-MAX_VERSIONS:]})


def _failure(bundle: str, stage: UpdateStage, reason: str, now_s: float) -> Result:
    return Result(id=bundle, ok=False, stage=stage, reason=one_line(reason), time=now_s)


def _add_refusal(taught: TaughtState, slot: TaughtSlot, stage: UpdateStage, reason: str, now_s: float) -> TaughtState:
    # the latest is enough: no version is taught twice
    refusal = Refusal(id=slot.id, content=slot.content, stage=stage, reason=one_line(reason), time=now_s)
    return taught.model_copy(update={"refused": refusal})
